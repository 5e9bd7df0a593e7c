//! The cluster's time. It passes as it does outside, or so many times faster for those who do not want to wait for a back-off of
//! five minutes.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// How fast it may pass: a year in five minutes.
pub(crate) const FASTEST: f64 = 100_000.0;

/// A clock.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    at: Timestamp,
    speed: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl Clock {
    /// One that starts now and passes `speed` times as fast as time does.
    pub(crate) fn new(speed: f64) -> Self {
        let speed = if speed.is_finite() { speed.clamp(1.0, FASTEST) } else { 1.0 };
        Self { began: Instant::now(), at: Timestamp::now(), speed }
    }

    /// What it shows.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = self.began.elapsed().mul_f64(self.speed);
        self.at.saturating_add(SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
    }

    /// How long outside it takes until that much of its time has passed.
    pub(crate) fn outside(&self, inside: Duration) -> Duration {
        inside.div_f64(self.speed)
    }

    /// Sleeps until that much of its time has passed.
    pub(crate) async fn sleep(&self, inside: Duration) {
        tokio::time::sleep(self.outside(inside)).await;
    }

    /// Sleeps until it shows that time.
    pub(crate) async fn sleep_until(&self, at: Timestamp) {
        self.sleep(Duration::try_from(at.duration_since(self.now())).unwrap_or_default()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hurried_clock_passes_faster() {
        let clock = Clock::new(1000.0);
        let before = clock.now();
        clock.sleep(Duration::from_secs(20)).await;
        assert!(clock.now().duration_since(before) >= SignedDuration::from_secs(20));
        let at = clock.now().checked_add(SignedDuration::from_secs(5)).unwrap();
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }

    #[test]
    fn nonsense_is_no_speed() {
        for speed in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            assert_eq!(Clock::new(speed).outside(Duration::from_secs(1)), Duration::from_secs(1));
        }
    }
}

//! Limits, kept by who accounts for what a program uses: there is no kernel between a program and its neighbours here.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Who is told of something.
struct Listener<T>(OnceLock<Box<dyn Fn(T) + Send + Sync>>);

impl<T> Listener<T> {
    const fn nobody() -> Self {
        Self(OnceLock::new())
    }

    /// The first stays.
    fn set(&self, listener: impl Fn(T) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(listener));
    }

    fn tell(&self, what: impl FnOnce() -> T) {
        if let Some(listener) = self.0.get() {
            listener(what());
        }
    }
}

impl<T> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.0.get().is_some()).finish()
    }
}

/// A container's memory, as far as its programs account for it with [`Memory::allocate`].
#[derive(Debug)]
pub struct Memory {
    limit: Option<u64>,
    used: AtomicU64,
    exceeded: watch::Sender<bool>,
    on_change: Listener<u64>,
}

/// Memory that is in use until this is dropped.
#[derive(Debug)]
pub struct Allocation {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Memory {
    /// No more than this many bytes.
    #[must_use]
    pub fn limited(bytes: u64) -> Self {
        Self { limit: Some(bytes), ..Self::unlimited() }
    }

    /// As much as there is.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { limit: None, used: AtomicU64::new(0), exceeded: watch::Sender::new(false), on_change: Listener::nobody() }
    }

    /// Bytes that may be used; none: no limit.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Tells `listener` the bytes in use whenever they have changed. Who asks first stays the only one.
    pub fn on_change(&self, listener: impl Fn(u64) + Send + Sync + 'static) {
        self.on_change.set(listener);
    }

    /// Takes memory into use. Where that is more than the limit, the container is killed and this does not return.
    pub async fn allocate(self: &Arc<Self>, bytes: u64) -> Allocation {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let allocation = Allocation { memory: self.clone(), bytes };
        self.on_change.tell(|| self.used());
        if self.limit.is_some_and(|limit| used > limit) {
            self.exceeded.send_replace(true);
            std::future::pending::<()>().await;
        }
        allocation
    }

    /// Returns once more was asked for than there is: whoever runs the container kills it then.
    pub async fn exceeded(&self) {
        let mut exceeded = self.exceeded.subscribe();
        if exceeded.wait_for(|exceeded| *exceeded).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.memory.on_change.tell(|| self.memory.used());
    }
}

/// The kernel's period of CPU bandwidth control, as the kubelet leaves it (100 ms).
const PERIOD: Duration = Duration::from_millis(100);

/// How often a container was stopped because it had used up its CPU time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which it ran.
    pub periods: u64,
    /// Periods in which it was stopped.
    pub throttled_periods: u64,
    /// Microseconds for which it was stopped.
    pub throttled_us: u64,
}

/// A container's CPU time, as far as its programs spend it with [`Cpu::spend`].
#[derive(Debug)]
pub struct Cpu {
    /// Microseconds of CPU time in every period; none: no limit.
    quota_us: Option<u64>,
    periods: AtomicU64,
    throttled_periods: AtomicU64,
    throttled_us: AtomicU64,
    on_period: Listener<Throttling>,
}

impl Cpu {
    /// So many thousandths of a CPU.
    #[must_use]
    pub fn limited(millicores: u64) -> Self {
        Self { quota_us: Some(millicores.saturating_mul(100).max(1000)), ..Self::unlimited() }
    }

    /// As much as there is.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            quota_us: None,
            periods: AtomicU64::new(0),
            throttled_periods: AtomicU64::new(0),
            throttled_us: AtomicU64::new(0),
            on_period: Listener::nobody(),
        }
    }

    /// Microseconds of CPU time in every 100 ms; none: no limit.
    #[must_use]
    pub fn quota_us(&self) -> Option<u64> {
        self.quota_us
    }

    /// What the limit has cost so far.
    #[must_use]
    pub fn throttling(&self) -> Throttling {
        Throttling {
            periods: self.periods.load(Ordering::Relaxed),
            throttled_periods: self.throttled_periods.load(Ordering::Relaxed),
            throttled_us: self.throttled_us.load(Ordering::Relaxed),
        }
    }

    /// Tells `listener` what the limit has cost so far, after each period that it holds for. Who asks first stays the only one.
    pub fn on_period(&self, listener: impl Fn(Throttling) + Send + Sync + 'static) {
        self.on_period.set(listener);
    }

    /// Works for one period: `work` is called again and again until the period or the quota is over; what is left of the period
    /// then, the container is stopped.
    pub async fn spend(&self, mut work: impl FnMut()) {
        let began = Instant::now();
        let quota = self.quota_us.map_or(PERIOD, Duration::from_micros);
        while began.elapsed() < quota.min(PERIOD) {
            work();
            tokio::task::yield_now().await;
        }
        if self.quota_us.is_none() {
            return;
        }
        self.periods.fetch_add(1, Ordering::Relaxed);
        let stopped = PERIOD.saturating_sub(began.elapsed());
        if !stopped.is_zero() {
            self.throttled_periods.fetch_add(1, Ordering::Relaxed);
            self.throttled_us.fetch_add(u64::try_from(stopped.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        self.on_period.tell(|| self.throttling());
        tokio::time::sleep(stopped).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_uses_more_than_the_limit_does_not_go_on() {
        let memory = Arc::new(Memory::limited(100));
        let held = memory.allocate(60).await;
        drop(memory.allocate(40).await);
        assert!(memory.exceeded().now_or_never().is_none());
        assert!(memory.allocate(41).now_or_never().is_none());
        memory.exceeded().await;
        drop(held);
    }

    #[test]
    fn no_limit_is_too_large() {
        assert_eq!(Cpu::limited(u64::MAX).quota_us(), Some(u64::MAX));
    }

    #[tokio::test]
    async fn who_spends_the_quota_is_stopped() {
        let cpu = Cpu::limited(100);
        cpu.spend(|| {}).await;
        let throttling = cpu.throttling();
        assert_eq!((throttling.periods, throttling.throttled_periods), (1, 1));
        assert!(throttling.throttled_us > 0);
    }
}

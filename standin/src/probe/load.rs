//! Load on a container's limits, to see that they hold.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::cgroup;

/// What to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Allocates so many bytes of memory and writes to all of them. A container with a lower limit is killed over it.
    Memory {
        /// How many bytes.
        bytes: u64,
    },
    /// Keeps one CPU busy until the container has been throttled in so many more periods.
    Cpu {
        /// How many.
        throttled_periods: u64,
        /// After so long without that, it gives up, and answers all the same.
        at_most_seconds: u64,
    },
}

/// What the container's control group said before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Before.
    pub before: cgroup::Answer,
    /// After, if the container lived to see it.
    pub after: cgroup::Answer,
}

/// Uses it.
///
/// # Errors
/// If the container's control group cannot be read.
pub async fn answer(request: Request) -> Result<Answer, String> {
    let before = cgroup::read_own()?;
    match request {
        Request::Memory { bytes } => use_memory(bytes),
        Request::Cpu { throttled_periods, at_most_seconds } => {
            let enough = before.throttling.throttled_periods.saturating_add(throttled_periods);
            spin(Duration::from_secs(at_most_seconds), || Ok(cgroup::read_own()?.throttling.throttled_periods >= enough))?;
        }
    }
    Ok(Answer { before, after: cgroup::read_own()? })
}

/// Step by step, as a program grows: the limit is met in the middle, not by one refused allocation.
fn use_memory(bytes: u64) {
    const STEP: u64 = 1 << 20;
    let held: Vec<Vec<u8>> = (0..bytes.div_ceil(STEP)).map(|_| vec![1; STEP as usize]).collect();
    black_box(&held);
}

/// Keeps one CPU busy until `enough`, for at most this long.
fn spin(at_most: Duration, mut enough: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let began = Instant::now();
    while !enough()? && began.elapsed() < at_most {
        for number in 0..1_000_000_u64 {
            black_box(number);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_ends_when_it_is_enough() {
        let mut looks = 0;
        spin(Duration::MAX, || {
            looks += 1;
            Ok(looks == 3)
        })
        .unwrap();
        assert_eq!(looks, 3);
    }

    #[test]
    fn spinning_ends_when_time_is_up_and_when_nobody_counts() {
        assert_eq!(spin(Duration::ZERO, || Ok(false)), Ok(()));
        assert_eq!(spin(Duration::MAX, || Err("no cgroup".into())), Err("no cgroup".into()));
    }
}

//! Load on a container's limits, to see that they hold.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use k3s_arc_container::{Container, Cpu};
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
pub async fn answer(request: Request, container: &Container) -> Result<Answer, String> {
    let before = cgroup::read_own(container)?;
    match request {
        Request::Memory { bytes } => use_memory(bytes, container).await,
        Request::Cpu { throttled_periods, at_most_seconds } => {
            let enough = before.throttling.throttled_periods.saturating_add(throttled_periods);
            let throttled = || Ok(cgroup::read_own(container)?.throttling.throttled_periods >= enough);
            spin(&container.cpu, Duration::from_secs(at_most_seconds), throttled).await?;
        }
    }
    Ok(Answer { before, after: cgroup::read_own(container)? })
}

/// Step by step, as a program grows: the limit is met in the middle, not by one refused allocation.
async fn use_memory(bytes: u64, container: &Container) {
    const STEP: u64 = 1 << 20;
    let mut held = Vec::new();
    for _ in 0..bytes.div_ceil(STEP) {
        let accounted = container.memory.allocate(STEP).await;
        // A kernel counts what is written to; where there is none, the account is all that counts.
        let written = if container.files.is_native() { vec![1_u8; STEP as usize] } else { Vec::new() };
        held.push((accounted, written));
    }
    black_box(&held);
}

/// Keeps one CPU busy until `enough`, for at most this long.
async fn spin(cpu: &Cpu, at_most: Duration, mut enough: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let began = Instant::now();
    while !enough()? && began.elapsed() < at_most {
        let work = || {
            for number in 0..100_000_u64 {
                black_box(number);
            }
        };
        cpu.spend(work).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::testing::contained;

    #[tokio::test]
    async fn spinning_ends_when_it_is_enough() {
        let mut looks = 0;
        let enough = || {
            looks += 1;
            Ok(looks == 3)
        };
        spin(&Cpu::unlimited(), Duration::MAX, enough).await.unwrap();
        assert_eq!(looks, 3);
    }

    #[tokio::test]
    async fn spinning_ends_when_time_is_up_and_when_nobody_counts() {
        let cpu = Cpu::unlimited();
        assert_eq!(spin(&cpu, Duration::ZERO, || Ok(false)).await, Ok(()));
        assert_eq!(spin(&cpu, Duration::MAX, || Err("no cgroup".into())).await, Err("no cgroup".into()));
    }

    #[tokio::test]
    async fn memory_is_used_up_to_the_limit_and_not_beyond() {
        let root = tempfile::tempdir().unwrap();
        let container = contained(root.path());
        use_memory(8 << 20, &container).await;
        assert_eq!(container.memory.used(), 0);
        assert!(use_memory((8 << 20) + 1, &container).now_or_never().is_none());
        container.memory.exceeded().await;
    }
}

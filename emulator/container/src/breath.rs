//! Letting others run.
//!
//! A task that never waits keeps its thread. Tokio's own budget would stop it, but it is one for the whole task: where many processes
//! are polled by one task, as those of a pipeline are, the first one could use it up every time and the others starve. So processes run
//! without it ([`crate::processes::Entry::run`]), and breathe by themselves.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

/// One breath in so many is a pause.
const PAUSE: u32 = 32;

/// To be awaited in every loop that may not wait for anything else: now and then, it lets others run.
pub async fn breathe() {
    let mut paused = false;
    poll_fn(|context| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { poll_breath(context) }).await;
}

/// The same for who is polled: pending now and then, and woken at once.
pub fn poll_breath(context: &mut Context<'_>) -> Poll<()> {
    static BREATHS: AtomicU32 = AtomicU32::new(0);
    if !BREATHS.fetch_add(1, Ordering::Relaxed).is_multiple_of(PAUSE) {
        return Poll::Ready(());
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use futures::future::{Either, select};

    use super::*;

    #[tokio::test]
    async fn who_breathes_lets_others_run() {
        let busy = async {
            loop {
                breathe().await;
            }
        };
        let other = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        let (busy, other) = (std::pin::pin!(busy), std::pin::pin!(other));
        assert!(matches!(select(busy, other).await, Either::Right(_)));
    }
}

//! Memory that a program holds, accounted for, so that a container can run out of it.

use std::sync::Arc;

use k3s_arc_container::{Allocation, Memory};

/// What is taken into use at a time.
const STEP: u64 = 64 * 1024;
/// What one program may hold where nothing limits its container: the machine underneath must live on.
const MOST: u64 = 1 << 30;

/// The memory that a program holds.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Arc<Memory>,
    allocations: Vec<Allocation>,
    bytes: u64,
}

/// There is no more of it, and no limit that would have ended the container.
#[derive(Debug)]
pub(crate) struct OutOfMemory;

impl Held {
    pub(crate) fn new(memory: &Arc<Memory>) -> Self {
        Self { memory: memory.clone(), allocations: Vec::new(), bytes: 0 }
    }

    /// Accounts for so many bytes in all. Where that is more than the container may use, this does not return.
    pub(crate) async fn cover(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes < self.bytes / 2 {
            self.allocations.clear();
            self.bytes = 0;
        }
        if bytes <= self.bytes || bytes < STEP {
            return Ok(());
        }
        if bytes > MOST {
            return Err(OutOfMemory);
        }
        let more = (bytes - self.bytes).next_multiple_of(STEP);
        self.allocations.push(self.memory.allocate(more).await);
        self.bytes += more;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_is_accounted_for() {
        let memory = Arc::new(Memory::unlimited());
        let mut held = Held::new(&memory);
        held.cover(100).await.unwrap();
        assert_eq!(memory.used(), 0);
        held.cover(200_000).await.unwrap();
        assert!((200_000..300_000).contains(&memory.used()));
        held.cover(70_000).await.unwrap();
        assert!((70_000..150_000).contains(&memory.used()));
        assert!(held.cover(usize::MAX).await.is_err());
        drop(held);
        assert_eq!(memory.used(), 0);
    }
}

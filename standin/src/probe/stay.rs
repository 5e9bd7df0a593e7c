//! A pod that is only there: a backend of a Service, the holder of a claim.

use k3s_arc_container::{INTERRUPT, Signals, TERMINATE};
use serde::{Deserialize, Serialize};

/// It was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// By which signal.
    pub stopped_by: String,
}

/// Stays until it is told to stop, which a container's first process must listen for itself: the kernel gives it no default.
///
/// # Errors
/// None; like the other probes it has a place for one.
pub async fn answer(mut signals: Signals) -> Result<Answer, String> {
    signals.catch(TERMINATE);
    signals.catch(INTERRUPT);
    loop {
        let name = match signals.next().await {
            TERMINATE => "SIGTERM",
            INTERRUPT => "SIGINT",
            _ => continue,
        };
        return Ok(Answer { stopped_by: name.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_tells_what_stopped_it() {
        let (killer, signals) = Signals::by_hand();
        let stays = tokio::spawn(answer(signals));
        while !killer.catches(TERMINATE) {
            tokio::task::yield_now().await;
        }
        killer.send(TERMINATE);
        assert_eq!(stays.await.unwrap().unwrap().stopped_by, "SIGTERM");
    }
}

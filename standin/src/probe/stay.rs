//! A pod that is only there: a backend of a Service, the holder of a claim.

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

/// It was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// By which signal.
    pub stopped_by: String,
}

/// Stays until SIGTERM, which a container's first process must handle itself: the kernel gives it no default.
///
/// # Errors
/// The signal cannot be listened for.
pub async fn answer() -> Result<Answer, String> {
    let mut sigterm = signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM cannot be listened for: {error}"))?;
    sigterm.recv().await;
    Ok(Answer { stopped_by: "SIGTERM".to_owned() })
}

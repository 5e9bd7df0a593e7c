//! How this program learns that it is to end.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the user or the system asks the program to end, or the terminal is closed.
pub(crate) async fn interrupted() {
    let received = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => signal.recv().await,
            // Without a handler the signal ends the process, and the reaper cleans up.
            Err(_) => std::future::pending().await,
        }
    };
    // Whoever wants it to go on without its terminal (`nohup`) had that signal ignored, which a handler would undo.
    let hung_up = async { if ignores_hangups() { std::future::pending().await } else { received(SignalKind::hangup()).await } };
    tokio::select! {
        _ = received(SignalKind::interrupt()) => {}
        _ = received(SignalKind::terminate()) => {}
        _ = hung_up => {}
    }
}

/// As far as the system tells: Linux does.
fn ignores_hangups() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| has_hangup_ignored(&status))
}

/// `SigIgn` is a mask in hexadecimal digits, and SIGHUP, being 1, its lowest bit
/// (<https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>).
fn has_hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_read_from_the_mask() {
        assert!(has_hangup_ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"));
        assert!(!has_hangup_ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!has_hangup_ignored(""));
    }
}

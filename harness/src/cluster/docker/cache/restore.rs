//! Booting from an entry: the K3s container itself copies it, before K3s starts, which costs no second container.

use super::super::{DockerError, node::DockerNode};
use crate::cluster::NodeAccess;

/// Where an entry is mounted.
pub(super) const MOUNT: &str = "/k3s-arc-cache";

/// What the container's shell does first; it goes on with how it becomes K3s.
pub(in super::super) const RESTORE: &str = include_str!("restore.sh");

/// The exit code by which [`RESTORE`] says that an entry is no good.
const REFUSED: i64 = 86;

/// Of a command that ended because its container did: 128 + SIGKILL.
const KILLED: i64 = 137;

/// How the line begins that says why.
const SAYS: &str = "k3s-arc: ";

/// What is wrong with the entry that a K3s was booted from, if a boot that ended like this says so.
///
/// What Docker itself refused is no fault of the entry's.
pub(in super::super) fn refusal(error: &DockerError) -> Option<String> {
    match error {
        DockerError::Exited { exit_code: REFUSED, last_lines, .. } => {
            let said = last_lines.0.iter().rev().find_map(|line| line.split_once(SAYS));
            Some(said.map_or_else(|| "not to be copied".to_owned(), |(_, why)| why.to_owned()))
        }
        DockerError::Exited { .. } | DockerError::Deadline { .. } | DockerError::NotServed { .. } => {
            Some(format!("of no use: {error}"))
        }
        _ => None,
    }
}

/// Pins the images of a booted node that were pinned when its entry was made.
pub(in super::super) async fn pin(node: &DockerNode) {
    let told = match node.exec(&["sh", "-c", include_str!("pin.sh")]).await {
        // Ended with the container, or done.
        Ok(output) if output.exit_code == 0 || output.exit_code == KILLED => return,
        Ok(output) => output.stderr,
        Err(error) => crate::chain(&error),
    };
    tracing::warn!("the images of the node are not pinned, and its kubelet may remove them when the disk is nearly full: {told}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::{super::FORMAT, *};
    use crate::cluster::LogTail;

    fn exited(exit_code: i64, line: &str) -> DockerError {
        DockerError::Exited { exit_code, cause: None, last_lines: LogTail(vec![line.to_owned()]) }
    }

    #[test]
    fn entries_of_the_format_that_is_written_now_are_read() {
        assert!(
            RESTORE.contains(&format!(
                "[ \"$(value format)\" = {FORMAT} ] || refuse \"of format $(value format), and not {FORMAT}\""
            ))
        );
    }

    #[rstest]
    #[case::refused(exited(86, "k3s-arc: half-written: it has no manifest"), Some("half-written: it has no manifest"))]
    #[case::silent(exited(86, ""), Some("not to be copied"))]
    #[case::ended(exited(1, "level=fatal"), Some("of no use: K3s ended with exit code 1 while it booted"))]
    #[case::late(
        DockerError::Deadline { after: Duration::from_secs(60), missing: "a pod".to_owned(), last_lines: LogTail::default() },
        Some("of no use: K3s did not serve within 60 s; still missing: a pod")
    )]
    #[case::docker(DockerError::NoSpace { answer: "no space left on device".to_owned() }, None)]
    fn only_what_k3s_makes_of_an_entry_is_held_against_it(#[case] error: DockerError, #[case] why: Option<&str>) {
        assert_eq!(refusal(&error).as_deref(), why);
    }
}

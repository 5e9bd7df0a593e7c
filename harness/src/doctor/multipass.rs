//! Multipass, for whoever has no Docker.

use std::{process::Stdio, time::Duration};

use super::Finding;

/// A daemon that is stuck must not stop an examination.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The version that `multipass version` prints, if there is a Multipass.
pub(super) async fn gather() -> Option<String> {
    let mut command = tokio::process::Command::new("multipass");
    command.arg("version").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    match output {
        Ok(Ok(output)) => Some(version(&String::from_utf8_lossy(&output.stdout))),
        Ok(Err(_)) => None,
        Err(_) => Some("it does not answer".to_owned()),
    }
}

/// Of `multipass   1.16.1+mac` and what follows, the version.
fn version(printed: &str) -> String {
    let line = printed.lines().find_map(|line| line.strip_prefix("multipass "));
    line.map_or_else(|| "of an unknown version".to_owned(), |version| version.trim().to_owned())
}

/// No provider of this program's uses it so far: it is told, and nothing is made of it.
pub(super) fn judge(found: Option<String>) -> Finding {
    Finding::ok("Multipass", found.unwrap_or_else(|| "none".to_owned()), "nothing: no provider uses it yet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_and_none_is_no_fault() {
        assert_eq!(version("multipass   1.16.1+mac\nmultipassd  1.16.1+mac\n"), "1.16.1+mac");
        assert_eq!(version("cannot connect to the multipass socket\n"), "of an unknown version");
        assert_eq!(judge(None).verdict, crate::doctor::Verdict::Ok);
    }
}

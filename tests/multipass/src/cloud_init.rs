//! As much of cloud-init as its examples begin with: `write_files` and `runcmd`.
//! <https://cloudinit.readthedocs.io/en/latest/reference/modules.html>

use std::{io::Read as _, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::{docker, failure::Failure};

/// A configuration. What else it has is left undone, as by an image that lacks the module.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct CloudInit {
    #[serde(default)]
    write_files: Vec<File>,
    #[serde(default)]
    runcmd: Vec<Command>,
}

#[derive(Debug, Deserialize)]
struct File {
    path: String,
    #[serde(default)]
    content: String,
    permissions: Option<String>,
    encoding: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Command {
    /// For a shell.
    Line(String),
    /// A program and its arguments.
    Words(Vec<String>),
}

impl CloudInit {
    /// Reads a file, or standard input where it is `-`.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let mut text = String::new();
        let read = if path == Path::new("-") {
            std::io::stdin().read_to_string(&mut text).map(drop)
        } else {
            std::fs::read_to_string(path).map(|read| text = read)
        };
        let could_not = |detail: String| Failure::CommandLine(format!("Could not load cloud-init configuration: {detail}"));
        read.map_err(|_| could_not(format!("bad file: {}\nPlease ensure that Multipass can read it.", path.display())))?;
        Self::read(&text).map_err(could_not)
    }

    fn read(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }
}

/// Does to a machine what it is configured to. A command that fails is in the machine's log and stops nothing.
pub(crate) fn apply(asked: &CloudInit, container: &str) -> Result<(), Failure> {
    for file in &asked.write_files {
        let contents = file.contents()?;
        let script = format!("mkdir -p \"$(dirname \"$0\")\" && cat >\"$0\" && chmod {} \"$0\"", file.mode());
        docker::feed(["exec", "-i", container, "sh", "-c", &script, &file.path], &contents)?;
    }
    for command in &asked.runcmd {
        let words: Vec<&str> = match command {
            Command::Line(line) => vec!["sh", "-c", line],
            Command::Words(words) => words.iter().map(String::as_str).collect(),
        };
        let script = "\"$@\" >>/var/log/cloud-init-output.log 2>&1 || true";
        docker::output(["exec", container, "sh", "-c", script, "sh"].into_iter().chain(words))?;
    }
    Ok(())
}

impl File {
    fn contents(&self) -> Result<Vec<u8>, Failure> {
        match self.encoding.as_deref() {
            None | Some("text/plain") => Ok(self.content.clone().into_bytes()),
            Some("b64" | "base64") => {
                BASE64_STANDARD.decode(self.content.trim()).map_err(|error| Failure::Fake(format!("{}: {error}", self.path)))
            }
            Some(other) => Err(Failure::Fake(format!("{}: the encoding {other} is not played", self.path))),
        }
    }

    fn mode(&self) -> &str {
        self.permissions.as_deref().unwrap_or("0644")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_commands_are_read() {
        let text = "#cloud-config\npackage_update: false\nwrite_files:\n- path: /etc/a\n  content: aGk=\n  encoding: b64\n  permissions: '0600'\n\
                    runcmd:\n- echo hi\n- [ls, -la]\n";
        let read = CloudInit::read(text).unwrap();
        assert_eq!((read.write_files[0].contents().unwrap().as_slice(), read.write_files[0].mode()), (&b"hi"[..], "0600"));
        assert!(matches!(&read.runcmd[..], [Command::Line(_), Command::Words(words)] if words.len() == 2));
        assert!(CloudInit::read("write_files: 3").is_err());
    }
}

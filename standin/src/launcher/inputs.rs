//! The two files that are mounted into the launcher's pod.

use std::{
    io,
    path::{Path, PathBuf},
};

use k3s_arc_container::Files;

use super::settings::{Settings, SettingsError, shown};
use crate::{
    control_patch::{self, Operation, PatchError},
    log::Log,
    test_env::{self, SyntaxError},
};

/// The name of the file of variables.
const TEST_ENV: &str = ".test.env";
/// The name of the file of operations on `control.json`.
const PATCH: &str = "patch.json";

/// What the two files say.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) settings: Settings,
    pub(super) patch: Vec<Operation>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// One is not there, or cannot be read.
    #[error("{} cannot be read: {source}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// bash would not take it.
    #[error("{}: {source}", .file.display())]
    TestEnv {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        source: SyntaxError,
    },
    /// Variables are missing, or have values that they cannot have.
    #[error("{}:\n{source}", .file.display())]
    Settings {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        source: SettingsError,
    },
    /// It is no patch.
    #[error("{}: {source}", .file.display())]
    Patch {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        source: PatchError,
    },
}

impl Inputs {
    /// Reads both files of a directory, and tells what they say, secrets as asterisks.
    pub(super) fn read(files: &Files, directory: &Path, log: &Log) -> Result<Self, InputError> {
        let file = directory.join(TEST_ENV);
        let assignments =
            test_env::parse(&read(files, &file)?).map_err(|source| InputError::TestEnv { file: file.clone(), source })?;
        log.info(format_args!("{}:", file.display()));
        assignments.iter().for_each(|assignment| log.info(format_args!("  {}", shown(assignment))));
        let settings = Settings::read(&assignments).map_err(|source| InputError::Settings { file, source })?;

        let file = directory.join(PATCH);
        let patch =
            control_patch::parse(&read(files, &file)?).map_err(|source| InputError::Patch { file: file.clone(), source })?;
        log.info(format_args!("{}:", file.display()));
        patch.iter().for_each(|operation| log.info(format_args!("  {} {}", operation.op, operation.path)));
        Ok(Self { settings, patch })
    }
}

fn read(files: &Files, file: &Path) -> Result<String, InputError> {
    files.read_to_string(file).map_err(|source| InputError::Unreadable { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::tests::Written;

    const GOOD: &str = "export CONNECTIVITY_MODE=\"indirect\"\nexport DEPLOYMENT_INFRASTRUCTURE=\"onpremises\"\n\
        export SUBSCRIPTION_ID=\"s\"\nexport RESOURCE_GROUP_NAME=\"g\"\nexport LOCATION=\"eastus\"\n\
        export SPN_CLIENT_SECRET=\"hunter2\"\n";

    fn read(test_env: &str, patch: &str) -> (Result<Inputs, InputError>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(TEST_ENV), test_env).unwrap();
        fs::write(directory.path().join(PATCH), patch).unwrap();
        let written = Written::default();
        (Inputs::read(&Files::native(), directory.path(), &written.log(true)), written.lines())
    }

    #[test]
    fn what_they_say_is_told_but_for_secrets() {
        let patch = r#"{"patch": [{"op": "add", "path": "spec.docker", "value": {"registry": "private"}}]}"#;
        let (inputs, lines) = read(GOOD, patch);
        assert_eq!(inputs.unwrap().patch.len(), 1);
        let text = lines.join("\n");
        assert!(text.contains("LOCATION=eastus") && text.contains("add spec.docker"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("private"), "{text}");
    }

    #[test]
    fn crlf_line_ends_are_an_error() {
        let (inputs, lines) = read(&GOOD.replace('\n', "\r\n"), r#"{"patch": []}"#);
        assert!(matches!(inputs, Err(InputError::TestEnv { .. })));
        assert_eq!(lines, [""; 0], "nothing of the file is told before it is understood");
    }

    #[test]
    fn an_error_never_shows_a_secret() {
        let (inputs, _) = read(&GOOD.replace("\"hunter2\"", "\"hunter2"), r#"{"patch": []}"#);
        assert!(!inputs.unwrap_err().to_string().contains("hunter2"));
        let (inputs, _) = read(&GOOD.replace("indirect", "never"), r#"{"patch": []}"#);
        assert!(!inputs.unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Inputs::read(&Files::native(), directory.path(), &Written::default().log(true)).unwrap_err();
        assert!(error.to_string().contains(".test.env cannot be read"), "{error}");
    }
}

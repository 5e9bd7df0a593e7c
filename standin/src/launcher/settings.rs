//! What `.test.env` says, as the launcher uses it.

use std::{fmt::Display, str::FromStr};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    arc::data_controller::{ConnectionMode, Infrastructure},
    test_env::{Assignment, is_secret},
};

/// What `.test.env` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// `CONNECTIVITY_MODE`.
    pub connection: ConnectionMode,
    /// Where in Azure the data controller belongs.
    pub azure: AzureScope,
    /// `DEPLOYMENT_INFRASTRUCTURE`.
    pub infrastructure: Infrastructure,
    /// `KUBERNETES_STORAGECLASS`; none: the cluster's default.
    pub storage_class: Option<String>,
    /// `DOCKER_REGISTRY`, `DOCKER_REPOSITORY`, `DOCKER_TAG` and `DOCKER_IMAGE_POLICY`, where given.
    pub docker: DockerSettings,
    /// The suites of the connectivity mode: `TESTS_DIRECT` or `TESTS_INDIRECT`.
    pub suites: Vec<String>,
    /// `TEST_REPEAT_COUNT`.
    pub repeat: u32,
    /// `SKIP_*`.
    pub skip: Skips,
}

/// Where in Azure a data controller belongs. Another's is not to be touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AzureScope {
    /// `SUBSCRIPTION_ID`.
    pub subscription: String,
    /// `RESOURCE_GROUP_NAME`.
    pub resource_group: String,
    /// `LOCATION`.
    pub location: String,
}

/// Where Microsoft's images would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DockerSettings {
    /// `DOCKER_REGISTRY`.
    pub registry: Option<String>,
    /// `DOCKER_REPOSITORY`.
    pub repository: Option<String>,
    /// `DOCKER_TAG`.
    pub image_tag: Option<String>,
    /// `DOCKER_IMAGE_POLICY`.
    pub image_pull_policy: Option<String>,
}

/// Stages that are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Skips {
    /// `SKIP_PRECLEAN`.
    pub pre_clean: bool,
    /// `SKIP_SETUP`.
    pub setup: bool,
    /// `SKIP_TEST`.
    pub test: bool,
    /// `SKIP_POSTCLEAN`.
    pub post_clean: bool,
    /// `SKIP_UPLOAD`.
    pub upload: bool,
}

/// What of `.test.env` cannot be used: every problem, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(pub Vec<String>);

/// The suites that run by default (`.test.env.tmpl` in `microsoft/azure_arc`).
const DEFAULT_DIRECT: &str = "direct-crud direct-hydration controldb";
const DEFAULT_INDIRECT: &str = "billing controldb kube-rbac";

impl Settings {
    /// Reads the variables that the stand-in uses; of several assignments to one the last counts, as in a shell.
    ///
    /// # Errors
    /// [`SettingsError`], with every problem.
    pub(super) fn read(assignments: &[Assignment]) -> Result<Self, SettingsError> {
        let mut reader = Reader { assignments, problems: Vec::new() };
        let connection = reader.word::<ConnectionMode>("CONNECTIVITY_MODE", "direct or indirect");
        let infrastructure =
            reader.word::<Infrastructure>("DEPLOYMENT_INFRASTRUCTURE", "alibaba, aws, azure, gcp, onpremises or other");
        let azure = AzureScope {
            subscription: reader.required("SUBSCRIPTION_ID"),
            resource_group: reader.required("RESOURCE_GROUP_NAME"),
            location: reader.required("LOCATION"),
        };
        let docker = DockerSettings {
            registry: reader.optional("DOCKER_REGISTRY"),
            repository: reader.optional("DOCKER_REPOSITORY"),
            image_tag: reader.optional("DOCKER_TAG"),
            image_pull_policy: reader.optional("DOCKER_IMAGE_POLICY"),
        };
        let skip = Skips {
            pre_clean: reader.flag("SKIP_PRECLEAN"),
            setup: reader.flag("SKIP_SETUP"),
            test: reader.flag("SKIP_TEST"),
            post_clean: reader.flag("SKIP_POSTCLEAN"),
            upload: reader.flag("SKIP_UPLOAD"),
        };
        let repeat = reader.count("TEST_REPEAT_COUNT");
        let storage_class = reader.optional("KUBERNETES_STORAGECLASS");
        let (variable, default) = match connection {
            Some(ConnectionMode::Direct) => ("TESTS_DIRECT", DEFAULT_DIRECT),
            _ => ("TESTS_INDIRECT", DEFAULT_INDIRECT),
        };
        let suites = reader.optional(variable).unwrap_or_else(|| default.to_owned());
        let suites = suites.split_whitespace().map(str::to_owned).collect();
        match (connection, infrastructure, reader.problems) {
            (Some(connection), Some(infrastructure), problems) if problems.is_empty() => {
                Ok(Self { connection, azure, infrastructure, storage_class, docker, suites, repeat, skip })
            }
            (_, _, problems) => Err(SettingsError(problems)),
        }
    }
}

struct Reader<'a> {
    assignments: &'a [Assignment],
    problems: Vec<String>,
}

impl Reader<'_> {
    fn optional(&self, name: &str) -> Option<String> {
        let last = self.assignments.iter().rev().find(|assignment| assignment.name == name)?;
        Some(last.value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set"));
            String::new()
        })
    }

    /// A value out of a fixed set: the one that the custom resource has.
    fn word<T: for<'de> Deserialize<'de>>(&mut self, name: &str, allowed: &str) -> Option<T> {
        let value = self.required(name);
        if value.is_empty() {
            return None;
        }
        let word = serde_json::from_value(Value::from(value.clone())).ok();
        if word.is_none() {
            self.problem(name, &value, allowed);
        }
        word
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.optional(name).as_deref() {
            None | Some("0") => false,
            Some("1") => true,
            Some(other) => {
                self.problem(name, other, "0, 1 or empty");
                false
            }
        }
    }

    fn count(&mut self, name: &str) -> u32 {
        let Some(value) = self.optional(name) else { return 1 };
        let count = u32::from_str(&value).ok().filter(|&count| count > 0);
        count.unwrap_or_else(|| {
            self.problem(name, &value, "a number from 1 on");
            1
        })
    }

    fn problem(&mut self, name: &str, value: impl Display, allowed: &str) {
        self.problems.push(format!("{name} is `{value}`, not {allowed}"));
    }
}

/// An assignment as it may be shown: the values of secrets as asterisks.
pub(super) fn shown(assignment: &Assignment) -> String {
    let secret = is_secret(&assignment.name) && !assignment.value.is_empty();
    format!("{}={}", assignment.name, if secret { "********" } else { &assignment.value })
}

#[cfg(test)]
pub(super) mod tests {
    use rstest::rstest;

    use super::*;

    pub(in super::super) fn assignments(pairs: &[(&str, &str)]) -> Vec<Assignment> {
        let pairs = pairs.iter().enumerate();
        pairs
            .map(|(line, (name, value))| Assignment { name: (*name).into(), value: (*value).into(), line: line + 1, span: 0..0 })
            .collect()
    }

    pub(in super::super) const USUAL: [(&str, &str); 6] = [
        ("CONNECTIVITY_MODE", "indirect"),
        ("DEPLOYMENT_INFRASTRUCTURE", "onpremises"),
        ("SUBSCRIPTION_ID", "s"),
        ("RESOURCE_GROUP_NAME", "g"),
        ("LOCATION", "eastus"),
        ("KUBERNETES_STORAGECLASS", "local-path"),
    ];

    fn with(more: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(&assignments(&[&USUAL, more].concat()))
    }

    #[test]
    fn what_is_left_out_has_the_documented_defaults() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.suites, ["billing", "controldb", "kube-rbac"]);
        assert_eq!((settings.repeat, settings.skip), (1, Skips::default()));
        assert_eq!(settings.infrastructure, Infrastructure::OnPremises);
    }

    #[test]
    fn the_suites_are_those_of_the_mode() {
        let settings = with(&[("CONNECTIVITY_MODE", "direct"), ("TESTS_DIRECT", "a  b"), ("TESTS_INDIRECT", "c")]).unwrap();
        assert_eq!(settings.suites, ["a", "b"]);
    }

    #[rstest]
    #[case("CONNECTIVITY_MODE", "sometimes", "CONNECTIVITY_MODE is `sometimes`, not direct or indirect")]
    #[case(
        "DEPLOYMENT_INFRASTRUCTURE",
        "moon",
        "DEPLOYMENT_INFRASTRUCTURE is `moon`, not alibaba, aws, azure, gcp, onpremises or other"
    )]
    #[case("SUBSCRIPTION_ID", "", "SUBSCRIPTION_ID is not set")]
    #[case("SKIP_TEST", "yes", "SKIP_TEST is `yes`, not 0, 1 or empty")]
    #[case("TEST_REPEAT_COUNT", "0", "TEST_REPEAT_COUNT is `0`, not a number from 1 on")]
    fn what_cannot_be_used_is_told(#[case] name: &str, #[case] value: &str, #[case] problem: &str) {
        assert_eq!(with(&[(name, value)]), Err(SettingsError(vec![problem.to_owned()])));
    }

    #[test]
    fn every_problem_is_told() {
        let error = Settings::read(&[]).unwrap_err();
        assert_eq!(error.0.len(), 5, "{error}");
    }

    #[rstest]
    #[case("SPN_CLIENT_SECRET", "hunter2", "SPN_CLIENT_SECRET=********")]
    #[case("LOGS_STORAGE_ACCOUNT_SAS", "", "LOGS_STORAGE_ACCOUNT_SAS=")]
    #[case("LOCATION", "eastus", "LOCATION=eastus")]
    fn secrets_are_not_shown(#[case] name: &str, #[case] value: &str, #[case] expected: &str) {
        assert_eq!(shown(&assignments(&[(name, value)])[0]), expected);
    }
}

//! The stages of a launch, and which of them run.
//!
//! Source: "Automated validation testing" in the Azure Arc documentation
//! (`azure-arc/data/automated-integration-testing.md`).

use super::settings::Skips;
use crate::arc::data_controller::ConnectionMode;

/// How far a launch goes: `LAUNCHER_MODE` in the container's environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// All of it.
    #[default]
    Full,
    /// `SETUP_ONLY`: what was set up stays.
    SetupOnly,
    /// `CLEAN_ONLY`: what there was is removed.
    CleanOnly,
}

impl Mode {
    /// The mode of this name; the empty one is [`Mode::Full`].
    ///
    /// # Errors
    /// What else it could have been.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        match name {
            "" => Ok(Mode::Full),
            "SETUP_ONLY" => Ok(Mode::SetupOnly),
            "CLEAN_ONLY" => Ok(Mode::CleanOnly),
            other => Err(format!("LAUNCHER_MODE is `{other}`: neither SETUP_ONLY, nor CLEAN_ONLY, nor empty")),
        }
    }
}

/// A stage of a launch, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Logs in to Kubernetes with the pod's service account.
    Kubernetes,
    /// Logs in to Azure.
    Azure,
    /// Looks for Arc custom resources, and refuses the cluster if they are another's.
    Scan,
    /// Removes what the scan found.
    PreClean,
    /// Makes up the names of this launch.
    Names,
    /// Onboards the cluster to Azure Arc.
    Onboard,
    /// Deploys the data controller, and waits for it.
    SetUp,
    /// Logs how everything is after the set-up.
    SetupLogs,
    /// Runs the suites.
    Tests,
    /// Logs how everything is after the tests.
    TestLogs,
    /// Removes what there is.
    PostClean,
    /// Uploads logs and results.
    Upload,
}

impl Stage {
    /// What it does, as its log line says it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Stage::Kubernetes => "log in to Kubernetes",
            Stage::Azure => "log in to Azure",
            Stage::Scan => "scan for Arc custom resources",
            Stage::PreClean => "PRECLEAN",
            Stage::Names => "generate names",
            Stage::Onboard => "onboard the cluster to Azure Arc",
            Stage::SetUp => "SETUP",
            Stage::SetupLogs => "debug logs: setup-complete",
            Stage::Tests => "TEST",
            Stage::TestLogs => "debug logs: test-complete",
            Stage::PostClean => "POSTCLEAN",
            Stage::Upload => "UPLOAD",
        }
    }
}

/// The stages that run, in order.
pub(super) fn plan(mode: Mode, connection: ConnectionMode, skip: Skips) -> Vec<Stage> {
    let (goes_on, tests) = (mode != Mode::CleanOnly, mode == Mode::Full);
    [
        (Stage::Kubernetes, true),
        (Stage::Azure, true),
        (Stage::Scan, true),
        (Stage::PreClean, !skip.pre_clean),
        (Stage::Names, goes_on),
        (Stage::Onboard, goes_on && !skip.setup && connection == ConnectionMode::Direct),
        (Stage::SetUp, goes_on && !skip.setup),
        (Stage::SetupLogs, goes_on && !skip.setup),
        (Stage::Tests, tests && !skip.test),
        (Stage::TestLogs, tests && !skip.test),
        (Stage::PostClean, tests && !skip.post_clean),
        (Stage::Upload, tests && !skip.upload),
    ]
    .into_iter()
    .filter_map(|(stage, runs)| runs.then_some(stage))
    .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Stage::*, *};

    const NONE: Skips = Skips { pre_clean: false, setup: false, test: false, post_clean: false, upload: false };

    #[rstest]
    #[case::full(Mode::Full, ConnectionMode::Direct, NONE,
        &[Kubernetes, Azure, Scan, PreClean, Names, Onboard, SetUp, SetupLogs, Tests, TestLogs, PostClean, Upload])]
    #[case::indirect_does_not_onboard(Mode::Full, ConnectionMode::Indirect, NONE,
        &[Kubernetes, Azure, Scan, PreClean, Names, SetUp, SetupLogs, Tests, TestLogs, PostClean, Upload])]
    #[case::setup_only(Mode::SetupOnly, ConnectionMode::Indirect, NONE,
        &[Kubernetes, Azure, Scan, PreClean, Names, SetUp, SetupLogs])]
    #[case::clean_only(Mode::CleanOnly, ConnectionMode::Direct, NONE, &[Kubernetes, Azure, Scan, PreClean])]
    #[case::skip_tests(Mode::Full, ConnectionMode::Indirect, Skips { test: true, upload: true, ..NONE },
        &[Kubernetes, Azure, Scan, PreClean, Names, SetUp, SetupLogs, PostClean])]
    #[case::tests_alone(Mode::Full, ConnectionMode::Direct, Skips { pre_clean: true, setup: true, post_clean: true, ..NONE },
        &[Kubernetes, Azure, Scan, Names, Tests, TestLogs, Upload])]
    fn stages_run_in_order(
        #[case] mode: Mode,
        #[case] connection: ConnectionMode,
        #[case] skip: Skips,
        #[case] expected: &[Stage],
    ) {
        assert_eq!(plan(mode, connection, skip), expected);
    }

    #[test]
    fn a_mode_is_one_of_the_documented() {
        assert_eq!(Mode::named(""), Ok(Mode::Full));
        assert_eq!(Mode::named("SETUP_ONLY"), Ok(Mode::SetupOnly));
        assert!(Mode::named("setup").is_err());
    }
}

//! A test harness that decides at run time which of its tests run, and surrounds each of them.
//!
//! Whether a case that needs K3s runs depends on how the suite was called, and libtest's `#[ignore]` is fixed when it
//! is compiled. So a test target with `harness = false` calls [`main`], and tests register themselves with
//! `#[k3s_arc_harness::test]`, which rstest takes for its test attribute. It speaks libtest's command line, by
//! libtest-mimic, and so nextest's: <https://nexte.st/docs/design/custom-test-harnesses/>.
//!
//! A case whose name ends in `_by_hand` disturbs others on the host, and is always ignored unless asked for.
//!
//! A case that needs a real K3s has a name that ends in `_k3s` (`#[case::k3s(...)]`). Under nextest the profile's
//! `default-filter` decides about it. Under `cargo test` it is reported as *ignored*, with the reason, unless asked for with
//! `-- --ignored` or `-- --include-ignored`.

use std::{future::Future, pin::Pin, process::ExitCode};

pub use inventory;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tracing_subscriber::EnvFilter;

use crate::fixture;

/// Why a case did not run, and what makes it.
const IGNORED: &str = "needs K3s: cargo nextest run --profile e2e";

/// How many run at once unless the command line says it. They wait for a cluster far more than they work.
const AT_ONCE: usize = 8;

/// What a registered test is: a function that makes its future.
pub type Body = fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A registered test. `#[k3s_arc_harness::test]` makes these.
#[derive(Debug)]
pub struct Case {
    path: &'static str,
    body: Body,
}

inventory::collect!(Case);

impl Case {
    /// A test by its path, crate included.
    pub const fn new(path: &'static str, body: Body) -> Self {
        Self { path, body }
    }

    /// Its path within the crate, as libtest would name it.
    fn name(&self) -> &'static str {
        self.path.split_once("::").map_or(self.path, |(_, name)| name)
    }

    /// Disturbs more than its own run, so that only who asks for it by name has it run.
    fn is_by_hand(&self) -> bool {
        self.path.ends_with("_by_hand")
    }

    fn needs_k3s(&self) -> bool {
        self.path.ends_with("_k3s")
    }

    fn trial(&'static self, caller: &Caller) -> Trial {
        let run = || self.run().map_err(Failed::from);
        if self.is_by_hand() {
            // Both callers leave out what has the flag, unless told otherwise.
            return Trial::test(self.name(), run).with_ignored_flag(true);
        }
        match (self.needs_k3s(), caller) {
            (false, _) | (true, Caller::Nextest) => Trial::test(self.name(), run),
            (true, Caller::Libtest { ignored_too: true }) => Trial::test(self.name(), run).with_ignored_flag(true),
            (true, Caller::Libtest { ignored_too: false }) => {
                Trial::ignorable_test(self.name(), || Ok(Completion::ignored_with(IGNORED)))
            }
        }
    }

    fn run(&self) -> Result<(), String> {
        runtime()?.block_on((self.body)())
    }
}

/// Each test has a runtime of its own: what one leaves behind in it cannot reach the next.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))
}

/// Who called the test binary.
enum Caller {
    /// nextest, whose profile selects.
    Nextest,
    /// `cargo test`, or a person.
    Libtest {
        /// Whether ignored tests were asked for.
        ignored_too: bool,
    },
}

/// Runs the registered tests as the command line asks; a test target's main function is this call.
pub fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("k3s_arc_harness=info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    lines.without_time().with_level(false).with_ansi(false).init();

    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let caller = match std::env::var_os("NEXTEST") {
        Some(_) => Caller::Nextest,
        None => Caller::Libtest { ignored_too: arguments.ignored || arguments.include_ignored },
    };
    let mut cases: Vec<&Case> = inventory::iter::<Case>.into_iter().collect();
    cases.sort_by_key(|case| case.path);
    let trials = cases.into_iter().map(|case| case.trial(&caller)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    match runtime() {
        Ok(runtime) => runtime.block_on(fixture::finish()),
        Err(problem) => tracing::warn!("what this run made is left for the reaper: {problem}"),
    }
    conclusion.exit_code()
}

/// What a test returns.
pub trait IntoVerdict {
    /// Passed, or the text of what failed.
    ///
    /// # Errors
    /// The text.
    fn into_verdict(self) -> Result<(), String>;
}

impl IntoVerdict for () {
    fn into_verdict(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: miette::Diagnostic> IntoVerdict for Result<(), E> {
    fn into_verdict(self) -> Result<(), String> {
        self.map_err(|error| crate::report_of(&error))
    }
}

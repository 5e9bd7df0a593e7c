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
//!
//! On a cluster that exists (`K3S_ARC_PROVIDER=kubeconfig`) some of them do not apply, and some need of the host what is not on every one.
//! Nextest knows no test that turns out so when it runs, so the cluster and the host are looked at when tests are listed, and these are
//! listed as *ignored*.

use std::{collections::BTreeMap, future::Future, pin::Pin, process::ExitCode};

pub use inventory;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tracing_subscriber::EnvFilter;

use crate::{check::Check, cluster::Capability, fixture};

/// Why a case did not run, and what makes it.
const IGNORED: &str = "needs K3s: cargo nextest run --profile e2e (or faults)";

/// How many run at once unless the command line says it. They wait for a cluster far more than they work.
const AT_ONCE: usize = 8;

/// What a registered test is: a function that makes its future.
pub type Body = fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A registered test. `#[k3s_arc_harness::test]` makes these.
#[derive(Debug)]
pub struct Case {
    path: &'static str,
    body: Body,
    check: Option<&'static Check>,
    needs: &'static [Capability],
    unless: Option<Lack>,
}

/// What this host lacks for a test, if anything.
pub type Lack = fn() -> Option<String>;

/// What is known, where it is asked, of whether cases apply.
#[derive(Debug, Default)]
struct Found {
    /// What the cluster lacks that is to be used.
    cluster: BTreeMap<Capability, String>,
    /// Whether cases are asked what their host lacks.
    is_host_asked: bool,
}

inventory::collect!(Case);

impl Case {
    /// A test by its path, crate included.
    pub const fn new(path: &'static str, body: Body) -> Self {
        Self { path, body, check: None, needs: &[], unless: None }
    }

    /// The same, which asks this check.
    pub const fn asking(self, check: &'static Check) -> Self {
        Self { check: Some(check), ..self }
    }

    /// The same, on a cluster that can do this.
    pub const fn needing(self, needs: &'static [Capability]) -> Self {
        Self { needs, ..self }
    }

    /// The same, on a host that lacks nothing for it.
    pub const fn unless(self, lack: Lack) -> Self {
        Self { unless: Some(lack), ..self }
    }

    /// Why it does not apply here.
    fn lack(&self, found: &Found) -> Option<String> {
        let needs = self.needs.iter().copied().chain(self.check.into_iter().flat_map(Check::needs));
        let reasons: Vec<&str> = needs.filter_map(|need| found.cluster.get(&need)).map(String::as_str).collect();
        if self.needs_k3s() && !reasons.is_empty() {
            return Some(reasons.join("; "));
        }
        self.unless.filter(|_| found.is_host_asked).and_then(|lack| lack())
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

    fn trial(&'static self, caller: &Caller, found: &Found) -> Trial {
        if let Some(reason) = self.lack(found) {
            let name = self.name();
            return match caller {
                Caller::Nextest => Trial::test(name, || Err("it does not apply here".into())).with_ignored_flag(true),
                Caller::Libtest { .. } => {
                    // With the flag, so that it is told with its reason where ignored tests alone are asked for.
                    Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason.clone()))).with_ignored_flag(true)
                }
            };
        }
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
    let found = find_out(&arguments, &caller);
    let trials = cases.into_iter().map(|case| case.trial(&caller, &found)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    match runtime() {
        Ok(runtime) => runtime.block_on(fixture::finish()),
        Err(problem) => tracing::warn!("what this run made is left for the reaper: {problem}"),
    }
    conclusion.exit_code()
}

/// What the cluster lacks that exists and is to be used. That it cannot be looked at is for the tests to tell that use it.
fn find_out(arguments: &Arguments, caller: &Caller) -> Found {
    if !arguments.list && !matches!(caller, Caller::Libtest { ignored_too: true }) {
        return Found::default();
    }
    let looked = runtime().and_then(|runtime| runtime.block_on(fixture::lacks()).map_err(|error| crate::report_of(&error)));
    let cluster = looked.unwrap_or_else(|problem| {
        tracing::warn!("what the cluster can be asked is not known: {problem}");
        BTreeMap::new()
    });
    Found { cluster, is_host_asked: true }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{dns, readiness};

    fn body() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        Box::pin(async { Ok(()) })
    }

    #[test]
    fn a_case_is_ignored_for_what_its_check_or_itself_needs() {
        let cluster =
            [Capability::KubeDns, Capability::Own, Capability::Launch].map(|lack| (lack, format!("no {lack:?}"))).into();
        let found = Found { cluster, is_host_asked: true };
        let case = |path| Case::new(path, body);
        let lack = |case: Case| case.lack(&found);
        assert_eq!(lack(case("e2e::case_2_k3s").asking(&dns::RESOLV_CONF)).as_deref(), Some("no KubeDns"));
        assert_eq!(lack(case("e2e::case_2_k3s").asking(&readiness::STEADY)).as_deref(), Some("no Launch"), "it is about Arc");
        assert_eq!(lack(case("e2e::case_2_k3s").needing(&[Capability::Own])).as_deref(), Some("no Own"));
        assert_eq!(lack(case("e2e::case_2_k3s").asking(&readiness::API)), None);
        assert_eq!(lack(case("e2e::case_1_emulator").asking(&dns::RESOLV_CONF)), None, "an emulator is made for it");
    }

    #[test]
    fn a_case_is_ignored_for_what_its_host_lacks_which_is_found_out_when_it_is_listed() {
        let case = || Case::new("e2e::case_1_k3s", body).unless(|| Some("no room".to_owned()));
        assert_eq!(case().lack(&Found { is_host_asked: true, ..Found::default() }).as_deref(), Some("no room"));
        assert_eq!(case().lack(&Found::default()), None, "it was chosen to run");
        let lacks_nothing = Case::new("e2e::case_1_k3s", body).unless(|| None);
        assert_eq!(lacks_nothing.lack(&Found { is_host_asked: true, ..Found::default() }), None);
    }
}

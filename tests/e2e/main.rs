//! The e2e suite: a module per area, a case per target, one check per test.

// Helpers of tests, like tests, say what went wrong by panicking.
#![allow(clippy::expect_used)]

mod cache;
mod cluster;
mod dns;
mod faults;
mod killed;
mod launcher;
mod left;
mod multipass;
mod readiness;
mod resources;
mod secrets;
mod storage;

use std::process::ExitCode;

use k3s_arc_harness::cluster::Capability;

/// What a test needs that breaks, ends or refuses clusters: nobody else's is.
const OWN: &[Capability] = &[Capability::Own];

/// What a test needs that does so by Docker's means, or is about them.
const CONTAINER: &[Capability] = &[Capability::Own, Capability::Container];

/// A report must have these texts in it.
#[track_caller]
fn assert_tells(report: &str, texts: &[&str]) {
    for text in texts {
        assert!(report.contains(text), "the report must tell `{text}`:\n{report}");
    }
}

fn main() -> ExitCode {
    k3s_arc_harness::suite::main()
}

//! The e2e suite: a module per area, a case per target, one check per test.

// Helpers of tests, like tests, say what went wrong by panicking.
#![allow(clippy::expect_used)]

mod cache;
mod cluster;
mod dns;
mod killed;
mod launcher;
mod readiness;
mod resources;
mod secrets;
mod storage;

use std::process::ExitCode;

fn main() -> ExitCode {
    k3s_arc_harness::suite::main()
}

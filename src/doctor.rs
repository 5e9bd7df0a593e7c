//! `k3s-arc doctor`: whether this host has what the suite needs.

use k3s_arc_harness::{
    config::Config,
    doctor::{self, Verdict},
    report,
};

use crate::{
    ENVIRONMENT, Failed, PASSED,
    arguments::{Doctor, Output},
    progress,
};

pub(crate) async fn run(config: &Config, what: &Doctor) -> Result<u8, Failed> {
    let examination = doctor::examine(config).await;
    progress::print(&match what.output {
        Output::Table => report::doctor::table(&examination, progress::width()),
        Output::Json => report::doctor::json(&examination),
    });
    Ok(if examination.verdict() == Verdict::Missing { ENVIRONMENT } else { PASSED })
}

//! How the launcher ended.

use std::time::Duration;

use crate::check::{Access, Area, Check, Context, Evidence, Failure};

/// Did the launcher's pod become ready in time, and did the launcher end with 0?
pub const LAUNCHER: Check = Check {
    area: Area::Readiness,
    name: "launcher",
    question: "Did the launcher's pod become ready in time, and did the launcher end with 0?",
    needs: &[],
    access: Access::Shared,
    on_arc: true,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// How long the pod may take: `kubectl wait --timeout=360s` in "Automated validation testing" of the Azure Arc documentation.
const POD_READY_WITHIN: Duration = Duration::from_secs(360);

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let launch = cx.launch()?;
    let last = launch.log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    evidence.saw("launcher", format!("{}{}", launch.image, if launch.standin { " (the stand-in)" } else { "" }));
    evidence.saw("pod Ready after", seconds(launch.pod_ready_after));
    evidence.saw("ended after", seconds(launch.took));
    evidence.saw("exit code", launch.exit_code);
    evidence.saw("last line of its log", last);

    let in_time = launch.pod_ready_after <= POD_READY_WITHIN;
    let within = format!("the launcher's pod is Ready within {}", seconds(POD_READY_WITHIN));
    evidence.require(in_time, within, seconds(launch.pod_ready_after))?;
    let ended = format!("exit code {}, log ends with: {last}", launch.exit_code);
    evidence.require(launch.exit_code == 0, "the launcher ends with exit code 0", &ended)?;
    evidence.require(told_exit_code(last) == Some(0), "the launcher's last line tells exit code 0", ended)?;
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// The code in the launcher's last line, `HH:MM:SS | INFO | arc-ci-launcher exiting with code: N.`
fn told_exit_code(line: &str) -> Option<i32> {
    let (_, text) = line.trim().rsplit_once(" | ")?;
    text.strip_prefix("arc-ci-launcher exiting with code: ")?.strip_suffix('.')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::passed("10:21:07 | INFO | arc-ci-launcher exiting with code: 0.", Some(0))]
    #[case::failed("10:21:07 | INFO | arc-ci-launcher exiting with code: 3.\r", Some(3))]
    #[case::cut_short("10:21:07 | INFO | Waiting for data controller", None)]
    #[case::nothing("", None)]
    fn the_last_line_tells_the_exit_code(#[case] line: &str, #[case] code: Option<i32>) {
        assert_eq!(told_exit_code(line), code);
    }
}

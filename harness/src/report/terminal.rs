//! The report as a person reads it: a table, then the evidence of what failed.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::{Report, STYLE, Verdict};

/// What must not be overlooked, the table of checks, the evidence (of failures, or of all checks), and the verdict in one line, `width` columns wide.
pub fn render(report: &Report, width: u16, all_evidence: bool) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(["check", "question", "verdict", "seconds"]);
    for line in &report.lines {
        table.add_row([
            Cell::new(line.id()),
            Cell::new(line.question),
            Cell::new(line.verdict.name()),
            Cell::new(format!("{:.1}", line.took.as_secs_f64())).set_alignment(CellAlignment::Right),
        ]);
    }
    let mut text = header(report) + &table.trim_fmt() + "\n";
    for line in &report.lines {
        let told = match &line.verdict {
            Verdict::Passed(evidence) if all_evidence => evidence.to_string(),
            Verdict::Passed(_) => continue,
            Verdict::Failed(failure) => failure.to_string(),
            Verdict::NotApplicable(reason) | Verdict::NotAsked(reason) => reason.clone(),
        };
        text += &format!("\n{}: {}\n{}\n", line.id(), line.question, told.trim_end());
    }
    text + "\n" + &summary(report) + "\n"
}

/// Before everything else: on what the checks were asked, where that is not a real K3s, and why on that.
fn header(report: &Report) -> String {
    let emulated = "Asked of an emulated K3s: no verdict on K3s itself.";
    let not_k3s = (!report.is_k3s).then_some("Asked of a cluster that is not K3s: no verdict on K3s.");
    let lines = report.emulated.then_some(emulated).or(not_k3s).into_iter().chain(report.choice.as_deref());
    lines.map(|line| format!("{line}\n")).collect()
}

/// The verdict in one line; it never hides who played the launcher, or K3s itself.
fn summary(report: &Report) -> String {
    let count = |wanted: fn(&Verdict) -> bool| report.lines.iter().filter(|line| wanted(&line.verdict)).count();
    let passed = count(|verdict| matches!(verdict, Verdict::Passed(_)));
    let not_applicable = count(|verdict| matches!(verdict, Verdict::NotApplicable(_)));
    let failed = report.lines.len() - passed - not_applicable;
    let arc = match &report.launcher {
        Some((_, true)) => "Arc data services played by the stand-in".to_owned(),
        Some((image, false)) => format!("Arc data services by {image}"),
        None => "no Arc data services launched".to_owned(),
    };
    let applicable = if not_applicable > 0 { format!(", {not_applicable} not applicable") } else { String::new() };
    let k3s = if report.emulated {
        format!("emulated K3s {} ({}; not a verdict on K3s itself)", report.k3s, report.provider)
    } else if report.is_k3s {
        format!("K3s {} ({})", report.k3s, report.provider)
    } else {
        format!("Kubernetes {} ({}; not K3s)", report.k3s, report.provider)
    };
    format!("{k3s}, {arc}: {passed} passed, {failed} failed{applicable}; {:.0} s", report.took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        check::{Area, Evidence, Failure},
        report::Line,
    };

    fn report() -> Report {
        let mut evidence = Evidence::new();
        evidence.saw("answer", "NXDOMAIN").saw("Corefile", ".:53 {\n  errors\n}");
        let failure = Failure::new("the node's name resolves to its address", "NXDOMAIN").with_evidence(evidence);
        let line = |check, verdict, tenths: u64| Line {
            area: Area::Dns,
            check,
            question: "Does a pod resolve it?",
            verdict,
            took: Duration::from_millis(tenths * 100),
        };
        Report {
            k3s: "v1.34.1+k3s1".to_owned(),
            provider: "docker",
            is_k3s: true,
            emulated: false,
            choice: None,
            launcher: Some(("docker.io/k3s-arc/standin:0".to_owned(), true)),
            lines: vec![
                line("cluster_ip", Verdict::Passed(Evidence::new()), 21),
                line("node_names", Verdict::Failed(Box::new(failure)), 34),
                line("node_shell", Verdict::NotApplicable("needs [NodeExec]".to_owned()), 0),
            ],
            took: Duration::from_secs(61),
        }
    }

    #[test]
    fn a_report_shows_every_check_and_the_evidence_of_what_failed() {
        insta::assert_snapshot!(render(&report(), 100, false));
    }

    #[test]
    fn an_emulated_k3s_is_never_taken_for_one() {
        let choice = Some("nobody said who: the emulator, because no Docker Engine answers".to_owned());
        let report = Report { provider: "emulator", emulated: true, choice, ..report() };
        let text = render(&report, 100, false);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        assert_eq!(lines[0], "Asked of an emulated K3s: no verdict on K3s itself.");
        assert_eq!(lines[1], report.choice.unwrap());
        assert_eq!(
            lines[lines.len() - 1],
            "emulated K3s v1.34.1+k3s1 (emulator; not a verdict on K3s itself), Arc data services played by the stand-in: \
             1 passed, 1 failed, 1 not applicable; 61 s"
        );
    }

    #[test]
    fn another_distribution_is_never_taken_for_k3s() {
        let text = render(&Report { k3s: "v1.34.0".to_owned(), is_k3s: false, ..report() }, 100, false);
        assert!(text.starts_with("Asked of a cluster that is not K3s: no verdict on K3s.\n"), "{text}");
        assert!(text.contains("\nKubernetes v1.34.0 (docker; not K3s), "), "{text}");
    }

    #[test]
    fn a_check_that_was_not_asked_is_no_pass() {
        let mut report = report();
        assert!(!report.passed());
        report.lines.remove(1);
        assert!(report.passed(), "what does not apply is no failure");
        report.lines[0].verdict = Verdict::NotAsked("the launch failed".to_owned());
        assert!(!report.passed());
        assert!(summary(&report).contains("0 passed, 1 failed, 1 not applicable"));
    }
}

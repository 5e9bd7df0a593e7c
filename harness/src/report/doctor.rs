//! A host's examination, as a person reads it and as a program does.

use comfy_table::{ContentArrangement, Table};
use serde_json::json;

use super::STYLE;
use crate::doctor::{Examination, Finding, Verdict};

/// A table of what was found, then what to do about it, then the verdict in one line; `width` columns wide.
pub fn table(examination: &Examination, width: u16) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(["what", "found", "needed", "verdict"]);
    for finding in &examination.findings {
        table.add_row([&finding.what, &finding.found, &finding.needed, finding.verdict.name()]);
    }
    let remedies: String = examination.findings.iter().filter_map(remedy).collect();
    format!("{}\n{}\n{}", table.trim_fmt(), remedies, summary(examination))
}

fn remedy(finding: &Finding) -> Option<String> {
    let remedy = finding.remedy.as_deref()?;
    Some(format!("{}, {}: {remedy}\n", finding.what, finding.verdict.name()))
}

fn summary(examination: &Examination) -> String {
    let count = |verdict| examination.findings.iter().filter(|finding| finding.verdict == verdict).count();
    let verdict = match examination.verdict() {
        Verdict::Missing => "this host lacks what the suite needs",
        _ => "this host has what the suite needs",
    };
    format!(
        "{}: {verdict} ({} ok, {} warnings, {} missing, {} not seen)",
        examination.suite,
        count(Verdict::Ok),
        count(Verdict::Warning),
        count(Verdict::Missing),
        count(Verdict::NotSeen)
    )
}

/// The same for programs.
pub fn json(examination: &Examination) -> String {
    let json = json!({
        "suite": examination.suite,
        "verdict": examination.verdict(),
        "findings": examination.findings,
    });
    format!("{json:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examination() -> Examination {
        let line = |what: &str, verdict, remedy: Option<&str>| Finding {
            what: what.to_owned(),
            found: "1".to_owned(),
            needed: "2".to_owned(),
            verdict,
            remedy: remedy.map(str::to_owned),
        };
        Examination {
            suite: "K3s in Docker".to_owned(),
            findings: vec![
                line("memory", Verdict::Ok, None),
                line("cores", Verdict::Missing, Some("take a machine with more cores")),
                line("clock", Verdict::NotSeen, Some("nobody to compare it with")),
            ],
        }
    }

    #[test]
    fn what_is_missing_is_told_with_its_remedy() {
        insta::assert_snapshot!(table(&examination(), 80));
    }

    #[test]
    fn programs_read_verdicts_by_name() {
        let json: serde_json::Value = serde_json::from_str(&json(&examination())).unwrap();
        assert_eq!(json["verdict"], "missing");
        assert_eq!(json["findings"][2]["verdict"], "not-seen");
        assert_eq!(json["findings"][1]["remedy"], "take a machine with more cores");
    }
}

//! The reports of several K3s side by side: checks by versions, and what changed from one version to the next.

use comfy_table::{ContentArrangement, Table};

use super::{Report, STYLE, Verdict};

/// What became of one K3s.
#[derive(Debug)]
pub struct Column<'a> {
    /// The K3s, as it was asked for: an image.
    pub k3s: String,
    /// Its report; none where no cluster or no launch came of it.
    pub report: Option<&'a Report>,
}

impl Column<'_> {
    fn title(&self) -> String {
        match self.report {
            Some(report) if report.emulated => format!("emulated {}", report.k3s),
            Some(report) => report.k3s.clone(),
            None => self.k3s.clone(),
        }
    }

    /// The verdict on a check, by the check's id.
    fn verdict(&self, id: &str) -> &'static str {
        match self.report {
            None => "NOT ASKED",
            Some(report) => {
                let line = report.lines.iter().find(|line| line.id() == id);
                line.map_or("-", |line| line.verdict.name())
            }
        }
    }

    fn summary(&self) -> String {
        let Some(report) = self.report else { return "no report".to_owned() };
        let passed = report.lines.iter().filter(|line| matches!(line.verdict, Verdict::Passed(_))).count();
        let not_applicable = report.lines.iter().filter(|line| matches!(line.verdict, Verdict::NotApplicable(_))).count();
        let failed = report.lines.len() - passed - not_applicable;
        format!("{passed} passed, {failed} failed; {:.0} s", report.took.as_secs_f64())
    }
}

/// One table, a row for each check and a column for each K3s, and below it what changed between neighbours; `width` columns wide.
pub fn compare(columns: &[Column<'_>], width: u16) -> String {
    let ids = ids(columns);
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(["check".to_owned()].into_iter().chain(columns.iter().map(Column::title)));
    for id in &ids {
        let verdicts = columns.iter().map(|column| column.verdict(id).to_owned());
        table.add_row([id.clone()].into_iter().chain(verdicts));
    }
    table.add_row([String::new()].into_iter().chain(columns.iter().map(Column::summary)));
    let changes: String = columns.windows(2).map(|pair| change(&ids, &pair[0], &pair[1])).collect();
    format!("{}\n\n{}", table.trim_fmt(), changes.trim_end())
}

/// The checks that were asked of any, in the order of the first that has each.
fn ids(columns: &[Column<'_>]) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for id in columns.iter().filter_map(|column| column.report).flat_map(|report| &report.lines).map(super::Line::id) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

fn change(ids: &[String], before: &Column<'_>, after: &Column<'_>) -> String {
    let from_to = format!("from {} to {}", before.title(), after.title());
    if before.report.is_none() || after.report.is_none() {
        return format!("{from_to}: one of them has no report\n");
    }
    let changed = |id: &&String| before.verdict(id) != after.verdict(id);
    let lines: String =
        ids.iter().filter(changed).map(|id| format!("  {id}: {}, then {}\n", before.verdict(id), after.verdict(id))).collect();
    if lines.is_empty() { format!("{from_to}: no verdict changed\n") } else { format!("{from_to}:\n{lines}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        check::{Area, Evidence, Failure},
        report::Line,
    };

    fn report(k3s: &str, verdicts: [Verdict; 2]) -> Report {
        let names = ["cluster_ip", "node_names"];
        let line = |(check, verdict)| Line { area: Area::Dns, check, question: "?", verdict, took: Duration::ZERO };
        Report {
            k3s: k3s.to_owned(),
            provider: "docker",
            is_k3s: true,
            emulated: false,
            choice: None,
            launcher: None,
            lines: names.into_iter().zip(verdicts).map(line).collect(),
            took: Duration::from_secs(61),
        }
    }

    fn passed() -> Verdict {
        Verdict::Passed(Evidence::new())
    }

    #[test]
    fn what_changed_from_one_version_to_the_next_is_told() {
        let failed = Verdict::Failed(Box::new(Failure::new("it resolves", "NXDOMAIN")));
        let old = report("v1.33.2+k3s1", [passed(), passed()]);
        let new = report("v1.34.1+k3s1", [passed(), failed]);
        let column = |k3s: &str, report| Column { k3s: k3s.to_owned(), report };
        let columns = [
            column("rancher/k3s:v1.33.2-k3s1", Some(&old)),
            column("rancher/k3s:v1.34.1-k3s1", Some(&new)),
            column("rancher/k3s:v1.35.9-k3s1", None),
        ];
        insta::assert_snapshot!(compare(&columns, 120));
    }

    #[test]
    fn where_nothing_changed_that_is_said() {
        let (old, new) = (report("v1.33.2+k3s1", [passed(), passed()]), report("v1.34.1+k3s1", [passed(), passed()]));
        let columns = [&old, &new].map(|report| Column { k3s: String::new(), report: Some(report) });
        let text = compare(&columns, 100);
        assert!(text.ends_with("from v1.33.2+k3s1 to v1.34.1+k3s1: no verdict changed"), "{text}");
    }
}

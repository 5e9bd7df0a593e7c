//! Suites as people read them: on a terminal, on the page of a CI's run, and beside it.

use std::collections::BTreeSet;

use comfy_table::{ContentArrangement, Table};

use super::{Became, Suite};
use crate::report::STYLE;

/// The rows of a table: a name, and a word for each suite.
fn rows(suites: &[Suite]) -> Vec<(String, Vec<&'static str>)> {
    let names: BTreeSet<&String> = suites.iter().flat_map(|suite| suite.tests.keys()).collect();
    let word = |suite: &Suite, name| match suite.tests.get(name) {
        Some(Became::Passed) => "passed",
        Some(Became::NotRun) => "not run",
        Some(Became::Failed(_)) => "FAILED",
        None if suite.tests.is_empty() => "NO REPORT",
        None => "-",
    };
    names.into_iter().map(|name| (name.clone(), suites.iter().map(|suite| word(suite, name)).collect())).collect()
}

fn summary(suite: &Suite) -> String {
    let count = |wanted: fn(&Became) -> bool| suite.tests.values().filter(|became| wanted(became)).count();
    let (passed, failed) =
        (count(|became| matches!(became, Became::Passed)), count(|became| matches!(became, Became::Failed(_))));
    if suite.tests.is_empty() { "no report".to_owned() } else { format!("{passed} passed, {failed} failed") }
}

/// A table of tests by suites, `width` columns wide.
pub fn table(suites: &[Suite], width: u16) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(["test"].into_iter().chain(suites.iter().map(|suite| suite.name.as_str())));
    for (name, words) in rows(suites) {
        table.add_row([name.as_str()].into_iter().chain(words));
    }
    table.add_row([String::new()].into_iter().chain(suites.iter().map(summary)));
    table.trim_fmt()
}

/// The same as Markdown, for the page of a run: what failed or has no report first, all tests folded away below.
pub fn markdown(suites: &[Suite]) -> String {
    let line = |cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let header = |first: &str| {
        let names = [first.to_owned()].into_iter().chain(suites.iter().map(|suite| suite.name.clone())).collect();
        line(names) + &line(vec!["---".to_owned(); suites.len() + 1])
    };
    let body = |rows: &[(String, Vec<&'static str>)]| -> String {
        let cells = |(name, words): &(String, Vec<&str>)| {
            [format!("`{name}`")].into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect()
        };
        rows.iter().map(|row| line(cells(row))).collect()
    };
    let all = rows(suites);
    let bad: Vec<_> = all.iter().filter(|(_, words)| words.contains(&"FAILED")).cloned().collect();
    let totals = line(["all".to_owned()].into_iter().chain(suites.iter().map(summary)).collect());
    format!(
        "{}{}{}\n<details><summary>every test</summary>\n\n{}{}\n</details>\n",
        header("test"),
        body(&bad),
        totals,
        header("test"),
        body(&all)
    )
}

/// A workflow command of GitHub's for each failure, which it shows beside the run:
/// <https://docs.github.com/actions/reference/workflow-commands-for-github-actions#setting-an-error-message>.
pub fn annotations(suites: &[Suite]) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let of_suite = |suite: &Suite| -> String {
        let none = suite.tests.is_empty().then(|| format!("::error title={}::no report: nothing ran\n", property(&suite.name)));
        let failed = suite.tests.iter().filter_map(|(name, became)| match became {
            Became::Failed(said) => {
                Some(format!("::error title={}::{}\n", property(&format!("{name} on {}", suite.name)), data(&first_lines(said))))
            }
            Became::Passed | Became::NotRun => None,
        });
        none.into_iter().chain(failed).collect()
    };
    suites.iter().map(of_suite).collect()
}

/// As much as an annotation shows.
fn first_lines(text: &str) -> String {
    const LINES: usize = 20;
    text.lines().take(LINES).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::suites, *};

    #[test]
    fn tests_stand_beside_each_other_by_suite() {
        let directory = tempfile::tempdir().unwrap();
        insta::assert_snapshot!(table(&suites(directory.path()), 120));
    }

    #[test]
    fn the_page_of_a_run_has_what_failed_first() {
        let directory = tempfile::tempdir().unwrap();
        insta::assert_snapshot!(markdown(&suites(directory.path())));
    }

    #[test]
    fn a_failure_is_one_line_that_github_reads() {
        let directory = tempfile::tempdir().unwrap();
        let told = annotations(&suites(directory.path()));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "::error title=dns%3A%3Anode_names%3A%3Acase_2_k3s on v1.34.1+k3s1::must hold: it resolves%0Aseen: NXDOMAIN | 50%25",
                "::error title=v1.35.9+k3s1::no report: nothing ran",
            ]
        );
    }
}

//! The JUnit files that nextest leaves: those of one suite that was split over machines put together, and those of several K3s side by side.

mod show;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use quick_junit::{DeserializeError, Report, SerializeError, TestCaseStatus};

pub use self::show::{annotations, markdown, table};

/// Why JUnit files cannot be read or written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum JunitError {
    /// A file could not be read.
    #[error("{} could not be read", .path.display())]
    #[diagnostic(code(k3s_arc::report::read))]
    Read {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// A file is not JUnit's XML.
    #[error("{} is no JUnit file", .path.display())]
    #[diagnostic(code(k3s_arc::report::parse), help("nextest writes target/nextest/<profile>/junit.xml"))]
    Parse {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: Box<DeserializeError>,
    },
    /// The merged file could not be made.
    #[error("the merged JUnit file could not be made")]
    #[diagnostic(code(k3s_arc::report::merge))]
    Merge(#[from] SerializeError),
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Became {
    Passed,
    NotRun,
    /// With what it said.
    Failed(String),
}

/// The files of one name: one suite, though it may have been split over machines.
#[derive(Debug)]
pub struct Suite {
    name: String,
    reports: Vec<Report>,
    /// By the test's name.
    tests: BTreeMap<String, Became>,
}

impl Suite {
    /// Reads files, each `NAME=FILE`, or a file alone, whose name then is that of its directory. Files of one name are one suite. A file that is not
    /// there leaves its suite without tests, which is no pass.
    ///
    /// # Errors
    /// [`JunitError`].
    pub fn read(files: &[String]) -> Result<Vec<Self>, JunitError> {
        let mut suites: Vec<Self> = Vec::new();
        for file in files {
            let (name, path) = named(file);
            let report = read(&path)?;
            let index = suites.iter().position(|suite| suite.name == name).unwrap_or_else(|| {
                suites.push(Self { name, reports: Vec::new(), tests: BTreeMap::new() });
                suites.len() - 1
            });
            suites[index].reports.extend(report);
        }
        for suite in &mut suites {
            suite.tests = tests(&suite.reports);
        }
        Ok(suites)
    }

    /// Whether tests ran, and none failed.
    pub fn passed(&self) -> bool {
        !self.tests.is_empty() && !self.tests.values().any(|became| matches!(became, Became::Failed(_)))
    }
}

/// One JUnit file of all suites. Where there are several, each test suite is named by its K3s too.
///
/// # Errors
/// [`JunitError::Merge`].
pub fn merge(suites: &[Suite]) -> Result<String, JunitError> {
    let mut merged = Report::new("k3s-arc");
    for suite in suites {
        for mut test_suite in suite.reports.iter().flat_map(|report| report.test_suites.clone()) {
            if suites.len() > 1 {
                test_suite.name = format!("{} {}", test_suite.name.as_str(), suite.name).into();
            }
            merged.add_test_suite(test_suite);
        }
    }
    Ok(merged.to_string()?)
}

/// A suite's name, and its file.
fn named(file: &str) -> (String, PathBuf) {
    if let Some((name, path)) = file.split_once('=') {
        return (name.to_owned(), path.into());
    }
    let path = PathBuf::from(file);
    let directory = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    (directory.unwrap_or_else(|| file.to_owned()), path)
}

fn read(path: &Path) -> Result<Option<Report>, JunitError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(JunitError::Read { path: path.to_owned(), source }),
    };
    let report = Report::deserialize_from_str(&text);
    report.map(Some).map_err(|error| JunitError::Parse { path: path.to_owned(), source: Box::new(error) })
}

fn tests(reports: &[Report]) -> BTreeMap<String, Became> {
    let mut tests = BTreeMap::new();
    let cases = reports.iter().flat_map(|report| &report.test_suites).flat_map(|suite| &suite.test_cases);
    for case in cases {
        let became = match &case.status {
            TestCaseStatus::Success { .. } => Became::Passed,
            TestCaseStatus::Skipped { .. } => Became::NotRun,
            TestCaseStatus::NonSuccess { message, description, .. } => {
                let said = description.as_ref().or(message.as_ref()).map(|text| text.as_str().trim().to_owned());
                Became::Failed(said.unwrap_or_default())
            }
        };
        let known = tests.entry(case.name.as_str().to_owned()).or_insert_with(|| became.clone());
        // A test that two machines ran counts by the worse.
        if matches!(became, Became::Failed(_)) {
            *known = became;
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nextest writes them, with one test in each.
    fn file(directory: &Path, name: &str, test: &str, failure: &str) -> String {
        let failure = if failure.is_empty() {
            String::new()
        } else {
            format!(r#"<failure message="thread panicked" type="test failure">{failure}</failure>"#)
        };
        let failures = usize::from(!failure.is_empty());
        let xml = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="1" failures="{failures}" errors="0" time="1.5">
  <testsuite name="k3s-arc::e2e" tests="1" disabled="0" errors="0" failures="{failures}">
    <testcase name="{test}" classname="k3s-arc::e2e" time="1.5">{failure}</testcase>
  </testsuite>
</testsuites>"#
        );
        let path = directory.join(name);
        fs::write(&path, xml).unwrap();
        path.display().to_string()
    }

    pub(super) fn suites(directory: &Path) -> Vec<Suite> {
        let first = file(directory, "1.xml", "dns::cluster_ip::case_2_k3s", "");
        let second = file(directory, "2.xml", "dns::node_names::case_2_k3s", "");
        let failed = file(directory, "3.xml", "dns::node_names::case_2_k3s", "must hold: it resolves\nseen: NXDOMAIN | 50%");
        let files = [
            format!("v1.33.2+k3s1={first}"),
            format!("v1.33.2+k3s1={second}"),
            format!("v1.34.1+k3s1={failed}"),
            format!("v1.35.9+k3s1={}", directory.join("none.xml").display()),
        ];
        Suite::read(&files).unwrap()
    }

    #[test]
    fn files_of_one_name_are_one_suite_and_one_that_is_not_there_is_no_pass() {
        let directory = tempfile::tempdir().unwrap();
        let suites = suites(directory.path());
        let told: Vec<_> = suites.iter().map(|suite| (suite.name.as_str(), suite.tests.len(), suite.passed())).collect();
        assert_eq!(told, [("v1.33.2+k3s1", 2, true), ("v1.34.1+k3s1", 1, false), ("v1.35.9+k3s1", 0, false)]);
    }

    #[test]
    fn what_is_merged_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let merged = merge(&suites(directory.path())).unwrap();
        let path = directory.path().join("merged.xml");
        fs::write(&path, merged).unwrap();
        let read = Suite::read(&[format!("all={}", path.display())]).unwrap();
        assert_eq!(read[0].reports[0].tests, 3);
        assert_eq!(read[0].tests.len(), 2);
        assert!(!read[0].passed(), "the worse of two counts");
    }

    #[test]
    fn a_file_alone_is_named_by_its_directory_and_what_is_no_junit_is_refused() {
        assert_eq!(named("junit/v1.34.1+k3s1/junit.xml").0, "v1.34.1+k3s1");
        assert_eq!(named("junit.xml").0, "junit.xml");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("no.xml");
        fs::write(&path, "<html>log in first</html>").unwrap();
        assert!(matches!(Suite::read(&[path.display().to_string()]), Err(JunitError::Parse { .. })));
    }
}

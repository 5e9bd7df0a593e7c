//! `.test.env`: parsed and validated, every problem told at once.
//!
//! The launcher finds out about a bad value minutes after its 2.5 GB image was pulled, and about CRLF line
//! ends by dying without a useful word. So the file is read here before anything is deployed. What it means
//! is told in "Automated validation testing", Azure Arc documentation (`automated-integration-testing.md`).

mod variables;

use std::{collections::BTreeMap, ops::Range, path::Path};

use k3s_arc_standin::test_env::{self as syntax, Assignment};

use self::variables::{Needed, VARIABLES, known, similar};
pub(crate) use self::variables::{is_object_name, is_tag};
use super::{
    input::{InputError, Problem, Source, unless_errors},
    secret::{Masker, Secret},
};

/// How a data controller is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectivityMode {
    /// Through Azure: the cluster is onboarded to Azure Arc first.
    Direct,
    /// In the cluster alone.
    Indirect,
}

/// A stage of a launch that `.test.env` can leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The clean-up before the deployment.
    Preclean,
    /// The deployment.
    Setup,
    /// The suites.
    Test,
    /// The clean-up after them.
    Postclean,
    /// The upload of results.
    Upload,
}

impl Stage {
    /// The variable that leaves it out.
    pub fn variable(self) -> &'static str {
        match self {
            Stage::Preclean => "SKIP_PRECLEAN",
            Stage::Setup => "SKIP_SETUP",
            Stage::Test => "SKIP_TEST",
            Stage::Postclean => "SKIP_POSTCLEAN",
            Stage::Upload => "SKIP_UPLOAD",
        }
    }
}

/// A `.test.env` that a launch can be made with.
#[derive(Debug, Clone)]
pub struct TestEnv {
    source: Source,
    values: BTreeMap<String, Value>,
    warnings: Vec<Problem>,
}

#[derive(Debug, Clone)]
struct Value {
    shown: Shown,
    span: Range<usize>,
}

#[derive(Debug, Clone)]
enum Shown {
    Plain(String),
    Secret(Secret),
}

impl TestEnv {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// [`InputError::Unreadable`], or [`InputError::Invalid`] with all that is wrong.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let text = std::fs::read_to_string(path).map_err(|source| InputError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Validates the text of a file, to be shown by `name`.
    ///
    /// # Errors
    /// [`InputError::Invalid`] with all that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, InputError> {
        let (assignments, errors) = syntax::parse_all(text);
        let source = Source::new(name, &masked(text, &assignments));
        let mut problems: Vec<Problem> = errors.into_iter().map(|error| syntax_problem(&source, error)).collect();
        let unread: Vec<&str> = problems.iter().filter_map(Problem::line).filter_map(|line| assigned_on(text, line)).collect();
        let values = collect(&source, assignments, &mut problems);
        validate(&source, &values, &unread, &mut problems);
        problems.sort_by_key(|problem| (problem.line().is_none(), problem.line()));
        let (values, warnings) = unless_errors(values, problems)?;
        Ok(Self { source, values, warnings })
    }

    /// What is odd in the file but does not prevent a launch.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// A variable's value; nothing where it is absent, empty or a secret.
    pub fn get(&self, name: &str) -> Option<&str> {
        plain(&self.values, name)
    }

    /// How the data controller is deployed.
    pub fn connectivity_mode(&self) -> ConnectivityMode {
        mode(&self.values).unwrap_or(ConnectivityMode::Indirect)
    }

    /// The suites that are to run.
    pub fn suites(&self) -> Vec<&str> {
        let variable = match self.connectivity_mode() {
            ConnectivityMode::Direct => "TESTS_DIRECT",
            ConnectivityMode::Indirect => "TESTS_INDIRECT",
        };
        self.get(variable).map(|suites| suites.split_whitespace().collect()).unwrap_or_default()
    }

    /// Whether a stage is left out.
    pub fn skips(&self, stage: Stage) -> bool {
        self.get(stage.variable()) == Some("1")
    }

    /// Masks every secret of the file.
    pub fn masker(&self) -> Masker {
        Masker::new(self.values.values().filter_map(|value| match &value.shown {
            Shown::Secret(secret) => Some(secret),
            Shown::Plain(_) => None,
        }))
    }

    /// The file, and where in it a variable's value stands.
    pub(crate) fn place(&self, name: &str) -> Option<(&Source, Range<usize>)> {
        self.values.get(name).map(|value| (&self.source, value.span.clone()))
    }
}

/// The text with other values for some variables: each set where it is assigned, or at the end.
pub(crate) fn with_overrides(text: &str, overrides: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in overrides {
        let line = syntax::line(name, value);
        let (assignments, _) = syntax::parse_all(&text);
        match assignments.iter().rev().find(|assignment| assignment.name == *name) {
            Some(assignment) => {
                let quoted = &line[line.find('=').map_or(0, |at| at + 1)..];
                text.replace_range(assignment.span.clone(), quoted);
            }
            None => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
    text
}

fn syntax_problem(source: &Source, error: syntax::SyntaxError) -> Problem {
    source.error(error.message, error.span, "here", error.help)
}

/// The variable that a line which could not be read was to assign.
fn assigned_on(text: &str, line: usize) -> Option<&str> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let line = line.trim_start().strip_prefix("export").unwrap_or(line);
    line.split_once('=').map(|(name, _)| name.trim())
}

fn collect(source: &Source, assignments: Vec<Assignment>, problems: &mut Vec<Problem>) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for Assignment { name, value, span, .. } in assignments {
        if known(&name).is_none() {
            let help = match similar(&name) {
                Some(similar) => format!("did you mean {similar}?"),
                None => "the launcher makes nothing of it, as far as is known; remove it if it is not for a program it runs"
                    .to_owned(),
            };
            problems.push(source.warning(format!("unknown variable {name}"), span.clone(), "assigned here", help));
        }
        let shown = if syntax::is_secret(&name) { Shown::Secret(Secret::new(value)) } else { Shown::Plain(value) };
        if let Some(earlier) = values.insert(name.clone(), Value { shown, span: span.clone() }) {
            let line = source.line_of(earlier.span.start);
            let help = format!("remove this one or the one on line {line}");
            problems.push(source.warning(format!("{name} is assigned again; this value counts"), span, "again", help));
        }
    }
    values
}

fn validate(source: &Source, values: &BTreeMap<String, Value>, unread: &[&str], problems: &mut Vec<Problem>) {
    let mode = mode(values);
    let skips_suites = plain(values, Stage::Test.variable()) == Some("1");
    for variable in VARIABLES {
        let name = variable.name;
        let value = values.get(name);
        let text = value.map_or("", |value| value.text());
        if let (Some(value), false) = (value, text.is_empty()) {
            if let Some(fault) = variable.form.fault(text) {
                problems.push(source.error(format!("{name} {fault}"), value.span.clone(), "this value", help_for(name)));
            }
            continue;
        }
        let reason = match variable.needed {
            Needed::Always => "required",
            Needed::In(needing) if mode == Some(needing) => "required in direct mode",
            Needed::SuitesIn(needing) if mode == Some(needing) && !skips_suites => "required where suites are to run",
            _ => continue,
        };
        match value {
            Some(value) => problems.push(source.error(
                format!("{name} is empty; it is {reason}"),
                value.span.clone(),
                "empty",
                help_for(name),
            )),
            // A line that could not be read has its own error.
            None if unread.contains(&name) => {}
            None => problems.push(source.missing(
                format!("{name} is missing from {}; it is {reason}", source.name()),
                format!("add `export {name}=\"...\"`: {}", help_for(name)),
            )),
        }
    }
    belong_together(source, values, &["WORKSPACE_ID", "WORKSPACE_SHARED_KEY"], problems);
    if plain(values, Stage::Upload.variable()) != Some("1") {
        belong_together(
            source,
            values,
            &["LOGS_STORAGE_ACCOUNT", "LOGS_STORAGE_ACCOUNT_SAS", "LOGS_STORAGE_CONTAINER"],
            problems,
        );
    }
}

/// Warns where only some variables of a set are given: the launcher can do nothing with them.
fn belong_together(source: &Source, values: &BTreeMap<String, Value>, names: &[&str], problems: &mut Vec<Problem>) {
    let is_given = |name: &&&str| values.get(**name).is_some_and(|value| !value.text().is_empty());
    let (given, absent): (Vec<&&str>, Vec<&&str>) = names.iter().partition(is_given);
    if let (Some(first), false) = (given.first().and_then(|name| values.get(**name)), absent.is_empty()) {
        let absent = absent.iter().map(|name| **name).collect::<Vec<_>>().join(" and ");
        let message = format!(
            "{absent} is empty, without which {} serves nothing",
            given.iter().map(|name| **name).collect::<Vec<_>>().join(" and ")
        );
        problems.push(source.warning(message, first.span.clone(), "given", "give all of them, or none"));
    }
}

/// Where to get a value.
fn help_for(name: &str) -> String {
    match name {
        "CUSTOM_LOCATION_OID" => "the object id of the tenant's Custom Locations RP: `az ad sp show --id bc313c14-388c-4e7d-a58e-70017303ee3b --query id -o tsv`".to_owned(),
        "SPN_CLIENT_ID" | "SPN_CLIENT_SECRET" | "SPN_TENANT_ID" => "appId, password and tenant of a service principal: `az ad sp create-for-rbac`".to_owned(),
        "SUBSCRIPTION_ID" => "`az account show --query id -o tsv`".to_owned(),
        "DOCKER_TAG" | "ARC_DATASERVICES_EXTENSION_VERSION_TAG" | "ARC_DATASERVICES_EXTENSION_RELEASE_TRAIN" => {
            "a release's versions are listed at https://learn.microsoft.com/azure/azure-arc/data/version-log".to_owned()
        }
        "CONTROLLER_PROFILE" => "`az arcdata dc config list`; for K3s: azure-arc-kubeadm".to_owned(),
        "KUBERNETES_STORAGECLASS" => "`kubectl get storageclass`; K3s's own is local-path".to_owned(),
        "WORKSPACE_ID" => "the Log Analytics workspace's customer id, or empty".to_owned(),
        _ => "see \"Automated validation testing\", https://learn.microsoft.com/azure/azure-arc/data/automated-integration-testing".to_owned(),
    }
}

impl Value {
    fn text(&self) -> &str {
        match &self.shown {
            Shown::Plain(text) => text,
            Shown::Secret(secret) => secret.expose(),
        }
    }
}

fn plain<'a>(values: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a str> {
    match &values.get(name)?.shown {
        Shown::Plain(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
        Shown::Secret(_) => None,
    }
}

fn mode(values: &BTreeMap<String, Value>) -> Option<ConnectivityMode> {
    match plain(values, "CONNECTIVITY_MODE")? {
        "direct" => Some(ConnectivityMode::Direct),
        "indirect" => Some(ConnectivityMode::Indirect),
        _ => None,
    }
}

/// The text as it may be shown, every offset what it was: behind the first `=` of a line there are asterisks,
/// unless the line assigns known variables that are no secrets, and so there are on lines that are nothing known.
fn masked(text: &str, assignments: &[Assignment]) -> String {
    let is_harmless = |name: &str| known(name).is_some() && !syntax::is_secret(name);
    let mut masked = String::with_capacity(text.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let mut on_line = assignments.iter().filter(|assignment| assignment.line == index + 1).peekable();
        let harmless = match on_line.peek() {
            Some(_) => on_line.all(|assignment| is_harmless(&assignment.name)),
            // What could not be read may hold more than its first name says.
            None => line.matches('=').count() == 1 && assigned_on(text, index + 1).is_some_and(is_harmless),
        };
        let shown = match line.find('=') {
            _ if harmless => line.len(),
            // A comment's, too: it may be an old value that somebody kept.
            Some(equals) => equals + 1,
            None if line.trim_start().starts_with('#') => line.len(),
            None => 0,
        };
        masked.push_str(&line[..shown]);
        for character in line[shown..].chars() {
            if character.is_whitespace() || matches!(character, '"' | '\'') {
                masked.push(character);
            } else {
                masked.extend(std::iter::repeat_n('*', character.len_utf8()));
            }
        }
    }
    masked
}

#[cfg(test)]
mod tests;

//! `patch.json`: parsed and validated, every problem told at once.
//!
//! The launcher applies it to the data controller's `control.json` with `az arcdata dc config patch`, long
//! after it was deployed. Its form is told in "Automated validation testing", Azure Arc documentation
//! (`automated-integration-testing.md`), and in the reference of that command.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    path::Path,
};

use k3s_arc_standin::control_patch::{self as syntax, Fault, Op, Operation, PatchError};
use serde_json::{Value, value::RawValue};

use super::{
    input::{InputError, Problem, Source, unless_errors},
    test_env::{is_object_name, is_tag},
};

/// The dotted paths of what the harness looks at.
pub(crate) const IMAGE_TAG: &str = "spec.docker.imageTag";
pub(crate) const REGISTRY: &str = "spec.docker.registry";
pub(crate) const REPOSITORY: &str = "spec.docker.repository";
pub(crate) const STORAGE_CLASSES: [&str; 2] = ["spec.storage.data.className", "spec.storage.logs.className"];

/// A `patch.json` that a launch can be made with.
#[derive(Debug, Clone)]
pub struct ControlPatch {
    source: Source,
    text: String,
    placed: Vec<Placed>,
    warnings: Vec<Problem>,
}

/// An operation and where its parts stand in the file.
#[derive(Debug, Clone)]
struct Placed {
    operation: Operation,
    /// Its path in the plainest form.
    path: String,
    path_at: Range<usize>,
    value_at: Option<Range<usize>>,
}

impl ControlPatch {
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
        let source = Source::new(name, text);
        let fatal = |problem| InputError::Invalid { problems: vec![problem] };
        let document: Value = serde_json::from_str(text).map_err(|error| fatal(not_json(&source, text, &error)))?;
        let elements = syntax::operations(&document).map_err(|error| fatal(misshapen(&source, text, &error)))?;
        let top: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|error| fatal(not_json(&source, text, &error)))?;
        let raw: Vec<&RawValue> = match top.get("patch") {
            Some(patch) => serde_json::from_str(patch.get()).map_err(|error| fatal(not_json(&source, text, &error)))?,
            None => Vec::new(),
        };

        let mut problems = Vec::new();
        for (key, value) in top.iter().filter(|(key, _)| *key != "patch") {
            problems.push(source.warning(
                format!("nothing is made of the key `{key}`"),
                span(text, value),
                "not a patch",
                "remove it",
            ));
        }
        let mut placed: Vec<Placed> = Vec::new();
        for (element, raw) in elements.iter().zip(raw) {
            let parts = members(raw.get());
            match syntax::operation(element) {
                Ok(operation) => placed.push(place(&source, text, operation, &parts, &mut problems)),
                Err(fault) => problems.push(faulty(&source, text, raw, &parts, fault)),
            }
        }
        repeated(&source, &placed, &mut problems);
        let mut patch = Self { source, text: text.to_owned(), placed, warnings: Vec::new() };
        patch.validate(&mut problems);
        problems.sort_by_key(|problem| problem.line());
        let ((), warnings) = unless_errors((), problems)?;
        patch.warnings = warnings;
        Ok(patch)
    }

    /// The operations, in order.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.placed.iter().map(|placed| &placed.operation)
    }

    /// What is odd in the file but does not prevent a launch.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// What the patch puts at a plain dotted path, the last operation deciding.
    pub fn get(&self, path: &str) -> Option<Value> {
        let at = self.place(path)?;
        serde_json::from_str(&self.text[at]).ok()
    }

    /// The file.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Where in the file the value stands that the patch puts at a plain dotted path.
    pub(crate) fn place(&self, path: &str) -> Option<Range<usize>> {
        let mut found = None;
        for placed in &self.placed {
            let Some(below) = path.strip_prefix(placed.path.as_str()) else { continue };
            let keys = match below.strip_prefix('.') {
                Some(keys) => keys.split('.').collect(),
                None if below.is_empty() => Vec::new(),
                None => continue,
            };
            found = placed.value_at.clone().and_then(|value| descend(&self.text, value, &keys));
        }
        found
    }

    /// What Kubernetes or a registry would refuse in the end.
    fn validate(&self, problems: &mut Vec<Problem>) {
        let mut check = |path: &str, what: &str, is_sound: fn(&str) -> bool, help: &str| {
            if let (Some(value), Some(at)) = (self.get(path), self.place(path))
                && !value.as_str().is_some_and(is_sound)
            {
                problems.push(self.source.error(format!("{path} must be {what}"), at, "this value", help));
            }
        };
        for path in STORAGE_CLASSES {
            check(path, "a storage class's name", is_object_name, "`kubectl get storageclass`; K3s's own is local-path");
        }
        check(IMAGE_TAG, "an image's tag", is_tag, "the tag alone, as v1.40.0_2025-08-12");
        for path in [REGISTRY, REPOSITORY] {
            check(path, "text", |text| !text.is_empty(), "for the released images: mcr.microsoft.com and arcdata");
        }
    }
}

/// Paths and values only: what a person would want to see of a patch.
impl fmt::Display for ControlPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations().try_for_each(|operation| match &operation.value {
            Some(value) => writeln!(f, "{} {} = {value}", operation.op, operation.path),
            None => writeln!(f, "{} {}", operation.op, operation.path),
        })
    }
}

fn not_json(source: &Source, text: &str, error: &serde_json::Error) -> Problem {
    let at = offset(text, error.line(), error.column());
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    source.error(format!("not JSON: {message}"), at, "here", "JSON has no comments and no comma after the last element")
}

fn misshapen(source: &Source, text: &str, error: &PatchError) -> Problem {
    let begins = text.len() - text.trim_start().len();
    source.error(
        error.to_string(),
        begins..(begins + 1).min(text.len()),
        "this document",
        "see overlays/*/configs/patch.json.tmpl in microsoft/azure_arc",
    )
}

fn faulty(source: &Source, text: &str, element: &RawValue, parts: &BTreeMap<String, &RawValue>, fault: Fault) -> Problem {
    let (part, label, help) = match &fault {
        Fault::NotAnObject => {
            (None, "not an operation", "an operation is {\"op\": ..., \"path\": ..., \"value\": ...}".to_owned())
        }
        Fault::Text(key) => (Some(*key), "this operation", format!("give it a string `{key}`")),
        Fault::UnknownOp(_) => (Some("op"), "unknown", "use add, replace or remove".to_owned()),
        Fault::MissingValue(_) => (Some("op"), "needs a `value`", "add a `value`, or use remove".to_owned()),
        Fault::JsonPointer { dotted, .. } => (Some("path"), "a JSON Pointer", format!("write \"{dotted}\"")),
        Fault::Path { .. } => {
            (Some("path"), "not a path", "write the keys with dots between them, as spec.storage.data.className".to_owned())
        }
    };
    let at = part.and_then(|part| parts.get(part)).map_or_else(|| first_line(text, span(text, element)), |part| span(text, part));
    source.error(fault.to_string(), at, label, help)
}

fn place(
    source: &Source,
    text: &str,
    operation: Operation,
    parts: &BTreeMap<String, &RawValue>,
    problems: &mut Vec<Problem>,
) -> Placed {
    let at = |key: &str| parts.get(key).map(|part| span(text, part));
    for key in parts.keys().filter(|key| !matches!(key.as_str(), "op" | "path" | "value")) {
        problems.push(source.warning(
            format!("nothing is made of the key `{key}`"),
            at(key).unwrap_or_default(),
            "unused",
            "remove it",
        ));
    }
    if operation.op == Op::Remove && parts.contains_key("value") {
        problems.push(source.warning(
            "remove makes nothing of a `value`",
            at("value").unwrap_or_default(),
            "unused",
            "remove it, or use add",
        ));
    }
    let path = syntax::Path::parse(&operation.path).map_or_else(|_| operation.path.clone(), |path| path.to_string());
    let value_at = if operation.op == Op::Remove { None } else { at("value") };
    Placed { operation, path, path_at: at("path").unwrap_or_default(), value_at }
}

fn repeated(source: &Source, placed: &[Placed], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, &Placed> = BTreeMap::new();
    let mut told = BTreeSet::new();
    for placed in placed {
        if let Some(earlier) = seen.insert(&placed.path, placed)
            && told.insert(placed.path_at.start)
        {
            let line = source.line_of(earlier.path_at.start);
            let message = format!("{} is patched again; this operation counts", placed.path);
            problems.push(source.warning(
                message,
                placed.path_at.clone(),
                "again",
                format!("remove this operation or the one on line {line}"),
            ));
        }
    }
}

/// The members of a JSON object, each with its text in the file.
fn members(object: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(object).unwrap_or_default()
}

/// Where a part of the text stands in it.
fn span(text: &str, part: &RawValue) -> Range<usize> {
    let begins = (part.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    begins..begins + part.get().len()
}

/// Where, in a JSON value at `at`, the value below these keys stands.
fn descend(text: &str, at: Range<usize>, keys: &[&str]) -> Option<Range<usize>> {
    keys.iter().try_fold(at, |at, key| members(&text[at]).get(*key).map(|value| span(text, value)))
}

fn first_line(text: &str, at: Range<usize>) -> Range<usize> {
    let end = text[at.clone()].find('\n').map_or(at.end, |length| at.start + length);
    at.start..end
}

/// serde_json's line and column (in bytes; 0 before a line's first) as a place.
fn offset(text: &str, line: usize, column: usize) -> Range<usize> {
    let begins: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (begins + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let length = text[at..].chars().next().map_or(0, char::len_utf8);
    at..at + length
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::launcher::input::rendered;

    const K3S: &str = include_str!("../../../tests/fixtures/launcher/overlays/k3s/configs/patch.json");

    fn problems(text: &str) -> String {
        rendered(&ControlPatch::parse("patch.json", text).unwrap_err())
    }

    #[test]
    fn the_overlays_patch_is_read() {
        let patch = ControlPatch::parse("patch.json", K3S).unwrap();
        assert_eq!(patch.warnings().len(), 0);
        assert_eq!(patch.get("spec.docker.imageTag"), Some(json!("v1.40.0_2025-08-12")));
        assert_eq!(patch.get("spec.storage.data.className"), Some(json!("local-path")));
        assert_eq!(patch.get("spec.docker.x"), None);
        assert_eq!(patch.get("spec.dock"), None);
        assert_eq!(&K3S[patch.place("spec.docker.registry").unwrap()], "\"mcr.microsoft.com\"");
    }

    #[test]
    fn the_last_operation_decides() {
        let patch = |operations: Value| ControlPatch::parse("patch.json", &json!({"patch": operations}).to_string()).unwrap();
        let add = |value: Value| json!({"op": "add", "path": "spec.docker", "value": value});
        assert_eq!(
            patch(json!([add(json!({"imageTag": "a"})), {"op": "replace", "path": ".spec.docker.imageTag", "value": "b"}]))
                .get(IMAGE_TAG),
            Some(json!("b"))
        );
        assert_eq!(patch(json!([add(json!({"imageTag": "a"})), add(json!({}))])).get(IMAGE_TAG), None);
        assert_eq!(patch(json!([add(json!({"imageTag": "a"})), {"op": "remove", "path": "spec.docker"}])).get(IMAGE_TAG), None);
    }

    #[test]
    fn json_pointers() {
        assert_snapshot!(problems(include_str!("../../../tests/fixtures/bad-inputs/json-pointer.patch.json")));
    }

    #[test]
    fn invalid_json() {
        assert_snapshot!(problems(include_str!("../../../tests/fixtures/bad-inputs/invalid.patch.json")));
    }

    #[test]
    fn another_shape() {
        assert_snapshot!(problems(include_str!("../../../tests/fixtures/bad-inputs/shape.patch.json")));
    }

    #[test]
    fn bad_operations() {
        assert_snapshot!(problems(include_str!("../../../tests/fixtures/bad-inputs/operations.patch.json")));
    }

    #[test]
    fn odd_but_usable() {
        let patch = ControlPatch::parse("patch.json", include_str!("../../../tests/fixtures/bad-inputs/odd.patch.json")).unwrap();
        assert_snapshot!(patch.warnings().iter().map(|warning| rendered(warning)).collect::<String>());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[{}\\[\\]\",:\n]|\"patch\":|\"op\":|\"path\":|\"value\":|\"add\"){0,40}") {
            if let Err(error) = ControlPatch::parse("patch.json", &text) {
                rendered(&error);
            }
        }
    }
}

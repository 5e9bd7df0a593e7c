//! `patch.json`: operations on the controller's `control.json`, with dotted paths.
//!
//! The form is that of `az arcdata dc config patch` (its reference page and the pages of its sibling
//! commands): an object with the key `patch`, a list of operations `add`, `replace` and `remove` as in a
//! JSON Patch, but with paths that are dotted (`spec.docker`), which may begin with `.` or `$.`, reach into
//! lists by index (`spec.services.0.port`), and, for `replace` alone, name several places at once: by `[*]`,
//! or by a condition (`$.spec.services[?(@.name=="controller")].port`). Keys that contain dots are written
//! `['a.b']`, as in JSONPath.

mod path;

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use serde_json::Value;

pub use self::path::Path;
use self::path::Step;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Sets a key, whether it was there or not, or inserts into a list; what it is put in must exist.
    Add,
    /// Sets what must be there already.
    Replace,
    /// Removes what must be there.
    Remove,
}

impl FromStr for Op {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "add" => Ok(Op::Add),
            "replace" => Ok(Op::Replace),
            "remove" => Ok(Op::Remove),
            _ => Err(()),
        }
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Add => "add",
            Op::Replace => "replace",
            Op::Remove => "remove",
        })
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Operation {
    /// What it does.
    pub op: Op,
    /// Where, as written: `spec.docker`.
    pub path: String,
    /// With what; nothing where `op` is [`Op::Remove`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// Why a patch cannot be read or applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The text is no JSON.
    #[error("not JSON: line {line}, column {column}: {message}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1; 0 where the line itself is at fault.
        column: usize,
        /// What the JSON parser says.
        message: String,
    },
    /// The document is not `{"patch": [...]}`.
    #[error("{0}; a patch file is {{\"patch\": [{{\"op\": ..., \"path\": ..., \"value\": ...}}, ...]}}")]
    Shape(String),
    /// An operation is not one.
    #[error("operation {index}: {fault}")]
    Operation {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// An operation does not fit the document it is applied to.
    #[error("operation {index}: cannot {op} {path}: {reason}")]
    Apply {
        /// Which one, from 0.
        index: usize,
        /// What it was to do.
        op: Op,
        /// Where.
        path: String,
        /// Why it cannot.
        reason: String,
    },
}

/// What is wrong with an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no JSON object.
    #[error("it is not an object")]
    NotAnObject,
    /// A key is missing or holds something else than text.
    #[error("`{0}` is missing or not a string")]
    Text(&'static str),
    /// `op` is none of the three.
    #[error("op `{0}` is none of add, replace, remove")]
    UnknownOp(String),
    /// `add` or `replace` without a `value`.
    #[error("{0} needs a `value`")]
    MissingValue(Op),
    /// The path is a JSON Pointer.
    #[error("path `{path}` is a JSON Pointer; paths here are dotted: `{dotted}`")]
    JsonPointer {
        /// As written.
        path: String,
        /// The same place, dotted.
        dotted: String,
    },
    /// The path is not one.
    #[error("path `{path}`: {reason}")]
    Path {
        /// As written.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The operations of a patch file, in order.
///
/// # Errors
/// [`PatchError::Json`], [`PatchError::Shape`], or the first [`PatchError::Operation`].
pub fn parse(text: &str) -> Result<Vec<Operation>, PatchError> {
    let document: Value = serde_json::from_str(text).map_err(|error| PatchError::Json {
        line: error.line(),
        column: error.column(),
        message: without_position(&error.to_string()),
    })?;
    operations(&document)?
        .iter()
        .enumerate()
        .map(|(index, operation)| self::operation(operation).map_err(|fault| PatchError::Operation { index, fault }))
        .collect()
}

/// The list under `patch`.
///
/// # Errors
/// [`PatchError::Shape`].
pub fn operations(document: &Value) -> Result<&Vec<Value>, PatchError> {
    let object = document.as_object().ok_or_else(|| PatchError::Shape("the document is not an object".to_owned()))?;
    let patch = object.get("patch").ok_or_else(|| PatchError::Shape("the key `patch` is missing".to_owned()))?;
    patch.as_array().ok_or_else(|| PatchError::Shape("`patch` is not a list".to_owned()))
}

/// One element of the list under `patch`.
///
/// # Errors
/// What is wrong with it.
pub fn operation(element: &Value) -> Result<Operation, Fault> {
    let object = element.as_object().ok_or(Fault::NotAnObject)?;
    let text = |key| object.get(key).and_then(Value::as_str).ok_or(Fault::Text(key));
    let op = text("op")?;
    let op = op.parse().map_err(|()| Fault::UnknownOp(op.to_owned()))?;
    let path = text("path")?;
    let places = Path::parse(path)?;
    if op != Op::Replace && places.is_plural() {
        let reason = format!("`[*]` and conditions are for replace, not for {op}");
        return Err(Fault::Path { path: path.to_owned(), reason });
    }
    let value = match op {
        Op::Add | Op::Replace => Some(object.get("value").cloned().ok_or(Fault::MissingValue(op))?),
        Op::Remove => None,
    };
    Ok(Operation { op, path: path.to_owned(), value })
}

/// Applies operations to a document, in order.
///
/// # Errors
/// [`PatchError::Apply`] for the first that does not fit; the document then has the effect of those before it.
pub fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), PatchError> {
    for (index, operation) in operations.iter().enumerate() {
        let path = Path::parse(&operation.path).map_err(|fault| PatchError::Operation { index, fault })?;
        let value = operation.value.clone().unwrap_or_default();
        apply_one(document, operation.op, &path.0, value).map_err(|reason| PatchError::Apply {
            index,
            op: operation.op,
            path: operation.path.clone(),
            reason,
        })?;
    }
    Ok(())
}

fn apply_one(document: &mut Value, op: Op, path: &[Step], value: Value) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else {
        return Err("the path is empty".to_owned());
    };
    let mut places = vec![document];
    for step in parents {
        places =
            places.into_iter().map(|place| step.each_in(place)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    }
    match op {
        Op::Replace => {
            let mut found = false;
            for place in places {
                for target in last.each_in(place)? {
                    target.clone_from(&value);
                    found = true;
                }
            }
            if found { Ok(()) } else { Err("nothing matches".to_owned()) }
        }
        Op::Add => places.into_iter().try_for_each(|place| last.add(place, value.clone())),
        Op::Remove => places.into_iter().try_for_each(|place| last.remove(place)),
    }
}

/// serde_json's message, whose end repeats the position.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn control() -> Value {
        json!({"spec": {
            "docker": {"registry": "mcr.microsoft.com", "imageTag": "old"},
            "services": [{"name": "controller", "port": 1}, {"name": "serviceProxy", "port": 2}],
            "storage": {"data": {"className": ""}},
            "a.b": {"c/d": 1},
        }})
    }

    fn patch(operations: Value) -> Result<Value, PatchError> {
        let mut document = control();
        apply(&mut document, &parse(&json!({"patch": operations}).to_string())?)?;
        Ok(document)
    }

    #[rstest]
    #[case::adds_what_is_new(json!({"op": "add", "path": "spec.monitoring", "value": {"x": true}}), "/spec/monitoring/x", json!(true))]
    #[case::adds_over_what_is_there(json!({"op": "add", "path": "spec.docker", "value": 1}), "/spec/docker", json!(1))]
    #[case::adds_null(json!({"op": "add", "path": "spec.x", "value": null}), "/spec/x", json!(null))]
    #[case::inserts(json!({"op": "add", "path": "spec.services.0", "value": 7}), "/spec/services/0", json!(7))]
    #[case::appends(json!({"op": "add", "path": "spec.services.-", "value": 7}), "/spec/services/2", json!(7))]
    #[case::replaces(json!({"op": "replace", "path": "spec.storage.data.className", "value": "local-path"}), "/spec/storage/data/className", json!("local-path"))]
    #[case::leading_dot(json!({"op": "replace", "path": ".spec.docker.imageTag", "value": "new"}), "/spec/docker/imageTag", json!("new"))]
    #[case::leading_dollar(json!({"op": "replace", "path": "$.spec.services[1].port", "value": 9}), "/spec/services/1/port", json!(9))]
    #[case::condition(json!({"op": "replace", "path": "$.spec.services[?(@.name==\"serviceProxy\")].port", "value": 9}), "/spec/services/1/port", json!(9))]
    #[case::every_one(json!({"op": "replace", "path": "$.spec.services[*].port", "value": 9}), "/spec/services/0/port", json!(9))]
    #[case::quoted_keys(json!({"op": "replace", "path": "spec['a.b'][\"c/d\"]", "value": 2}), "/spec/a.b/c~1d", json!(2))]
    #[case::removes(json!({"op": "remove", "path": "spec.services.0"}), "/spec/services/0/name", json!("serviceProxy"))]
    fn applies(#[case] operation: Value, #[case] pointer: &str, #[case] expected: Value) {
        assert_eq!(patch(json!([operation])).unwrap().pointer(pointer), Some(&expected));
    }

    #[test]
    fn operations_build_on_those_before_them() {
        let patched = patch(json!([
            {"op": "add", "path": "spec.security", "value": {}},
            {"op": "add", "path": "spec.security.allowDumps", "value": false},
            {"op": "remove", "path": "spec.docker"},
        ]));
        let patched = patched.unwrap();
        assert_eq!(patched["spec"]["security"], json!({"allowDumps": false}));
        assert!(patched["spec"].get("docker").is_none());
    }

    #[rstest]
    #[case::pointer(json!({"op": "add", "path": "/spec/docker", "value": 1}), "dotted: `spec.docker`")]
    #[case::pointer_with_escapes(json!({"op": "add", "path": "/spec/a~1b/c.d", "value": 1}), "dotted: `spec['a/b']['c.d']`")]
    #[case::slash_in_a_key(json!({"op": "add", "path": "spec/docker", "value": 1}), "contains `/`")]
    #[case::unknown_op(json!({"op": "test", "path": "spec", "value": 1}), "none of add, replace, remove")]
    #[case::no_value(json!({"op": "replace", "path": "spec"}), "replace needs a `value`")]
    #[case::no_path(json!({"op": "remove"}), "`path` is missing")]
    #[case::op_not_text(json!({"op": 1, "path": "spec"}), "`op` is missing or not a string")]
    #[case::not_an_object(json!("add"), "not an object")]
    #[case::empty_path(json!({"op": "remove", "path": ""}), "names nothing")]
    #[case::empty_key(json!({"op": "remove", "path": "spec..docker"}), "a key is empty")]
    #[case::trailing_dot(json!({"op": "remove", "path": "spec."}), "a key is empty")]
    #[case::open_bracket(json!({"op": "remove", "path": "spec[0"}), "not closed")]
    #[case::odd_bracket(json!({"op": "remove", "path": "spec[x]"}), "brackets hold")]
    #[case::add_everywhere(json!({"op": "add", "path": "spec[*]", "value": 1}), "for replace, not for add")]
    #[case::absent(json!({"op": "replace", "path": "spec.monitoring", "value": 1}), "there is no `monitoring` in the object")]
    #[case::absent_parent(json!({"op": "add", "path": "spec.storage.logs.className", "value": 1}), "there is no `logs` in the object")]
    #[case::nothing_matches(json!({"op": "replace", "path": "spec.services[?(@.name=='x')].port", "value": 1}), "nothing matches")]
    #[case::beyond_the_list(json!({"op": "add", "path": "spec.services.3", "value": 1}), "no index of a list of 2")]
    #[case::remove_absent(json!({"op": "remove", "path": "spec.x"}), "there is no `x`")]
    #[case::into_text(json!({"op": "add", "path": "spec.docker.imageTag.x", "value": 1}), "nothing can be put in a string")]
    fn says_what_is_wrong(#[case] operation: Value, #[case] says: &str) {
        let error = patch(json!([{"op": "remove", "path": "spec['a.b']"}, operation])).unwrap_err().to_string();
        assert!(error.starts_with("operation 1: ") && error.contains(says), "{error}");
    }

    #[rstest]
    #[case("{\"patch\": [}", "not JSON: line 1, column 12: expected value")]
    #[case("[]", "the document is not an object")]
    #[case("{}", "`patch` is missing")]
    #[case("{\"patch\": {}}", "not a list")]
    fn says_what_the_file_is_not(#[case] text: &str, #[case] says: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,4}", inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\PC|[{}\\[\\]\",:.$/?()@=*]|\"patch\"|\"op\"|\"path\"|\"value\"|\"add\"){0,60}", path in "([a-z0-9.$\\[\\]?(@=\"')*/~-]|spec|\\PC){0,20}", document in json_value()) {
            let _ = parse(&text);
            if Path::parse(&path).is_ok() {
                for op in [Op::Add, Op::Replace, Op::Remove] {
                    let _ = apply(&mut document.clone(), &[Operation { op, path: path.clone(), value: Some(Value::Null) }]);
                }
            }
        }

        #[test]
        fn what_is_written_is_read_back(operations in prop::collection::vec((0..3_usize, prop::collection::vec("[a-zA-Z0-9_-]{1,6}", 1..4), json_value()), 0..4)) {
            let operations: Vec<Operation> = operations.into_iter().map(|(op, keys, value)| {
                let op = [Op::Add, Op::Replace, Op::Remove][op];
                Operation { op, path: keys.join("."), value: (op != Op::Remove).then_some(value) }
            }).collect();
            prop_assert_eq!(parse(&json!({"patch": operations}).to_string()).unwrap(), operations);
        }

        #[test]
        fn what_is_added_is_there_and_removed_again(mut document in json_value(), key in "[a-z]{1,5}", value in json_value()) {
            if let Value::Object(map) = &mut document {
                map.remove(&key);
                let mut patched = document.clone();
                apply(&mut patched, &[Operation { op: Op::Add, path: key.clone(), value: Some(value.clone()) }]).unwrap();
                prop_assert_eq!(&patched[&key], &value);
                apply(&mut patched, &[Operation { op: Op::Remove, path: key, value: None }]).unwrap();
                prop_assert_eq!(patched, document);
            }
        }
    }
}

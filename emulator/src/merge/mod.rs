//! How a request changes an object: the three kinds of patches, and server-side apply with the tracking of field owners.
//! Ported from `pkg/endpoints/handlers/patch.go` of the API server and the libraries that it uses.

pub mod apply;
mod convert;
mod go;
mod identity;
mod json;
#[allow(clippy::module_inception)] // RFC 7386 is called so.
mod merge;
mod shown;
mod strategic;

use serde_json::{Value, json};

use crate::field::{Errors, Path};
use crate::schema::json::{MAX_DEPTH, Node, parse, parse_value};
use crate::schema::{Type, codec, golang};
use crate::status::Refusal;
use identity::Identity;
use shown::Touched;

/// Deeper objects are refused: they are walked by recursion.
const DEEPEST: usize = MAX_DEPTH;

/// What to do about unknown and repeated fields (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// A kind of patch but apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Patch {
    Json,
    Merge,
    Strategic,
}

/// A patched object.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    /// The object, not defaulted. Of a built-in kind it is decoded, of a custom resource it is what the patch has made.
    pub value: Value,
    /// The unknown and repeated fields: warnings for a built-in kind, for a custom resource to be put before what decoding finds.
    pub strict: Vec<String>,
    shown: String,
}

impl Patched {
    /// 422, when a custom resource cannot be decoded: `why` is the decoder's error, or `strict decoding error: ` and the
    /// strict errors with commas between them.
    #[must_use]
    pub fn refusal(&self, why: &str) -> Refusal {
        undecodable(&self.shown, why)
    }
}

fn undecodable(shown: &str, why: &str) -> Refusal {
    let mut errors = Errors::new();
    errors.invalid(&Path::new("patch"), shown, why);
    Refusal::invalid("", "", "", &errors)
}

/// Applies a patch to an object of a built-in kind's type, or to a custom resource, which has none.
///
/// # Errors
/// 400 when it is no patch, 413 when it has too many operations, 422 when it does not apply or what it makes does not fit the
/// type, 500 for most that is wrong with a strategic merge patch.
pub fn patch(
    kind: Patch,
    ty: Option<Type<'_>>,
    current: &Value,
    body: &[u8],
    strictness: Strictness,
) -> Result<Patched, Refusal> {
    let checked = strictness != Strictness::Ignore;
    match kind {
        Patch::Json => {
            let (document, operations, strict) = read_operations(body, checked)?;
            let value = json::apply(current, &operations).map_err(|json::Inapplicable| unprocessable())?;
            let show = |value: &Value| match ty {
                Some(ty) => Touched::new(&document).show(go_type(ty), value),
                None => go::json(value),
            };
            finish(ty, current, value, strict, strictness, show)
        }
        Patch::Merge => {
            let (value, patch, strict) = merge_patch(current, body, checked)?;
            let show = |value: &Value| match ty {
                Some(ty) => shown::merged(go_type(ty), current, &patch, value),
                None => go::json(value),
            };
            finish(ty, current, value, strict, strictness, show)
        }
        Patch::Strategic => strategic_patch(ty, current, body, strictness),
    }
}

fn go_type(ty: Type<'_>) -> Option<golang::Id> {
    golang::table().named(ty.name()?)
}

/// Decodes what a JSON or merge patch has made of an object of a built-in kind.
fn finish(
    ty: Option<Type<'_>>,
    current: &Value,
    value: Value,
    mut strict: Vec<String>,
    strictness: Strictness,
    show: impl Fn(&Value) -> String,
) -> Result<Patched, Refusal> {
    let Some(ty) = ty else {
        let shown = show(&value);
        return Ok(Patched { value, strict, shown });
    };
    let raw = value;
    let (mut value, found) = match identity::check(current, &raw) {
        Some(Identity::Wrong(why)) => return Err(undecodable(&show(&raw), &why)),
        Some(Identity::Unversioned(unknown)) => (Identity::remains(current), unknown),
        None => {
            let decoded = codec::decode(ty, raw.clone()).map_err(|error| undecodable(&show(&raw), &error.to_string()))?;
            (decoded.value, decoded.strict)
        }
    };
    if strictness != Strictness::Ignore {
        strict.extend(found);
    }
    if strictness == Strictness::Strict && !strict.is_empty() {
        return Err(undecodable(&show(&raw), &strict_error(&strict)));
    }
    apply::keep_reset(&raw, &mut value);
    Ok(Patched { value, strict, shown: String::new() })
}

fn strict_error(errors: &[String]) -> String {
    format!("strict decoding error: {}", errors.join(", "))
}

/// 422 in the words for what is not explained.
fn unprocessable() -> Refusal {
    let message = "the server rejected our request due to an error in our request";
    Refusal::new(422, "Invalid", message).with_details(json!({}))
}

/// The operations of a JSON patch, as written and as values, and what is strictly wrong with them.
fn read_operations(body: &[u8], checked: bool) -> Result<(Node, Vec<Value>, Vec<String>), Refusal> {
    let prefix = if checked { "error decoding patch: " } else { "" };
    let refuse = |why: String| Refusal::bad_request(format!("{prefix}{why}"));
    let document = parse(body).map_err(|e| refuse(e.to_string()))?;
    let (value, duplicates) = parse_value(body).map_err(|e| refuse(e.to_string()))?;
    let mut strict = Vec::new();
    if checked {
        check_operations(&document).map_err(refuse)?;
        strict.extend(unknown_fields(&document));
        strict.extend(duplicates);
        strict = strict.into_iter().map(|error| format!("json patch {error}")).collect();
    }
    let operations = match value {
        Value::Array(operations) => operations,
        Value::Null => Vec::new(),
        other => return Err(refuse(cannot_unmarshal(&other, "jsonpatch.Patch"))),
    };
    if let Some(other) = operations.iter().find(|one| !one.is_object() && !one.is_null()) {
        return Err(refuse(cannot_unmarshal(other, "jsonpatch.Operation")));
    }
    if operations.len() > json::MOST_OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {}, got {}",
            json::MOST_OPERATIONS,
            operations.len()
        );
        return Err(Refusal::new(413, "RequestEntityTooLarge", message));
    }
    Ok((document, operations, strict))
}

fn cannot_unmarshal(value: &Value, into: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {into}", go::json_kind(value))
}

fn node_kind(node: &Node) -> &'static str {
    match node {
        Node::Null => "null",
        Node::Bool(_) => "bool",
        Node::Number(_) => "number",
        Node::String(_) => "string",
        Node::List(_) => "array",
        Node::Object(_) => "object",
    }
}

/// That the operations decode into `[]jsonPatchOp`.
fn check_operations(document: &Node) -> Result<(), String> {
    let mismatch = |node: &Node, into: &str| format!("json: cannot unmarshal {} into Go {into}", node_kind(node));
    let operations = match document {
        Node::List(operations) => operations,
        Node::Null => return Ok(()),
        other => return Err(mismatch(other, "value of type []handlers.jsonPatchOp")),
    };
    for operation in operations {
        let fields = match operation {
            Node::Object(fields) => fields,
            Node::Null => continue,
            other => return Err(mismatch(other, "value of type handlers.jsonPatchOp")),
        };
        for (name, value) in fields {
            if matches!(name.as_str(), "op" | "path" | "from") && !matches!(value, Node::String(_) | Node::Null) {
                return Err(mismatch(value, &format!("struct field jsonPatchOp.{name} of type string")));
            }
        }
    }
    Ok(())
}

fn unknown_fields(document: &Node) -> Vec<String> {
    let Node::List(operations) = document else { return Vec::new() };
    let mut found = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        let Node::Object(fields) = operation else { continue };
        for (name, _) in fields {
            if !matches!(name.as_str(), "op" | "path" | "from" | "value") {
                found.push(format!("unknown field {}", crate::field::quote(&format!("[{index}].{name}"))));
            }
        }
    }
    found
}

/// The merged object, the patch, and what is strictly wrong with the patch.
fn merge_patch(current: &Value, body: &[u8], checked: bool) -> Result<(Value, Value, Vec<String>), Refusal> {
    let bad = || Refusal::bad_request("Invalid JSON Patch");
    let (patch, duplicates) = match parse_value(body) {
        Ok(parsed) => parsed,
        Err(why) if checked => return Err(Refusal::bad_request(format!("error decoding patch: {why}"))),
        Err(_) => return Err(bad()),
    };
    let value = match &patch {
        Value::Object(_) => {
            let mut value = current.clone();
            merge::merge(&mut value, patch.clone());
            value
        }
        Value::Null => return Err(bad()),
        other if checked => {
            let why = cannot_unmarshal(other, "map[string]interface {}");
            return Err(Refusal::bad_request(format!("error decoding patch: {why}")));
        }
        Value::Array(_) => without_nulls(patch.clone()),
        _ => return Err(bad()),
    };
    Ok((value, patch, if checked { duplicates } else { Vec::new() }))
}

fn strategic_patch(ty: Option<Type<'_>>, current: &Value, body: &[u8], strictness: Strictness) -> Result<Patched, Refusal> {
    let (patch, duplicates) = parse_value(body).map_err(|why| Refusal::bad_request(why.to_string()))?;
    let mut patch = match patch {
        Value::Object(patch) => patch,
        Value::Null => serde_json::Map::new(),
        other => return Err(Refusal::bad_request(cannot_unmarshal(&other, "map[string]interface {}"))),
    };
    let Some(ty) = ty else { return Err(Refusal::bad_request("strategic merge patch format is not supported")) };
    let current = current.as_object().cloned().unwrap_or_default();
    let value = Value::Object(strategic::merge(ty, current, &mut patch)?);
    let refuse = |why: &str| undecodable(&go::show(&Value::Object(patch.clone())), why);
    let unknown = convert::check(ty, &value).map_err(|why| refuse(&why))?;
    let mut strict = Vec::new();
    if strictness != Strictness::Ignore {
        strict.extend(duplicates);
        strict.extend(unknown);
    }
    if strictness == Strictness::Strict && !strict.is_empty() {
        return Err(refuse(&strict_error(&strict)));
    }
    let mut decoded = codec::decode(ty, value.clone()).map_err(|error| refuse(&error.to_string()))?.value;
    apply::keep_reset(&value, &mut decoded);
    Ok(Patched { value: decoded, strict, shown: String::new() })
}

/// How deep a value is nested (0 for a scalar), and how many values it is made of. It is as deep as the parser or [`DEEPEST`]
/// lets it be.
fn depth(value: &Value) -> (usize, usize) {
    let add = |(deepest, all), below: &Value| {
        let (depth, values) = depth(below);
        (depth.max(deepest), all + values)
    };
    match value {
        Value::Object(fields) => {
            let (deepest, all) = fields.values().fold((0, 1), add);
            (deepest + 1, all)
        }
        Value::Array(items) => {
            let (deepest, all) = items.iter().fold((0, 1), add);
            (deepest + 1, all)
        }
        _ => (0, 1),
    }
}

/// A value without the members that are null. Lists keep theirs.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name, without_nulls(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::table::builtin;

    fn pod() -> Type<'static> {
        builtin().type_of("", "v1", "Pod").unwrap()
    }

    fn live() -> Value {
        json!({
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": "a", "labels": {"b": "c"}},
            "spec": {"containers": [{"name": "a", "image": "b", "resources": {}}]},
            "status": {},
        })
    }

    fn refused(kind: Patch, body: &str, strictness: Strictness) -> Refusal {
        patch(kind, Some(pod()), &live(), body.as_bytes(), strictness).unwrap_err()
    }

    // Recorded on a real K3s.
    #[test]
    fn refuses_in_its_words() {
        for (kind, body, why) in [
            (
                Patch::Json,
                "[1]",
                "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
            ),
            (
                Patch::Json,
                r#"[{"op":"add","path":"/data/q","value":"a"},{"op":5}]"#,
                "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
            ),
            (Patch::Merge, r#"{"data":null,"data":{"x":"1"}"#, "error decoding patch: unexpected end of JSON input"),
            (
                Patch::Merge,
                "[]",
                "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
            ),
            (Patch::Merge, "null", "Invalid JSON Patch"),
            (Patch::Strategic, "[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
            (Patch::Strategic, r#"{"a"#, "unexpected end of JSON input"),
        ] {
            assert_eq!(refused(kind, body, Strictness::Warn), Refusal::bad_request(why));
        }
        let refusal = refused(Patch::Json, r#"[{"op":"test","path":"/kind","value":"x"}]"#, Strictness::Warn);
        assert_eq!(
            refusal.to_json(),
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 422, "reason": "Invalid",
                "message": "the server rejected our request due to an error in our request", "details": {},
            })
        );
    }

    #[test]
    fn shows_what_it_cannot_decode() {
        let body = r#"[{"op":"add","path":"/metadata/labels/q","value":{"b":1,"a":"<"}}]"#;
        let refusal = refused(Patch::Json, body, Strictness::Warn);
        let shown = r#"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"labels\":{\"b\":\"c\",\"q\":{\"b\":1,\"a\":\"\\u003c\"}},\"name\":\"a\"},\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"b\",\"resources\":{}}]},\"status\":{}}"#;
        let why = "json: cannot unmarshal object into Go struct field ObjectMeta.metadata.labels of type string";
        assert_eq!(refusal.message, format!(r#" "" is invalid: patch: Invalid value: "{shown}": {why}"#));

        let refusal = refused(Patch::Merge, r#"{"metadata":{"labels":{"b":1}}}"#, Strictness::Warn);
        let shown = r#"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"labels\":{\"b\":1},\"name\":\"a\"},\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"b\",\"resources\":{}}]},\"status\":{}}"#;
        let why = "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string";
        assert_eq!(refusal.message, format!(r#" "" is invalid: patch: Invalid value: "{shown}": {why}"#));

        let refusal = refused(Patch::Strategic, r#"{"spec":{"hostNetwork":"x","foo":1}}"#, Strictness::Strict);
        let why = "unrecognized type: bool";
        assert_eq!(
            refusal.message,
            format!(r#" "" is invalid: patch: Invalid value: "map[spec:map[foo:1 hostNetwork:x]]": {why}"#)
        );
        let refusal =
            refused(Patch::Strategic, r#"{"spec":{"foo":1,"foo":2,"containers":[{"name":"a","bar":1}]}}"#, Strictness::Strict);
        let why = r#"strict decoding error: duplicate field "spec.foo", unknown field "spec.containers[0].bar", unknown field "spec.foo""#;
        let shown = "map[spec:map[containers:[map[bar:1 name:a]] foo:2]]";
        assert_eq!(refusal.message, format!(r#" "" is invalid: patch: Invalid value: "{shown}": {why}"#));
    }

    #[test]
    fn asks_to_forget_owners() {
        let body = br#"[{"op":"add","path":"/metadata/managedFields","value":[]}]"#;
        let patched = patch(Patch::Json, Some(pod()), &live(), body, Strictness::Warn).unwrap();
        assert_eq!(patched.value["metadata"]["managedFields"], json!([{}]));
    }

    #[test]
    fn bears_the_deepest() {
        let mut deep = json!(1);
        for n in 0..MAX_DEPTH - 8 {
            deep = if n % 2 == 0 { json!({"a": deep}) } else { json!([deep]) };
        }
        let mut deeper = json!(1);
        for _ in 0..MAX_DEPTH - 8 {
            deeper = json!({"a": deeper});
        }
        for deep in [deep, deeper] {
            let object = json!({"apiVersion": "x.io/v1", "kind": "X", "metadata": {"name": "a"}, "spec": deep});
            let empty = json!({"apiVersion": "x.io/v1", "kind": "X"});
            let manager = apply::Manager {
                ty: None,
                metadata: None,
                api_version: "x.io/v1",
                kind: "X",
                subresource: "",
                empty: &empty,
                reset: &[],
                versions: None,
            };
            let first = manager.apply(&Value::Null, &object, "one", false, "2020-01-01T00:00:00Z").unwrap();
            let mut less = object.clone();
            less["spec"] = json!({});
            manager.apply(&first, &less, "one", false, "2020-01-01T00:00:00Z").unwrap();
            let _ = manager.update(&first, object.clone(), "two", "2020-01-01T00:00:00Z");
            for kind in [Patch::Json, Patch::Merge] {
                let _ = patch(kind, None, &first, object.to_string().as_bytes(), Strictness::Warn);
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let name = prop::sample::select(vec![
            "metadata",
            "labels",
            "spec",
            "containers",
            "name",
            "image",
            "a",
            "$patch",
            "$retainKeys",
            "op",
            "path",
            "from",
            "value",
            "$setElementOrder/containers",
            "$deleteFromPrimitiveList/finalizers",
            "finalizers",
            "ports",
            "containerPort",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3i64..9).prop_map(Value::from),
            prop::sample::select(vec![
                "a",
                "b",
                "delete",
                "replace",
                "merge",
                "add",
                "copy",
                "move",
                "/spec",
                "/spec/containers/0",
                "/a/-"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_patch_panics(body in any_json(), live in any_json(), strict in any::<bool>()) {
            let strictness = if strict { Strictness::Strict } else { Strictness::Ignore };
            let text = body.to_string();
            for kind in [Patch::Json, Patch::Merge, Patch::Strategic] {
                let _ = patch(kind, Some(pod()), &live, text.as_bytes(), strictness);
                let _ = patch(kind, None, &super::tests::live(), text.as_bytes(), strictness);
            }
        }

        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            for kind in [Patch::Json, Patch::Merge, Patch::Strategic] {
                let _ = patch(kind, Some(pod()), &live(), &body, Strictness::Strict);
            }
        }

        #[test]
        fn applying_again_changes_nothing(mut object in any_json().prop_filter("an object", Value::is_object)) {
            object["apiVersion"] = "x.io/v1".into();
            object["kind"] = "X".into();
            object["metadata"] = json!({"name": "a"});
            let empty = json!({"apiVersion": "x.io/v1", "kind": "X"});
            let manager = apply::Manager {
                ty: None, metadata: None, api_version: "x.io/v1", kind: "X", subresource: "", empty: &empty, reset: &[], versions: None,
            };
            let first = manager.apply(&Value::Null, &object, "one", false, "2020-01-01T00:00:00Z").unwrap();
            let again = manager.apply(&first, &object, "one", false, "2021-01-01T00:00:00Z").unwrap();
            prop_assert_eq!(&again, &first);
            let other = manager.update(&first, first.clone(), "two", "2021-01-01T00:00:00Z");
            prop_assert_eq!(&other, &first);
        }
    }
}

//! JSON patch (RFC 6902) as the API server's `gopkg.in/evanphx/json-patch.v4` understands it. It is laxer than the
//! standard, and than the json-patch crate: `replace` of a missing member adds it, `copy` of one copies null, indices may
//! be negative, and a path need not begin with a slash.

use serde_json::{Map, Value};

use super::{DEEPEST, depth};

/// As the API server limits it (`pkg/endpoints/handlers/patch.go`).
pub(crate) const MOST_OPERATIONS: usize = 10_000;
/// How much all `copy` operations of a patch may add (`JSONPatchMaxCopyBytes`).
const MOST_COPIED: usize = 3 * 1024 * 1024;
/// How many values all operations of a patch may visit: ten thousand moves of a large object would take minutes.
const MOST_VISITED: usize = 20_000_000;

/// An operation cannot be applied. The API server keeps the reason to itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Inapplicable;

type Done = Result<(), Inapplicable>;

/// Applies operations in order, all or none.
pub(crate) fn apply(document: &Value, operations: &[Value]) -> Result<Value, Inapplicable> {
    let mut document = document.clone();
    let mut spent = Spent::default();
    for operation in operations {
        let operation = operation.as_object().ok_or(Inapplicable)?;
        step(&mut document, operation, &mut spent)?;
    }
    Ok(document)
}

/// What the operations have cost so far.
#[derive(Default)]
struct Spent {
    copied: usize,
    visited: usize,
}

impl Spent {
    fn copy(&mut self, bytes: usize) -> Done {
        self.copied += bytes;
        if self.copied > MOST_COPIED { Err(Inapplicable) } else { Ok(()) }
    }

    fn visit(&mut self, values: usize) -> Done {
        self.visited += values;
        if self.visited > MOST_VISITED { Err(Inapplicable) } else { Ok(()) }
    }

    /// Moving the items of a list is cheaper than looking at them.
    fn shift(&mut self, items: usize) -> Done {
        self.visit(items / 32)
    }

    /// Patch by patch a document could grow too deep to be walked.
    fn shallow(&mut self, tokens: &[String], value: &Value) -> Done {
        let (depth, values) = depth(value);
        self.visit(values)?;
        if tokens.len() + 1 + depth > DEEPEST { Err(Inapplicable) } else { Ok(()) }
    }
}

fn text<'a>(operation: &'a Map<String, Value>, name: &str) -> Result<&'a str, Inapplicable> {
    operation.get(name).and_then(Value::as_str).ok_or(Inapplicable)
}

fn step(document: &mut Value, operation: &Map<String, Value>, spent: &mut Spent) -> Done {
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match text(operation, "op")? {
        "add" => {
            let (tokens, key) = split(text(operation, "path")?)?;
            add(document, &tokens, &key, spent, value())
        }
        "remove" => {
            let (tokens, key) = split(text(operation, "path")?)?;
            take(container(document, &tokens)?, &key, spent).map(drop)
        }
        "replace" => {
            let path = text(operation, "path")?;
            if path.is_empty() {
                *document = Some(value()).filter(|value| value.is_object() || value.is_array()).ok_or(Inapplicable)?;
                return Ok(());
            }
            let (tokens, key) = split(path)?;
            replace(document, &tokens, &key, spent, value())
        }
        "move" => {
            let (tokens, key) = split(text(operation, "from")?)?;
            let taken = take(container(document, &tokens)?, &key, spent)?;
            let (tokens, key) = split(text(operation, "path")?)?;
            add(document, &tokens, &key, spent, taken)
        }
        "copy" => {
            let (tokens, key) = split(text(operation, "from")?)?;
            let copy = get(container(document, &tokens)?, &key)?.cloned().unwrap_or(Value::Null);
            spent.copy(copy.to_string().len())?;
            let (tokens, key) = split(text(operation, "path")?)?;
            add(document, &tokens, &key, spent, copy)
        }
        "test" => {
            let path = text(operation, "path")?;
            let expected = operation.get("value").unwrap_or(&Value::Null);
            if path.is_empty() {
                return if document == expected { Ok(()) } else { Err(Inapplicable) };
            }
            let (tokens, key) = split(path)?;
            let found = get(container(document, &tokens)?, &key)?.unwrap_or(&Value::Null);
            if found == expected { Ok(()) } else { Err(Inapplicable) }
        }
        _ => Err(Inapplicable),
    }
}

/// The way to the container and the key in it.
fn split(path: &str) -> Result<(Vec<String>, String), Inapplicable> {
    // What comes before the first slash does not count.
    let mut tokens: Vec<_> = path.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
    let key = tokens.pop().ok_or(Inapplicable)?;
    Ok((tokens, key))
}

fn container<'a>(document: &'a mut Value, tokens: &[String]) -> Result<&'a mut Value, Inapplicable> {
    let mut here = document;
    for token in tokens {
        here = match here {
            Value::Object(fields) => fields.get_mut(token).ok_or(Inapplicable)?,
            Value::Array(items) => {
                let at = index(token, items.len())?;
                items.get_mut(at).ok_or(Inapplicable)?
            }
            _ => return Err(Inapplicable),
        };
    }
    if here.is_object() || here.is_array() { Ok(here) } else { Err(Inapplicable) }
}

/// An index as `strconv.Atoi` reads it; negative ones count from the end.
fn index(token: &str, length: usize) -> Result<usize, Inapplicable> {
    let number: i64 = token.parse().map_err(|_| Inapplicable)?;
    let length = i64::try_from(length).map_err(|_| Inapplicable)?;
    let at = if number < 0 { number + length } else { number };
    usize::try_from(at).map_err(|_| Inapplicable)
}

/// A member, none if an object lacks it.
fn get<'a>(container: &'a Value, key: &str) -> Result<Option<&'a Value>, Inapplicable> {
    match container {
        Value::Object(fields) => Ok(fields.get(key)),
        Value::Array(items) => items.get(index(key, items.len())?).map(Some).ok_or(Inapplicable),
        _ => Err(Inapplicable),
    }
}

fn take(container: &mut Value, key: &str, spent: &mut Spent) -> Result<Value, Inapplicable> {
    match container {
        Value::Object(fields) => fields.remove(key).ok_or(Inapplicable),
        Value::Array(items) => {
            let at = index(key, items.len())?;
            spent.shift(items.len())?;
            if at < items.len() { Ok(items.remove(at)) } else { Err(Inapplicable) }
        }
        _ => Err(Inapplicable),
    }
}

fn add(document: &mut Value, tokens: &[String], key: &str, spent: &mut Spent, value: Value) -> Done {
    spent.shallow(tokens, &value)?;
    match container(document, tokens)? {
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(key, items.len() + 1)?;
            if at > items.len() {
                return Err(Inapplicable);
            }
            spent.shift(items.len())?;
            items.insert(at, value);
        }
        _ => return Err(Inapplicable),
    }
    Ok(())
}

fn replace(document: &mut Value, tokens: &[String], key: &str, spent: &mut Spent, value: Value) -> Done {
    spent.shallow(tokens, &value)?;
    match container(document, tokens)? {
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        Value::Array(items) => {
            let at = index(key, items.len())?;
            *items.get_mut(at).ok_or(Inapplicable)? = value;
        }
        _ => return Err(Inapplicable),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    // gopkg.in/evanphx/json-patch.v4/patch_test.go
    #[rstest]
    #[case(json!({"foo": "bar"}), json!([{"op": "add", "path": "/baz", "value": "qux"}]), json!({"baz": "qux", "foo": "bar"}))]
    #[case(json!({"foo": ["bar", "baz"]}), json!([{"op": "add", "path": "/foo/1", "value": "qux"}]), json!({"foo": ["bar", "qux", "baz"]}))]
    #[case(json!({"foo": ["bar", "baz"]}), json!([{"op": "add", "path": "/foo/-1", "value": "qux"}]), json!({"foo": ["bar", "baz", "qux"]}))]
    #[case(json!({"foo": ["bar"]}), json!([{"op": "add", "path": "/foo/-", "value": ["abc"]}]), json!({"foo": ["bar", ["abc"]]}))]
    #[case(json!({"baz": "qux", "foo": "bar"}), json!([{"op": "remove", "path": "/baz"}]), json!({"foo": "bar"}))]
    #[case(json!({"foo": ["bar", "qux", "baz"]}), json!([{"op": "remove", "path": "/foo/-1"}]), json!({"foo": ["bar", "qux"]}))]
    #[case(json!({"foo": "bar"}), json!([{"op": "replace", "path": "/baz", "value": 1}]), json!({"foo": "bar", "baz": 1}))]
    #[case(json!({"foo": ["all", "grass", "cows", "eat"]}), json!([{"op": "move", "from": "/foo/1", "path": "/foo/3"}]), json!({"foo": ["all", "cows", "eat", "grass"]}))]
    #[case(json!({"foo": {"bar": "Quod"}}), json!([{"op": "copy", "from": "/foo/none", "path": "/foo/x"}]), json!({"foo": {"bar": "Quod", "x": null}}))]
    #[case(json!({"foo": "bar"}), json!([{"op": "add", "path": "baz/qux", "value": 1}]), json!({"foo": "bar", "qux": 1}))]
    #[case(json!({"a/b": 1, "c~d": 2}), json!([{"op": "remove", "path": "/a~1b"}, {"op": "replace", "path": "/c~0d", "value": 3}]), json!({"c~d": 3}))]
    #[case(json!({"foo": 1}), json!([{"op": "replace", "path": "", "value": {"bar": 2}}]), json!({"bar": 2}))]
    #[case(json!({"foo": null}), json!([{"op": "test", "path": "/foo", "value": null}, {"op": "test", "path": "/none"}]), json!({"foo": null}))]
    fn applies(#[case] document: Value, #[case] patch: Value, #[case] expected: Value) {
        assert_eq!(apply(&document, patch.as_array().unwrap()), Ok(expected));
    }

    #[rstest]
    #[case(json!([{"op": "add", "path": "/none/x", "value": 1}]))]
    #[case(json!([{"op": "add", "path": "", "value": {}}]))]
    #[case(json!([{"op": "add", "path": "/list/9", "value": 1}]))]
    #[case(json!([{"op": "add", "path": "/list/x", "value": 1}]))]
    #[case(json!([{"op": "remove", "path": "/none"}]))]
    #[case(json!([{"op": "replace", "path": "/list/9", "value": 1}]))]
    #[case(json!([{"op": "test", "path": "/foo", "value": "other"}]))]
    #[case(json!([{"op": "move", "from": "/none", "path": "/x"}]))]
    #[case(json!([{"op": "nonsense", "path": "/foo"}]))]
    #[case(json!([{"path": "/foo"}]))]
    #[case(json!([null]))]
    fn refuses(#[case] patch: Value) {
        let document = json!({"foo": "bar", "list": []});
        assert_eq!(apply(&document, patch.as_array().unwrap()), Err(Inapplicable));
    }

    #[test]
    fn neither_grows_nor_deepens_without_limit() {
        let nest: Vec<_> = (0..10_000).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/b"})).collect();
        assert_eq!(apply(&json!({"a": {}}), &nest), Err(Inapplicable));
        let double: Vec<_> = (0..64).map(|n| json!({"op": "copy", "from": "/a", "path": format!("/a/{n}")})).collect();
        assert_eq!(apply(&json!({"a": {}}), &double), Err(Inapplicable));
        let large = json!({"a": vec![0; 100_000]});
        let back = |n| if n % 2 == 0 { ("/a", "/b") } else { ("/b", "/a") };
        let moves: Vec<_> = (0..10_000).map(back).map(|(from, to)| json!({"op": "move", "from": from, "path": to})).collect();
        assert_eq!(apply(&large, &moves), Err(Inapplicable));
    }
}

//! The paths of a patch: dotted, with what JSONPath adds.

use std::fmt::{self, Display};

use serde_json::Value;

use super::Fault;

/// A dotted path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(pub(super) Vec<Step>);

/// A step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A key, or a list's index: which one, only the document knows.
    Key(String),
    /// `[*]`
    All,
    /// `[?(@.key=="value")]`
    Where { key: String, equals: String },
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// [`Fault::JsonPointer`] or [`Fault::Path`].
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.starts_with('/') {
            return Err(Fault::JsonPointer { path: text.to_owned(), dotted: from_pointer(text) });
        }
        let fault = |reason: &str| Fault::Path { path: text.to_owned(), reason: reason.to_owned() };
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        let mut first = true;
        while !rest.is_empty() {
            if let Some(bracket) = rest.strip_prefix('[') {
                let (step, after) = Self::bracket(bracket).map_err(|reason| fault(&reason))?;
                steps.push(step);
                rest = after;
            } else {
                rest = match rest.strip_prefix('.') {
                    Some(after) => after,
                    // `$x` is no path, `x` and `.x` are.
                    None if first && !text.starts_with('$') => rest,
                    None => return Err(fault("a `.` or `[` belongs between two keys")),
                };
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let key = &rest[..end];
                match key {
                    "" => return Err(fault("a key is empty")),
                    key if key.contains('/') => {
                        return Err(fault(
                            "a key contains `/`; keys are parted by dots, and one with a `/` in it is written ['a/b']",
                        ));
                    }
                    key if key.contains([']', '"', '\'']) || key.contains(char::is_whitespace) => {
                        return Err(fault("a key contains a blank, a quote or a bracket; such a key is written ['a b']"));
                    }
                    key => steps.push(Step::Key(key.to_owned())),
                }
                rest = &rest[end..];
            }
            first = false;
        }
        if steps.is_empty() { Err(fault("it names nothing")) } else { Ok(Self(steps)) }
    }

    /// What stands in brackets, and what follows them.
    fn bracket(text: &str) -> Result<(Step, &str), String> {
        let unclosed = || "a `[` is not closed".to_owned();
        if let Some(condition) = text.strip_prefix("?(") {
            let condition = condition.trim_start().strip_prefix("@.").ok_or("a condition is written [?(@.key==\"value\")]")?;
            let (key, comparison) = condition.split_once("==").ok_or("a condition compares by `==`")?;
            let (value, after) = quoted(comparison.trim_start()).ok_or("a condition's value is quoted")?;
            let after = after.trim_start().strip_prefix(")]").ok_or_else(unclosed)?;
            let key = key.trim_end();
            if key.is_empty() {
                return Err("a condition names a key".to_owned());
            }
            return Ok((Step::Where { key: key.to_owned(), equals: value.to_owned() }, after));
        }
        if let Some((key, after)) = quoted(text) {
            let after = after.strip_prefix(']').ok_or_else(unclosed)?;
            return Ok((Step::Key(key.to_owned()), after));
        }
        let (inside, after) = text.split_once(']').ok_or_else(unclosed)?;
        match inside {
            "*" => Ok((Step::All, after)),
            index if !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok((Step::Key(index.to_owned()), after))
            }
            _ => Err("brackets hold an index, `*`, a quoted key or a condition".to_owned()),
        }
    }

    /// Whether it may name several places at once.
    pub fn is_plural(&self) -> bool {
        self.0.iter().any(|step| !matches!(step, Step::Key(_)))
    }
}

/// The path in its plainest form, by which two that name the same place are told.
impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if is_plain(key) && index == 0 => f.write_str(key)?,
                Step::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, "[{}]", quote(key))?,
                Step::All => f.write_str("[*]")?,
                Step::Where { key, equals } => write!(f, "[?(@.{key}=={})]", quote(equals))?,
            }
        }
        Ok(())
    }
}

impl Step {
    /// The values that it names in one.
    pub(super) fn each_in<'a>(&self, place: &'a mut Value) -> Result<Vec<&'a mut Value>, String> {
        match self {
            Step::Key(key) => {
                let what = kind(place);
                let found = match place {
                    Value::Object(map) => map.get_mut(key),
                    Value::Array(list) => key.parse::<usize>().ok().and_then(|index| list.get_mut(index)),
                    _ => None,
                };
                found.map(|value| vec![value]).ok_or_else(|| format!("there is no `{key}` in the {what}"))
            }
            Step::All => match place {
                Value::Array(list) => Ok(list.iter_mut().collect()),
                Value::Object(map) => Ok(map.values_mut().collect()),
                other => Err(format!("`[*]` has nothing to go through in a {}", kind(other))),
            },
            Step::Where { key, equals } => match place {
                Value::Array(list) => {
                    Ok(list.iter_mut().filter(|value| value.get(key).and_then(Value::as_str) == Some(equals)).collect())
                }
                other => Err(format!("a condition chooses from a list, and this is a {}", kind(other))),
            },
        }
    }

    /// Puts a value where it points.
    pub(super) fn add(&self, place: &mut Value, value: Value) -> Result<(), String> {
        let Step::Key(key) = self else { return Err("only replace takes several places at once".to_owned()) };
        match place {
            Value::Object(map) => {
                map.insert(key.clone(), value);
                Ok(())
            }
            Value::Array(list) if key == "-" => {
                list.push(value);
                Ok(())
            }
            Value::Array(list) => match key.parse() {
                Ok(index) if index <= list.len() => {
                    list.insert(index, value);
                    Ok(())
                }
                _ => Err(format!("`{key}` is no index of a list of {}", list.len())),
            },
            other => Err(format!("nothing can be put in a {}", kind(other))),
        }
    }

    /// Removes what it points at.
    pub(super) fn remove(&self, place: &mut Value) -> Result<(), String> {
        let Step::Key(key) = self else { return Err("only replace takes several places at once".to_owned()) };
        let what = kind(place);
        let found = match place {
            Value::Object(map) => map.remove(key).is_some(),
            Value::Array(list) => match key.parse::<usize>() {
                Ok(index) if index < list.len() => {
                    list.remove(index);
                    true
                }
                _ => false,
            },
            _ => false,
        };
        if found { Ok(()) } else { Err(format!("there is no `{key}` in the {what}")) }
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && !key.contains(['.', '[', ']', '/', '"', '\'', '$']) && !key.contains(char::is_whitespace)
}

fn quote(text: &str) -> String {
    let mark = if text.contains('\'') { '"' } else { '\'' };
    format!("{mark}{text}{mark}")
}

/// What stands in the quotes that `text` begins with, and what follows them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mark = text.chars().next().filter(|mark| matches!(mark, '"' | '\''))?;
    text[1..].split_once(mark)
}

/// The dotted form of a JSON Pointer (RFC 6901).
fn from_pointer(pointer: &str) -> String {
    let keys = pointer.split('/').skip(1).filter(|key| !key.is_empty());
    Path(keys.map(|key| Step::Key(key.replace("~1", "/").replace("~0", "~"))).collect()).to_string()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_path_is_read_back_in_its_plainest_form(keys in prop::collection::vec("[^'\"]{1,5}", 1..4)) {
            let path = Path(keys.into_iter().map(Step::Key).collect());
            prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
        }
    }
}

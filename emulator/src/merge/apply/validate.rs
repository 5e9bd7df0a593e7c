//! Whether an object fits its type, in the words of structured-merge-diff's `typed/validate.go`.

use serde_json::Value;

use super::element::Element;
use super::set::Set;
use super::shape::{Form, Scalar, Shape};
use crate::merge::go;

/// What is wrong, as one text: alone when it is one thing, else a line each.
pub(crate) fn validate(shape: Shape<'_>, value: &Value) -> Result<(), String> {
    let mut found = Found { path: String::new(), errors: Vec::new() };
    found.visit(shape, value);
    match found.errors.len() {
        0 => Ok(()),
        1 => Err(found.errors.swap_remove(0)),
        _ => Err(format!("errors:\n  {}", found.errors.join("\n  "))),
    }
}

struct Found {
    path: String,
    errors: Vec<String>,
}

impl Found {
    fn report(&mut self, message: &str) {
        self.errors.push(if self.path.is_empty() { message.to_owned() } else { format!("{}: {message}", self.path) });
    }

    fn within<T>(&mut self, step: &str, visit: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let out = visit(self);
        self.path.truncate(length);
        out
    }

    fn visit(&mut self, shape: Shape<'_>, value: &Value) {
        match shape.atom().form(value) {
            None => self.report("schema error: invalid atom: inlined"),
            Some(Form::Scalar(scalar)) => {
                if let Err(message) = fits(scalar, value) {
                    self.report(&message);
                }
            }
            Some(Form::List(list)) => match value {
                Value::Null => {}
                Value::Array(items) => {
                    let mut seen = Set::default();
                    for (index, item) in items.iter().enumerate() {
                        let step = if list.atomic {
                            format!("[{index}]")
                        } else {
                            match list.element(item) {
                                // Without it no error further down can be told.
                                Err(why) => return self.report(&format!("element {index}: {why}")),
                                Ok(element) => {
                                    let step = element.to_string();
                                    self.note(&mut seen, element, &step);
                                    step
                                }
                            }
                        };
                        self.within(&step, |found| found.visit(list.item(), item));
                    }
                }
                other => self.report(&format!("expected list, got &{{{}}}", go::show(other))),
            },
            Some(Form::Map(map)) => match value {
                Value::Null => {}
                Value::Object(fields) => {
                    for (name, field) in fields {
                        let known = self.within(&format!(".{name}"), |found| match map.below(name) {
                            Some(shape) => {
                                found.visit(shape, field);
                                true
                            }
                            None => {
                                found.report("field not declared in schema");
                                false
                            }
                        });
                        if !known {
                            return;
                        }
                    }
                }
                other => self.report(&format!("expected map, got &{{{}}}", go::show(other))),
            },
        }
    }

    fn note(&mut self, seen: &mut Set, element: Element, step: &str) {
        let child = seen.child(element);
        if child.owned {
            self.report(&format!("duplicate entries for key {step}"));
        }
        child.owned = true;
    }
}

fn fits(scalar: Scalar, value: &Value) -> Result<(), String> {
    match (scalar, value) {
        (_, Value::Null)
        | (Scalar::Numeric, Value::Number(_))
        | (Scalar::String, Value::String(_))
        | (Scalar::Boolean, Value::Bool(_))
        | (Scalar::Any, Value::Number(_) | Value::String(_) | Value::Bool(_)) => Ok(()),
        (Scalar::Numeric, other) => Err(format!("expected numeric (int or float), got {}", go::type_name(other))),
        (Scalar::String, other) => Err(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go::syntax(other))),
        (Scalar::Boolean, other) => Err(format!("expected boolean, got &{{{}}}", go::show(other))),
        (Scalar::Any, other) => Err(format!("expected any scalar, got &{{{}}}", go::show(other))),
    }
}

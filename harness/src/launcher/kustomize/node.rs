//! A YAML document the way Kustomize holds one: a scalar keeps its text, and what it is (a number, a name) is decided
//! when it is printed. Ported from what `kyaml/yaml` makes of `go.yaml.in/yaml/v3`.

use std::{
    collections::HashMap,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use k3s_arc_emulator::schema::{float, json, to_yaml, yaml};
use serde_json::{Map, Number, Value};

use super::time;

/// A value, and where it stands in its file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// In the order of the file.
    Map(Vec<Field>),
    List(Vec<Node>),
    Scalar(Scalar),
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    /// Whether the name was written in quotes; one that a transformation adds is not.
    pub(super) quoted: bool,
    pub(super) at: Range<usize>,
    pub(super) value: Node,
}

#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Whether it was written in quotes or as a block: a new text keeps them.
    pub(super) quoted: bool,
    pub(super) tag: Tag,
    pub(super) twin: Option<Twin>,
}

/// A label or annotation that was added to several places of an object at once. Kustomize puts the same node in all of
/// them, so that what changes one later changes the others, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Twin {
    id: u64,
    /// When it was set last.
    set: u64,
}

/// A number that is larger than the one before.
fn tick() -> u64 {
    static CLOCK: AtomicU64 = AtomicU64::new(0);
    CLOCK.fetch_add(1, Ordering::Relaxed)
}

impl Twin {
    pub(super) fn new() -> Self {
        let id = tick();
        Self { id, set: id }
    }
}

/// What a scalar was found to be when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// Put in its place by a transformation that says nothing of its type.
    Unset,
    String,
    Null,
    /// A number, a boolean, a time: what the text says.
    Other,
}

impl Node {
    fn new(kind: Kind) -> Self {
        Self { kind, at: 0..0 }
    }

    pub(super) fn map() -> Self {
        Self::new(Kind::Map(Vec::new()))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::new(Kind::List(items))
    }

    pub(super) fn scalar(text: impl Into<String>, quoted: bool, tag: Tag) -> Self {
        Self::new(Kind::Scalar(Scalar { text: text.into(), quoted, tag, twin: None }))
    }

    /// A text that remains one whatever it looks like; one of several lines is a block.
    pub(super) fn string(text: impl Into<String>) -> Self {
        let text = text.into();
        let quoted = text.contains('\n');
        Self::scalar(text, quoted, Tag::String)
    }

    /// The text of a scalar; nothing for a map or a list.
    pub(super) fn text(&self) -> &str {
        match &self.kind {
            Kind::Scalar(scalar) => &scalar.text,
            _ => "",
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(Scalar { tag: Tag::Null, .. }))
    }

    /// Whether it is null, `{}` or `[]`.
    pub(super) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Map(fields) => fields.is_empty(),
            Kind::List(items) => items.is_empty(),
            Kind::Scalar(_) => self.is_null(),
        }
    }

    pub(super) fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Map(fields) => fields,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// A field, null or not.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.fields().iter().find(|field| field.name == name).map(|field| &field.value)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.kind {
            Kind::Map(fields) => fields.iter_mut().find(|field| field.name == name).map(|field| &mut field.value),
            _ => None,
        }
    }

    /// A field, made where it is not there.
    pub(super) fn get_or_insert(&mut self, name: &str, new: impl FnOnce() -> Self) -> Option<&mut Self> {
        let Kind::Map(fields) = &mut self.kind else { return None };
        let index = fields.iter().position(|field| field.name == name).unwrap_or_else(|| {
            fields.push(Field { name: name.to_owned(), quoted: false, at: 0..0, value: new() });
            fields.len() - 1
        });
        Some(&mut fields[index].value)
    }

    /// Sets a field; a scalar takes on the quotes of the one whose place it takes. Null removes the field.
    pub(super) fn set(&mut self, name: &str, mut value: Self) {
        if value.is_null() {
            self.remove(name);
        } else if let Some(field) = self.get_mut(name) {
            field.replace(value);
        } else {
            value.quote();
            self.get_or_insert(name, || value);
        }
    }

    /// Puts a text in quotes that would not be one to a reader of YAML 1.1.
    pub(super) fn quote(&mut self) {
        if let Kind::Scalar(scalar) = &mut self.kind {
            let is_text = matches!(scalar.tag, Tag::String | Tag::Unset);
            scalar.quoted |= is_text && looks_like_another_type(&scalar.text);
        }
    }

    /// Takes on another value, with the quotes of its own; its twins are to follow ([`Self::settle`]).
    pub(super) fn replace(&mut self, mut value: Self) {
        if let Kind::Scalar(new) = &mut value.kind {
            let (quoted, twin) = match &self.kind {
                Kind::Scalar(old) => (old.quoted, old.twin),
                _ => (false, None),
            };
            new.quoted = quoted;
            new.twin = twin.map(|twin| Twin { set: tick(), ..twin });
        }
        self.kind = value.kind;
    }

    /// The same scalar as one of several.
    pub(super) fn with_twin(mut self, twin: Twin) -> Self {
        if let Kind::Scalar(scalar) = &mut self.kind {
            scalar.twin = Some(twin);
        }
        self
    }

    /// Gives every twin the value that was set last.
    pub(super) fn settle(&mut self) {
        let mut latest = HashMap::new();
        self.each_twin(&mut |scalar, twin| {
            let known = latest.entry(twin.id).or_insert_with(|| scalar.clone());
            if known.twin.is_some_and(|known| known.set < twin.set) {
                known.clone_from(scalar);
            }
        });
        if !latest.is_empty() {
            self.each_twin(&mut |scalar, twin| {
                if let Some(last) = latest.get(&twin.id) {
                    scalar.clone_from(last);
                }
            });
        }
    }

    fn each_twin(&mut self, visit: &mut dyn FnMut(&mut Scalar, Twin)) {
        match &mut self.kind {
            Kind::Map(fields) => fields.iter_mut().for_each(|field| field.value.each_twin(visit)),
            Kind::List(items) => items.iter_mut().for_each(|item| item.each_twin(visit)),
            Kind::Scalar(scalar) => {
                if let Some(twin) = scalar.twin {
                    visit(scalar, twin);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Kind::Map(fields) = &mut self.kind {
            fields.retain(|field| field.name != name);
        }
    }

    /// What it is printed as.
    ///
    /// # Errors
    /// When it has what JSON cannot express.
    pub(super) fn to_json(&self) -> Result<Value, String> {
        Ok(match &self.kind {
            Kind::Map(fields) => Value::Object(
                fields
                    .iter()
                    .map(|field| match field.quoted || is_text(&field.name) {
                        true => Ok((field.name.clone(), field.value.to_json()?)),
                        // Kustomize has written it without quotes by then, and reads it again.
                        false => Err(format!("the key `{}` would not be a text any more", field.name)),
                    })
                    .collect::<Result<Map<String, Value>, String>>()?,
            ),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect::<Result<_, _>>()?),
            Kind::Scalar(Scalar { text, quoted, tag, .. }) => {
                if *quoted || *tag == Tag::String {
                    Value::String(printable(text)?)
                } else {
                    resolve(text)?
                }
            }
        })
    }

    /// From what a JSON patch has made: written as YAML by then, with quotes where they are needed.
    pub(super) fn from_patched(value: &Value) -> Self {
        Self::from_json(value, &|text| to_yaml(&Value::String(text.to_owned())).starts_with(['"', '\'', '|']))
    }

    /// From the items of a list: written as JSON by then, every text in quotes.
    pub(super) fn from_item(value: &Value) -> Self {
        Self::from_json(value, &|_| true)
    }

    fn from_json(value: &Value, quoted: &dyn Fn(&str) -> bool) -> Self {
        match value {
            Value::Null => Self::scalar("null", false, Tag::Null),
            Value::Bool(value) => Self::scalar(value.to_string(), false, Tag::Other),
            // JSON has but one kind of number.
            Value::Number(value) => Self::scalar(float(value.as_f64().unwrap_or_default()), false, Tag::Other),
            Value::String(text) => Self::scalar(text.as_str(), quoted(text), Tag::String),
            Value::Array(items) => Self::list(items.iter().map(|item| Self::from_json(item, quoted)).collect()),
            Value::Object(fields) => Self::new(Kind::Map(
                fields
                    .iter()
                    .map(|(name, value)| Field {
                        name: name.clone(),
                        quoted: true,
                        at: 0..0,
                        value: Self::from_json(value, quoted),
                    })
                    .collect(),
            )),
        }
    }
}

/// A text, unless it has control characters that Kustomize fails at or loses.
fn printable(text: &str) -> Result<String, String> {
    match text.chars().find(|c| matches!(c, '\u{7f}'..='\u{9f}')) {
        Some(c) => Err(format!("a text has the control character U+{:04X}", u32::from(c))),
        None => Ok(text.to_owned()),
    }
}

/// What a plain scalar is: as in YAML 1.1, but that `yes` and its like are texts.
///
/// # Errors
/// For what JSON has not, `.inf` and `.nan`.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    if matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    ) {
        return Ok(Value::String(text.to_owned()));
    }
    if let Some(time) = time::normalized(text) {
        return Ok(Value::String(time));
    }
    Ok(match yaml::resolve(text) {
        json::Node::Null => Value::Null,
        json::Node::Bool(value) => Value::Bool(value),
        json::Node::Number(number) => Value::Number(as_json(&number).ok_or_else(|| format!("JSON has no number `{text}`"))?),
        _ => Value::String(text.to_owned()),
    })
}

/// Whether a plain scalar is a text.
pub(super) fn is_text(text: &str) -> bool {
    time::normalized(text).is_none() && matches!(resolve(text), Ok(Value::String(_)))
}

/// A number as Go's JSON has it: whole where it has no fraction.
fn as_json(number: &str) -> Option<Number> {
    let whole = |text: &str| text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    whole(number).or_else(|| {
        let float: f64 = number.parse().ok()?;
        whole(&float.to_string()).or_else(|| Number::from_f64(float))
    })
}

/// Whether a reader of YAML 1.1 would not take it for a text.
pub(super) fn looks_like_another_type(text: &str) -> bool {
    !text.is_empty() && !text.contains('\n') && !matches!(yaml::resolve(text), json::Node::String(_))
}

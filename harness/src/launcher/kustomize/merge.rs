//! Strategic merge patches as Kustomize applies them, which is not quite as Kubernetes does: what a patch adds to a list
//! comes first, and items may be told apart by several keys. Ported from `kyaml/yaml/merge2` and `kyaml/yaml/walk`.

use super::{
    node::{Field, Kind, Node, Scalar, Tag},
    resource::Gvk,
    schema::Schema,
};

const DIRECTIVE: &str = "$patch";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// What is merged.
enum Sides {
    Both(Node, Node),
    /// The patch does not mention it; it is put in order all the same.
    Ours(Node),
    /// It is of the patch alone.
    Added(Node),
    /// It is part of what is of the patch alone: its directives and nulls are obeyed.
    New(Node),
}

/// A merged value, and whether it is the patch's in place of ours.
struct Merged {
    node: Node,
    replaces: bool,
}

impl Merged {
    fn ours(node: Node) -> Option<Self> {
        Some(Self { node, replaces: false })
    }
}

/// The patched object; none if the patch deletes it.
pub(super) fn merge(object: Node, patch: Node) -> Result<Option<Node>, String> {
    let merged = walk(Sides::Both(object, patch), None)?.map(|merged| merged.node);
    Ok(merged.map(|mut merged| {
        merged.settle();
        merged
    }))
}

fn walk(sides: Sides, schema: Option<Schema>) -> Result<Option<Merged>, String> {
    let schema = schema.or_else(|| own_schema(&sides));
    match sides {
        Sides::Both(ours, patch) if ours.is_null() => {
            if patch.is_null() {
                Ok(None)
            } else {
                walk(Sides::Added(patch), schema)
            }
        }
        Sides::Both(_, patch) if patch.is_null() => Ok(None),
        Sides::Both(ours, patch) => match (&ours.kind, &patch.kind) {
            (Kind::Map(_), Kind::Map(_)) => map(ours, patch, schema),
            (Kind::List(_), Kind::List(_)) => list(ours, patch, schema),
            (Kind::Scalar(_), Kind::Scalar(_)) => Ok(Some(Merged { node: patch, replaces: true })),
            (ours, patch) => Err(format!("the patch has {} where the object has {}", name(patch), name(ours))),
        },
        // A null that is written out stays.
        Sides::Ours(ours) if ours.is_null() => Ok(Some(ours).filter(|ours| !ours.text().is_empty()).and_then(Merged::ours)),
        Sides::Ours(ours) => match (&ours.kind, schema.and_then(Schema::merge_keys)) {
            (Kind::Map(_), _) => fields(ours, None, schema, false),
            (Kind::List(_), Some(keys)) => items(ours, None, &keys, schema, false),
            _ => Ok(Merged::ours(ours)),
        },
        Sides::Added(patch) | Sides::New(patch) if patch.is_null() => Ok(None),
        // Of an added list, the directive is taken for an item.
        Sides::Added(patch) if matches!(patch.kind, Kind::List(_)) => match schema.and_then(Schema::merge_keys) {
            Some(keys) => items(patch, None, &keys, schema, true),
            None => Ok(Merged::ours(patch)),
        },
        Sides::Added(mut patch) | Sides::New(mut patch) => match (&patch.kind, schema.and_then(Schema::merge_keys)) {
            (Kind::Map(_), _) => match take_directive(&mut patch)? {
                Directive::Delete => Ok(None),
                _ => fields(patch, None, schema, true),
            },
            (Kind::List(_), Some(keys)) => match take_directive(&mut patch)? {
                Directive::Delete => Ok(None),
                _ => items(patch, None, &keys, schema, true),
            },
            _ => Ok(Merged::ours(patch)),
        },
    }
}

/// An object in an object has a type of its own where the outer one says nothing.
fn own_schema(sides: &Sides) -> Option<Schema> {
    let of = |node: &Node| {
        let text = |name| node.get(name).map(Node::text).filter(|text| !text.is_empty());
        Schema::of(&Gvk::new(text("apiVersion")?, text("kind")?))
    };
    match sides {
        Sides::Both(ours, patch) => of(ours).or_else(|| of(patch)),
        Sides::Ours(node) | Sides::Added(node) | Sides::New(node) => of(node),
    }
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Map(_) => "a map",
        Kind::List(_) => "a list",
        Kind::Scalar(_) => "a single value",
    }
}

fn map(ours: Node, mut patch: Node, schema: Option<Schema>) -> Result<Option<Merged>, String> {
    match take_directive(&mut patch)? {
        Directive::Delete => Ok(None),
        Directive::Replace => Ok(fields(patch, None, schema, true)?.map(|merged| Merged { replaces: true, ..merged })),
        Directive::Merge => fields(ours, Some(patch), schema, false),
    }
}

/// Merges the fields of maps; `new` where ours is the patch's.
fn fields(ours: Node, patch: Option<Node>, schema: Option<Schema>, new: bool) -> Result<Option<Merged>, String> {
    let at = ours.at.clone();
    let into_fields = |node: Node| if let Kind::Map(fields) = node.kind { fields } else { Vec::new() };
    let mut patch = patch.map(into_fields).unwrap_or_default();
    let mut merged = Vec::new();
    let mut ours = into_fields(ours);
    // The order tells which of two twins is set last.
    ours.sort_by(|a, b| a.name.cmp(&b.name));
    for field in ours {
        let below = schema.and_then(|schema| schema.field(&field.name));
        let ours = field.value.clone();
        let (sides, patched) = match patch.iter().position(|other| other.name == field.name) {
            Some(index) => (Sides::Both(field.value, patch.remove(index).value), true),
            None if new => (Sides::New(field.value), false),
            None => (Sides::Ours(field.value), false),
        };
        if let Some(Merged { node, .. }) = walk(sides, below).map_err(|error| format!("{}: {error}", field.name))? {
            let value = match (&ours.kind, &node.kind) {
                (Kind::Scalar(_), Kind::Scalar(_)) if patched => {
                    let mut value = ours;
                    value.replace(node);
                    value
                }
                _ => quoted(node),
            };
            merged.push(Field { value, ..field });
        }
    }
    for field in patch {
        let below = schema.and_then(|schema| schema.field(&field.name));
        if let Some(Merged { node, .. }) = walk(Sides::Added(field.value), below)? {
            merged.push(Field { value: quoted(node), ..field });
        }
    }
    Ok(Merged::ours(Node { kind: Kind::Map(merged), at }))
}

/// Every field is set anew, with quotes where they are needed: what takes the place of a text in quotes later is one, too.
fn quoted(mut node: Node) -> Node {
    node.quote();
    node
}

fn list(ours: Node, mut patch: Node, schema: Option<Schema>) -> Result<Option<Merged>, String> {
    let Some(keys) = schema.and_then(Schema::merge_keys) else { return Ok(Some(Merged { node: patch, replaces: true })) };
    match take_directive(&mut patch)? {
        Directive::Delete => Ok(None),
        Directive::Replace => Ok(items(patch, None, &keys, schema, true)?.map(|merged| Merged { replaces: true, ..merged })),
        Directive::Merge => items(ours, Some(patch), &keys, schema, false),
    }
}

/// Takes the directive out of a part of a patch.
fn take_directive(patch: &mut Node) -> Result<Directive, String> {
    let read = |text: &str| match text {
        "delete" => Ok(Directive::Delete),
        "replace" => Ok(Directive::Replace),
        "merge" => Ok(Directive::Merge),
        other => Err(format!("there is no `{DIRECTIVE}: {other}`")),
    };
    match &mut patch.kind {
        Kind::Map(_) => {
            let Some(directive) = patch.get(DIRECTIVE).map(|node| read(node.text())).transpose()? else {
                return Ok(Directive::Merge);
            };
            patch.remove(DIRECTIVE);
            Ok(directive)
        }
        Kind::List(items) => {
            // An item with further fields has the directive for itself.
            let Some(item) = items.iter().find(|item| item.get(DIRECTIVE).is_some()).filter(|item| item.fields().len() == 1)
            else {
                return Ok(Directive::Merge);
            };
            let text = item.get(DIRECTIVE).map(Node::text).unwrap_or_default().to_owned();
            let directive = read(&text)?;
            set(items, None, &[DIRECTIVE.to_owned()], &[text])?;
            Ok(directive)
        }
        Kind::Scalar(_) => Ok(Directive::Merge),
    }
}

/// Merges the items of lists, told apart by the values of `keys`, or by themselves where there are none.
fn items(ours: Node, patch: Option<Node>, keys: &[String], schema: Option<Schema>, new: bool) -> Result<Option<Merged>, String> {
    let at = ours.at.clone();
    let into_items = |node: Node| if let Kind::List(items) = node.kind { items } else { Vec::new() };
    let mut ours = into_items(ours);
    let patch = patch.map(into_items);
    let scalars = [String::new()];
    let keys = if keys.is_empty() { &scalars } else { keys };
    let below = schema.and_then(Schema::items);

    let mut names: Vec<Vec<String>> = Vec::new();
    // What the patch adds comes first.
    for item in patch.iter().flatten().chain(&ours) {
        let name: Vec<String> = keys.iter().map(|key| value_of(item, key)).collect();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if keys.len() > 1 {
        complete(&mut names);
    }
    if names.is_empty() {
        return Ok(Merged::ours(Node { kind: Kind::List(ours), at }));
    }
    let mut merged = Vec::new();
    let mut valid_keys = Vec::new();
    for name in &names {
        let (item_keys, values) = given(&names, name, keys);
        valid_keys.clone_from(&item_keys);
        let here = position(&ours, &item_keys, &values);
        let there = patch.as_ref().and_then(|patch| position(patch, &item_keys, &values).map(|index| patch[index].clone()));
        let sides = match (here, there) {
            (Some(index), Some(patch)) => Some(Sides::Both(ours[index].clone(), patch)),
            (Some(index), None) if new => Some(Sides::New(ours[index].clone())),
            (Some(index), None) => Some(Sides::Ours(ours[index].clone())),
            (None, Some(patch)) => Some(Sides::Added(patch)),
            (None, None) => None,
        };
        let item = match sides {
            Some(sides) => walk(sides, below).map_err(|error| format!("{}: {error}", values.join(", ")))?,
            None => None,
        };
        let Some(Merged { mut node, replaces }) =
            item.filter(|item| !matches!(&item.node.kind, Kind::Map(fields) if fields.is_empty()))
        else {
            set(&mut ours, None, &item_keys, &values)?;
            continue;
        };
        for (key, value) in item_keys.iter().zip(&values) {
            if !value.is_empty() && !key.is_empty() && node.get(key).is_none() {
                node.set(key, Node::scalar(value.as_str(), false, Tag::Unset));
            }
        }
        if let (Some(index), false) = (here, replaces) {
            ours[index] = node.clone();
        }
        set(&mut merged, Some(node), &item_keys, &values)?;
    }
    for item in ours {
        append(&mut merged, item, &valid_keys)?;
    }
    Ok(Merged::ours(Node { kind: Kind::List(merged), at }))
}

/// The value of a key of an item; of a scalar, where the key is empty, itself.
fn value_of(item: &Node, key: &str) -> String {
    if key.is_empty() {
        return item.text().to_owned();
    }
    item.get(key).filter(|value| !value.is_empty()).map(Node::text).unwrap_or_default().to_owned()
}

/// Names that agree in what both have are one: a port without its protocol is the one that has the same number.
fn complete(names: &mut [Vec<String>]) {
    for i in 0..names.len() {
        for j in 0..names.len() {
            if let Some(both) = both(&names[i], &names[j]) {
                names[i].clone_from(&both);
                names[j] = both;
            }
        }
    }
}

fn both(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let mut agree = false;
    let mut both = Vec::new();
    for (a, b) in a.iter().zip(b) {
        if a == b {
            agree = true;
            both.push(a.clone());
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        } else {
            both.push(if a.is_empty() { b.clone() } else { a.clone() });
        }
    }
    agree.then_some(both)
}

/// The keys that any of the names has a value for, and this name's values of them; all keys where no name has any.
fn given(names: &[Vec<String>], name: &[String], keys: &[String]) -> (Vec<String>, Vec<String>) {
    let is_given = |index: usize| names.iter().any(|name| !name[index].is_empty());
    if !(0..keys.len()).any(is_given) {
        return (keys.to_vec(), name.to_vec());
    }
    keys.iter()
        .zip(name)
        .enumerate()
        .filter(|(index, _)| is_given(*index))
        .map(|(_, (key, value))| (key.clone(), value.clone()))
        .unzip()
}

/// The first item that has these values.
fn position(items: &[Node], keys: &[String], values: &[String]) -> Option<usize> {
    let (keys, values) = given(&[values.to_vec()], values, keys);
    items.iter().position(|item| {
        if keys.first().is_some_and(String::is_empty) {
            return values.first().is_some_and(|value| item.text() == value);
        }
        keys.iter().zip(&values).all(|(key, value)| item.get(key).is_some_and(|field| field.text() == value))
    })
}

/// Puts an item in the place of those with the same values, or at the end; without an item, removes them.
fn set(items: &mut Vec<Node>, item: Option<Node>, keys: &[String], values: &[String]) -> Result<(), String> {
    if values.is_empty() {
        // Without a value, no item is kept.
        *items = item.into_iter().collect();
        return Ok(());
    }
    let by_fields = keys.first().is_some_and(|key| !key.is_empty()) && values.first().is_some_and(|value| !value.is_empty());
    let mut kept = Vec::new();
    let mut found = false;
    for old in items.drain(..) {
        if old.is_null() || matches!(&old.kind, Kind::Map(fields) if fields.is_empty()) {
            continue;
        }
        if by_fields && !matches!(old.kind, Kind::Map(_)) {
            kept.push(old);
        } else if has(&old, keys, values)? {
            found = true;
            kept.extend(item.clone());
        } else {
            kept.push(old);
        }
    }
    if let (Some(item), false) = (item, found) {
        kept.push(item);
    }
    *items = kept;
    Ok(())
}

/// Whether an item has these values; an empty one stands for any.
fn has(item: &Node, keys: &[String], values: &[String]) -> Result<bool, String> {
    for (key, value) in keys.iter().zip(values) {
        let has = match (&item.kind, key.as_str()) {
            (Kind::Scalar(Scalar { text, .. }), "") => text == value,
            (Kind::Map(_), key) if !key.is_empty() => {
                item.get(key).is_some_and(|field| value.is_empty() || field.text() == value)
            }
            _ => return Err("the items of a list are of different kinds".to_owned()),
        };
        if !has {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Appends an item of ours, or puts it in the place of its merged self.
fn append(merged: &mut Vec<Node>, item: Node, keys: &[String]) -> Result<(), String> {
    if keys.first().is_some_and(String::is_empty) {
        let text = item.text().to_owned();
        return set(merged, Some(item), keys, &[text]);
    }
    let mut values = Vec::new();
    for key in keys {
        match item.get(key) {
            Some(value) => values.push(value.text().to_owned()),
            None => merged.push(item.clone()),
        }
    }
    if keys.len() > 1 {
        set(merged, None, keys, &values)?;
    }
    set(merged, Some(item), keys, &values)
}

//! ConfigMaps and Secrets made of files and literals. Ported from `api/internal/generators` and `api/kv/kv.go`.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    file::{At, Generator, Options, Pairs},
    files::Folder,
    node::{Node, Tag},
    resource::Resource,
};

/// Base64 is broken into lines of this length.
const LINE: usize = 70;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    ConfigMap,
    Secret,
}

/// The object that a generator makes; an error comes with the place in the kustomization where it is about a part of it.
pub(super) fn generate(made: Made, generator: &Generator, global: &Options, folder: &Folder) -> Result<Resource, At<String>> {
    let whole = |value: &str| At { value: value.to_owned(), at: 0..0 };
    if generator.name.is_empty() {
        return Err(whole("a generator needs a name"));
    }
    let options = merged(&generator.options, global);
    let mut node = Node::map();
    node.set("apiVersion", Node::string("v1"));
    node.set("kind", Node::string(if made == Made::Secret { "Secret" } else { "ConfigMap" }));
    let mut metadata = Node::map();
    metadata.set("name", Node::scalar(generator.name.as_str(), false, Tag::Unset));
    if !generator.namespace.is_empty() {
        metadata.set("namespace", Node::scalar(generator.namespace.as_str(), false, Tag::Unset));
    }
    for (name, pairs) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if !pairs.is_empty() {
            metadata.set(name, strings(pairs));
        }
    }
    node.set("metadata", metadata);
    let data = data(generator, folder)?;
    if made == Made::Secret {
        let secret_type = if generator.secret_type.is_empty() { "Opaque" } else { &generator.secret_type };
        node.set("type", Node::string(secret_type));
        let mut encoded = Node::map();
        for (key, value) in &data {
            encoded.set(key, Node::string(in_lines(value)));
        }
        node.set("data", encoded);
    } else {
        for (key, value) in &data {
            set_in_config_map(&mut node, key, value);
        }
    }
    if options.immutable {
        node.set("immutable", Node::scalar("true", false, Tag::Other));
    }
    let mut resource = Resource::new(node);
    resource.note_generator(generator.behavior, !options.disable_hash);
    Ok(resource)
}

fn set_in_config_map(node: &mut Node, key: &str, value: &[u8]) {
    let (field, value) = match std::str::from_utf8(value) {
        Ok(text) => ("data", text.to_owned()),
        Err(_) => ("binaryData", in_lines(value)),
    };
    if let Some(map) = node.get_or_insert(field, Node::map) {
        map.set(key, Node::string(value));
    }
}

/// Sets the data of a generated object that was merged with another.
pub(super) fn merge_data(new: &mut Resource, old: &Resource) {
    for field in ["data", "binaryData"] {
        let texts = |resource: &Resource| -> Pairs {
            let fields = resource.node.get(field).map(Node::fields).unwrap_or_default();
            fields
                .iter()
                .map(|field| (field.name.clone(), if field.value.is_null() { "" } else { field.value.text() }.to_owned()))
                .collect()
        };
        let mut merged = texts(old);
        merged.extend(texts(new));
        new.node.remove(field);
        if !merged.is_empty() {
            new.node.set(field, strings(&merged));
        }
    }
}

fn strings(pairs: &Pairs) -> Node {
    let mut node = Node::map();
    for (key, value) in pairs {
        node.set(key, Node::string(value.as_str()));
    }
    node
}

/// The generator's own options go first.
fn merged(own: &Options, global: &Options) -> Options {
    let pairs = |own: &Pairs, global: &Pairs| {
        let mut merged = global.clone();
        merged.extend(own.clone());
        merged
    };
    Options {
        disable_hash: own.disable_hash || global.disable_hash,
        immutable: own.immutable || global.immutable,
        labels: pairs(&own.labels, &global.labels),
        annotations: pairs(&own.annotations, &global.annotations),
    }
}

fn data(generator: &Generator, folder: &Folder) -> Result<BTreeMap<String, Vec<u8>>, At<String>> {
    let mut data = BTreeMap::new();
    let mut add = |key: &str, value: Vec<u8>, source: &At<String>| match data.insert(key.to_owned(), value) {
        Some(_) => Err(At { value: format!("the key `{key}` is given twice"), at: source.at.clone() }),
        None => Ok(()),
    };
    for source in &generator.envs {
        let fail = |value| At { value, at: source.at.clone() };
        let text = folder.read_text(&source.value).map_err(fail)?;
        for (key, value) in variables(&text) {
            add(key, value.as_bytes().to_vec(), source)?;
        }
    }
    for source in &generator.literals {
        match source.value.split_once('=') {
            Some((key, value)) if !key.is_empty() => add(key, unquoted(value).as_bytes().to_vec(), source)?,
            // The literal may be a secret.
            _ => return Err(At { value: "a literal is not of the form key=value".to_owned(), at: source.at.clone() }),
        }
    }
    for source in &generator.files {
        let fail = |value| At { value, at: source.at.clone() };
        let (key, path) = match source.value.split_once('=') {
            None => (source.value.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default(), source.value.as_str()),
            Some((key, path)) if !key.is_empty() && !path.is_empty() && !path.contains('=') => (key, path),
            Some(_) => return Err(fail(format!("`{}` is not of the form key=path", source.value))),
        };
        add(key, folder.read(path).map_err(fail)?, source)?;
    }
    Ok(data)
}

/// The lines of an env file: `key=value`, or a key alone.
fn variables(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line).trim_start())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap_or((line, "")))
        .filter(|(key, _)| !key.is_empty())
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

fn in_lines(value: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(value);
    if encoded.len() < LINE {
        return encoded;
    }
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    for line in encoded.as_bytes().chunks(LINE) {
        lines.extend(line.iter().map(|byte| char::from(*byte)));
        lines.push('\n');
    }
    lines
}

//! Reads YAML text into nodes, with anchors resolved. Ported from `kyaml/kio/byteio_reader.go`.

use std::{collections::HashMap, ops::Range};

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag as Written};

use super::node::{Field, Kind, Node, Scalar, Tag, is_text, resolve};

/// Deeper is no Kubernetes object, and nodes are walked by recursion.
const MAX_DEPTH: usize = 200;

/// How many nodes aliases may copy: far more than a manifest has, far less than hurts.
const MAX_COPIED: usize = 100_000;

/// Why a text cannot be read, and where.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) message: String,
    pub(super) line: usize,
}

/// The documents of a file, parts that hold nothing left out.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Unreadable> {
    let text = text.replace("\r\n", "\n");
    let mut documents = Vec::new();
    for part in split(&text)? {
        let node = document(part.text, part.at).map_err(|error| Unreadable { line: error.line + part.line, ..error })?;
        documents.extend(node.filter(|node| !node.is_null()));
    }
    Ok(documents)
}

struct Part<'t> {
    text: &'t str,
    at: usize,
    /// How many lines come before it.
    line: usize,
}

/// Cuts at the lines that begin with `---`, the first one excepted.
fn split(text: &str) -> Result<Vec<Part<'_>>, Unreadable> {
    let mut parts = Vec::new();
    let lines_before = |at: usize| text[..at].bytes().filter(|byte| *byte == b'\n').count();
    let mut start = 0;
    let mut search = 0;
    while let Some(found) = text[search..].find("\n---") {
        let found = search + found;
        let Some(length) = text[found + 4..].find('\n') else { break };
        let after = text[found + 4..found + 4 + length].trim();
        if !after.is_empty() && !after.starts_with('#') {
            let message = format!("invalid document separator: ---{after}");
            return Err(Unreadable { message, line: lines_before(found) + 2 });
        }
        parts.push(Part { text: &text[start..=found], at: start, line: lines_before(start) });
        start = found + 4 + length + 1;
        search = start;
    }
    parts.push(Part { text: &text[start..], at: start, line: lines_before(start) });
    Ok(parts)
}

/// The first document of a text; what follows it is passed over, as Kustomize does. `offset` is where the text begins
/// in its file.
pub(super) fn document(text: &str, offset: usize) -> Result<Option<Node>, Unreadable> {
    // They end lines in YAML 1.1 and do not in YAML 1.2, which is what is read here.
    if let Some(at) = text.find(['\u{85}', '\u{2028}', '\u{2029}']) {
        let line = text[..at].matches('\n').count() + 1;
        return Err(Unreadable { message: "there is a line separator of Unicode: write it as an escape".to_owned(), line });
    }
    let mut reader = Reader { events: Parser::new_from_str(text), offset, anchors: HashMap::new(), copied: 0 };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(None),
            (event, span) => {
                let node = reader.node(event, span, 0)?;
                // What comes behind the last line of a document that has not ended is part of it.
                reader.next()?;
                return Ok(Some(node));
            }
        }
    }
}

struct Reader<I> {
    events: I,
    offset: usize,
    anchors: HashMap<usize, Node>,
    copied: usize,
}

fn fail<T>(message: impl Into<String>, span: &Span) -> Result<T, Unreadable> {
    Err(Unreadable { message: message.into(), line: span.start.line() })
}

impl<'t, I: Iterator<Item = Result<(Event<'t>, Span), ScanError>>> Reader<I> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Unreadable> {
        loop {
            match self.events.next() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(Unreadable { message: error.info().to_owned(), line: error.marker().line() }),
                None => return Err(Unreadable { message: "unexpected end of the document".to_owned(), line: 1 }),
            }
        }
    }

    fn at(&self, span: &Span) -> Range<usize> {
        let range = span.byte_range().unwrap_or_default();
        range.start + self.offset..range.end + self.offset
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Unreadable> {
        if depth > MAX_DEPTH {
            return fail("it is nested too deep", &span);
        }
        let mut at = self.at(&span);
        let (kind, anchor) = match event {
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else { return fail("unknown anchor", &span) };
                self.copied += size(&node);
                if self.copied > MAX_COPIED {
                    return fail("it has too many aliases", &span);
                }
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), &span)?, anchor),
            Event::SequenceStart(_, anchor, tag) => {
                untagged(tag.as_deref(), &["seq"], &span)?;
                (self.list(depth + 1)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                untagged(tag.as_deref(), &["map"], &span)?;
                (self.mapping(depth + 1)?, anchor)
            }
            _ => return fail("did not find expected node content", &span),
        };
        let end = match &kind {
            Kind::Map(fields) => fields.last().map(|field| field.value.at.end.max(field.at.end)),
            Kind::List(items) => items.last().map(|item| item.at.end),
            Kind::Scalar(_) => None,
        };
        at.end = end.unwrap_or(at.end).max(at.end);
        let node = Node { kind, at };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Unreadable> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items)),
                (event, span) => items.push(self.node(event, span, depth)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Kind, Unreadable> {
        let mut fields: Vec<Field> = Vec::new();
        let mut merged = None;
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth)?;
            let Some((name, quoted)) = name(&key) else { return fail("a key is no text: quote it", &span) };
            if name == "<<" && !quoted {
                merged = Some((value, span));
            } else if fields.iter().any(|field| field.name == name) {
                return fail(format!("`{name}` is given twice"), &span);
            } else {
                fields.push(Field { name: name.to_owned(), quoted, at: self.at(&span), value });
            }
        }
        if let Some((value, span)) = merged {
            merge(&mut fields, &value, &span)?;
        }
        Ok(Kind::Map(fields))
    }
}

/// `<<: *base`: what the mapping has itself goes first.
fn merge(fields: &mut Vec<Field>, value: &Node, span: &Span) -> Result<(), Unreadable> {
    match &value.kind {
        Kind::Map(base) => {
            let missing: Vec<Field> =
                base.iter().filter(|field| !fields.iter().any(|own| own.name == field.name)).cloned().collect();
            fields.extend(missing);
            Ok(())
        }
        Kind::List(items) => items.iter().try_for_each(|item| merge(fields, item, span)),
        Kind::Scalar(_) => fail("`<<` needs a map or a list of maps", span),
    }
}

fn size(node: &Node) -> usize {
    let below = match &node.kind {
        Kind::Map(fields) => fields.iter().map(|field| size(&field.value)).sum(),
        Kind::List(items) => items.iter().map(size).sum(),
        Kind::Scalar(_) => 0,
    };
    below + 1
}

/// The text of a key, and whether it is in quotes.
fn name(key: &Node) -> Option<(&str, bool)> {
    match &key.kind {
        Kind::Scalar(Scalar { text, quoted, tag: Tag::String, .. }) => Some((text, *quoted)),
        _ => None,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Written>, span: &Span) -> Result<Kind, Unreadable> {
    let quoted = style != ScalarStyle::Plain;
    // The parser writes a tilde for what is left out.
    let text = if !quoted && span.is_empty() { "" } else { text };
    untagged(tag, &["str"], span)?;
    let tag = if quoted || tag.is_some() {
        Tag::String
    } else {
        match resolve(text) {
            Ok(serde_json::Value::Null) => Tag::Null,
            _ if is_text(text) => Tag::String,
            _ => Tag::Other,
        }
    };
    Ok(Kind::Scalar(Scalar { text: text.to_owned(), quoted, tag, twin: None }))
}

fn untagged(tag: Option<&Written>, allowed: &[&str], span: &Span) -> Result<(), Unreadable> {
    match tag {
        Some(tag) if !tag.core_suffix().is_some_and(|suffix| allowed.contains(&suffix)) => {
            fail(format!("the tag {} is not supported", tag.original()), span)
        }
        _ => Ok(()),
    }
}

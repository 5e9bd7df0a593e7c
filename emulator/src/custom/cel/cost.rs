//! What a rule may cost at most, for all that its schema permits: cel-go's estimate (`checker/cost.go`) with Kubernetes'
//! additions (`apiserver/pkg/cel/library/cost.go`, `common/schemas.go`). A definition with too costly rules is refused.

use std::collections::BTreeMap;

use super::check::{Access, Literal, Loop, LoopKind, Node};
use super::functions::Function;
use super::types::{Type, escape};
use super::{Program, check};
use crate::custom::schema::{Kind, Schema};

/// No request is larger, in bytes.
const LARGEST_REQUEST: u64 = 3 * 1024 * 1024;

const UNKNOWN: u64 = u64::MAX;

/// How large what a schema describes can be.
#[derive(Debug)]
pub(crate) struct Extent {
    /// Items of a list, entries of a map, bytes of a text.
    most: u64,
    /// Bytes of its JSON at least.
    least_bytes: u64,
    inner: Option<Box<Extent>>,
    fields: BTreeMap<String, Extent>,
    is_map: bool,
}

impl Extent {
    fn plain(most: u64, least_bytes: u64) -> Self {
        Self { most, least_bytes, inner: None, fields: BTreeMap::new(), is_map: false }
    }

    /// Of what a schema describes; `None` for what CEL does not see.
    pub(crate) fn of(schema: &Schema, resource: bool) -> Option<Self> {
        let text = || schema.max_length.map_or(LARGEST_REQUEST - 2, |n| n.saturating_mul(4));
        if schema.int_or_string {
            return Some(Self::plain(text(), 1));
        }
        Some(match schema.kind {
            Kind::Array => {
                let items = schema.items.as_deref()?;
                let inner = Self::of(items, items.embedded)?;
                let most = schema.max_items.unwrap_or((LARGEST_REQUEST - 2) / (inner.least_bytes + 1));
                Self { inner: Some(Box::new(inner)), ..Self::plain(most, 2) }
            }
            Kind::Object => match schema.values() {
                Some(values) => {
                    let inner = Self::of(values, values.embedded)?;
                    let most = schema.max_properties.unwrap_or((LARGEST_REQUEST - 2) / (inner.least_bytes + 6));
                    Self { inner: Some(Box::new(inner)), is_map: true, ..Self::plain(most, 2) }
                }
                None => Self::of_object(schema, resource),
            },
            Kind::String => match schema.format.as_str() {
                "byte" => Self::plain(schema.max_length.unwrap_or(LARGEST_REQUEST - 2), 2),
                "duration" => Self::plain(32, 3),
                "date" => Self::plain(12, 12),
                "date-time" => Self::plain(32, 21),
                _ if schema.max_length.is_none() && !schema.enumeration.is_empty() => {
                    let longest = schema.enumeration.iter().filter_map(|v| v.as_str()).map(str::len).max();
                    Self::plain(longest.unwrap_or(0) as u64, 2)
                }
                _ => Self::plain(text(), 2),
            },
            Kind::Boolean => Self::plain(0, 4),
            Kind::Number | Kind::Integer => Self::plain(0, 1),
            Kind::Unspecified => return None,
        })
    }

    fn of_object(schema: &Schema, resource: bool) -> Self {
        let mut out = Self::plain(0, 2);
        for (name, below) in &schema.properties {
            let Some(extent) = Self::of(below, below.embedded) else { continue };
            if schema.required.contains(name) && below.default.is_none() {
                out.least_bytes += name.len() as u64 + extent.least_bytes + 4;
            }
            if let Some(name) = escape(name) {
                out.fields.insert(name, extent);
            }
        }
        if resource {
            let text = || Self::plain(LARGEST_REQUEST - 2, 2);
            let names = BTreeMap::from([("name".to_owned(), text()), ("generateName".to_owned(), text())]);
            for key in ["kind", "apiVersion"] {
                out.fields.insert(key.to_owned(), text());
            }
            out.fields.insert("metadata".to_owned(), Self { fields: names, ..Self::plain(0, 2) });
        }
        out
    }

    /// How often something of this size can occur in one request.
    pub(crate) fn occurrences(&self) -> u64 {
        LARGEST_REQUEST / (self.least_bytes + 1)
    }
}

/// What an expression costs at most, and how large its value can be.
#[derive(Clone, Copy)]
struct Estimate<'a> {
    cost: u64,
    size: u64,
    extent: Option<&'a Extent>,
}

impl Estimate<'_> {
    fn new(cost: u64, size: u64) -> Self {
        Self { cost, size, extent: None }
    }
}

/// The most that a program for values of an extent can cost.
pub(crate) fn most(program: &Program, own: &Extent) -> u64 {
    let mut estimator = Estimator { own, locals: Vec::new() };
    estimator.node(&program.checked.node).cost
}

struct Estimator<'a> {
    own: &'a Extent,
    locals: Vec<(String, Estimate<'a>)>,
}

/// A part of a size, rounded up.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn part(size: u64, factor: f64) -> u64 {
    let product = size as f64 * factor;
    // Casts saturate.
    product.ceil() as u64
}

impl<'a> Estimator<'a> {
    fn of_extent(cost: u64, extent: &'a Extent) -> Estimate<'a> {
        Estimate { cost, size: extent.most, extent: Some(extent) }
    }

    fn node(&mut self, node: &check::Node) -> Estimate<'a> {
        match node {
            Node::Literal(literal) => Estimate::new(
                0,
                match literal {
                    Literal::String(text) => text.chars().count() as u64,
                    Literal::Bytes(bytes) => bytes.len() as u64,
                    _ => 1,
                },
            ),
            Node::Type(_) => Estimate::new(1, 1),
            Node::Ident(name) => {
                let local = self.locals.iter().rev().find(|(local, _)| local == name).map(|(_, e)| *e);
                match local {
                    Some(estimate) => Estimate { cost: 1, ..estimate },
                    None => Self::of_extent(1, self.own),
                }
            }
            Node::Field { of, name, access } => {
                let of = self.node(of);
                let below = of.extent.and_then(|e| {
                    if e.is_map { e.inner.as_deref() } else { e.fields.get(name).or_else(|| e.fields.get(&escape(name)?)) }
                });
                match (access, below) {
                    (Access::Test, _) => Estimate::new(of.cost, 1),
                    (_, Some(extent)) => Self::of_extent(of.cost.saturating_add(1), extent),
                    (_, None) => Estimate::new(of.cost.saturating_add(1), UNKNOWN),
                }
            }
            Node::Index { of, index, .. } => {
                let (of, index) = (self.node(of), self.node(index));
                let cost = of.cost.saturating_add(index.cost).saturating_add(1);
                match of.extent.and_then(|e| e.inner.as_deref()) {
                    Some(extent) => Self::of_extent(cost, extent),
                    None => Estimate::new(cost, UNKNOWN),
                }
            }
            Node::And(left, right) | Node::Or(left, right) => {
                let cost = self.node(left).cost.saturating_add(self.node(right).cost);
                Estimate::new(cost, 1)
            }
            Node::If(condition, yes, no) => {
                let (c, y, n) = (self.node(condition), self.node(yes), self.node(no));
                Estimate::new(c.cost.saturating_add(y.cost.max(n.cost)), y.size.max(n.size))
            }
            Node::List(items) => {
                let cost = items.iter().fold(10u64, |sum, (item, _)| sum.saturating_add(self.node(item).cost));
                Estimate::new(cost, items.len() as u64)
            }
            Node::Map(entries) => {
                let each = |sum: u64, key: u64, value: u64| sum.saturating_add(key).saturating_add(value);
                let cost = entries.iter().fold(30, |sum, (key, value, _)| each(sum, self.node(key).cost, self.node(value).cost));
                Estimate::new(cost, entries.len() as u64)
            }
            Node::OptMap { of, var, body, .. } => {
                let of = self.node(of);
                self.locals.push((var.clone(), of));
                let body = self.node(body);
                self.locals.pop();
                Estimate::new(of.cost.saturating_add(body.cost).saturating_add(4), body.size)
            }
            Node::Loop(inner) => self.repeat(inner),
            Node::Call { function, args } => {
                let args: Vec<_> = args.iter().map(|arg| self.node(arg)).collect();
                let (own, size) = call(function, &args);
                let cost = args.iter().fold(own, |sum, arg| sum.saturating_add(arg.cost));
                Estimate { cost, size, extent: args.first().and_then(|a| a.extent).filter(|_| function.name == "dyn") }
            }
        }
    }

    fn repeat(&mut self, inner: &Loop) -> Estimate<'a> {
        let range = self.node(&inner.range);
        let extent = range.extent;
        let below = extent.and_then(|e| e.inner.as_deref());
        let value = below.map_or(Estimate::new(1, UNKNOWN), |e| Self::of_extent(1, e));
        // Keys are texts without a bound; positions are numbers.
        let key = |is_map: bool| Estimate::new(1, if is_map { i64::MAX as u64 } else { 1 });
        let is_map = extent.is_some_and(|e| e.is_map);
        let depth = self.locals.len();
        match &inner.second {
            Some(second) => {
                self.locals.push((inner.var.clone(), key(is_map)));
                self.locals.push((second.clone(), value));
            }
            None => self.locals.push((inner.var.clone(), if is_map { key(true) } else { value })),
        }
        let filter = inner.filter.as_ref().map_or(0, |f| self.node(f).cost);
        let body = self.node(&inner.body).cost;
        self.locals.truncate(depth);
        // What the macros expand to: the accumulator, its step and its result.
        let (start, step, end) = match inner.kind {
            LoopKind::All => (0, body.saturating_add(3), 1),
            LoopKind::Exists => (0, body.saturating_add(4), 1),
            LoopKind::ExistsOne => (0, body.saturating_add(2), 2),
            LoopKind::Filter => (10, body.saturating_add(13), 1),
            LoopKind::List => (10, body.saturating_add(12).saturating_add(filter), 1),
            LoopKind::Map | LoopKind::Entries => (30, body.saturating_add(3).saturating_add(filter), 1),
        };
        let cost = range.size.saturating_mul(step).saturating_add(range.cost).saturating_add(start + end);
        let size = match inner.kind {
            LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => 1,
            _ => range.size,
        };
        Estimate { cost, size, extent: extent.filter(|_| inner.kind == LoopKind::Filter) }
    }
}

/// What a call costs beside its arguments, and the size of its result.
fn call(function: &Function, args: &[Estimate<'_>]) -> (u64, u64) {
    let size = |i: usize| args.get(i).map_or(UNKNOWN, |a| a.size);
    let scalar = |ty: &Type| matches!(ty, Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Timestamp | Type::Duration);
    let result = if function.overloads.iter().all(|o| scalar(&o.result)) { 1 } else { UNKNOWN };
    let traversal = |size: u64| part(size, 0.1);
    let expression = |text: u64, pattern: u64| part(text.saturating_add(1), 0.1).saturating_mul(part(pattern, 0.25));
    match function.name.as_str() {
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => {
            let smallest = size(0).min(size(1));
            // Only texts and bytes are walked through by the orderings.
            let walked = matches!(function.name.as_str(), "_==_" | "_!=_") || smallest > 1;
            (if walked { traversal(smallest) } else { 1 }, 1)
        }
        "_+_" => {
            let sum = size(0).saturating_add(size(1));
            // Numbers have no extent of their own; lists are not copied.
            let numbers = size(0) <= 1 && size(1) <= 1;
            let lists = args.iter().any(|a| a.extent.is_some_and(|e| e.inner.is_some()));
            (if numbers || lists { 1 } else { traversal(sum) }, sum)
        }
        "startsWith" | "endsWith" => (traversal(size(1)), 1),
        "contains" => (traversal(size(0)).saturating_mul(traversal(size(1))), 1),
        "matches" => (expression(size(0), size(1)), 1),
        "find" | "findAll" => (expression(size(0), size(1)), size(0)),
        "@in" => (if args.get(1).is_some_and(|a| a.extent.is_some_and(|e| e.is_map)) { 1 } else { size(1) }, 1),
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => match args.first().and_then(|a| a.extent) {
            Some(extent) => match &extent.inner {
                Some(item) => (extent.most.saturating_mul(1 + traversal(item.most)), result),
                None => (traversal(extent.most), result),
            },
            None => (size(0), result),
        },
        "lowerAscii" | "upperAscii" | "substring" | "trim" | "url" => (traversal(size(0)), size(0)),
        "replace" => (part(size(0), 0.2), size(0).saturating_add(1).saturating_mul(size(2)).saturating_add(size(0))),
        "split" => (part(size(0), 0.2), size(0)),
        "join" => {
            let item = args.first().and_then(|a| a.extent?.inner.as_deref()).map_or(0, |i| i.most);
            let by = if args.len() > 1 { size(1) } else { 0 };
            let sum = size(0).saturating_mul(item.saturating_add(by));
            (traversal(sum), sum)
        }
        "cidr" | "ip" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => (traversal(size(0)), 1),
        "ip.isCanonical" => (part(size(0), 0.2), 1),
        "validate" => (part(traversal(size(1)), 0.25 * 128.0), UNKNOWN),
        "strings.quote" => (traversal(size(0)), size(0).saturating_mul(2).saturating_add(2)),
        "format" => (traversal(size(0)), UNKNOWN),
        "sets.contains" | "sets.equivalent" | "sets.intersects" => (size(0).saturating_mul(size(1)).saturating_add(1), 1),
        "dyn" => (1, size(0)),
        _ => (1, result),
    }
}

//! The evaluator. It recurses as deep as the expression nests, which is bounded, and spends of a budget for every step.

use std::sync::Arc;

use super::check::{Access, Literal, Loop, LoopKind, Node};
use super::value::Val;
use super::{Budget, Fault, Scope};

pub(crate) fn evaluate<'a>(node: &'a Node, scope: &dyn Scope<'a>, budget: &mut Budget) -> Result<Val<'a>, Fault> {
    budget.spend(1)?;
    match node {
        Node::Literal(literal) => Ok(match literal {
            Literal::Null => Val::Null,
            Literal::Bool(b) => Val::Bool(*b),
            Literal::Int(n) => Val::Int(*n),
            Literal::Uint(n) => Val::Uint(*n),
            Literal::Double(n) => Val::Double(*n),
            Literal::String(text) => Val::String(Arc::clone(text)),
            Literal::Bytes(bytes) => Val::Bytes(Arc::clone(bytes)),
        }),
        Node::Type(name) => Ok(Val::Type(name)),
        Node::Ident(name) => match scope.get(name, budget) {
            Some(value) => value,
            None => Err(Fault::new(format!("no such attribute(s): {name}"))),
        },
        Node::Field { of, name, access } => {
            // A policy's variables are evaluated when they are asked for: the scope knows them by their whole names.
            let lazy = matches!(of.as_ref(), Node::Ident(root) if root == "variables") && *access == Access::Plain;
            if let Some(value) = lazy.then(|| scope.get(&format!("variables.{name}"), budget)).flatten() {
                return value;
            }
            field(evaluate(of, scope, budget)?, name, *access)
        }
        Node::Index { of, index: at, optional } => {
            let of = evaluate(of, scope, budget)?;
            let at = evaluate(at, scope, budget)?;
            budget.spend(1)?;
            index(of, &at, *optional)
        }
        Node::Call { function, args } => {
            let values = args.iter().map(|arg| evaluate(arg, scope, budget)).collect::<Result<Vec<_>, _>>()?;
            function.call(&values, budget)
        }
        Node::And(left, right) => logic(left, right, false, scope, budget),
        Node::Or(left, right) => logic(left, right, true, scope, budget),
        Node::If(condition, yes, no) => match evaluate(condition, scope, budget)? {
            Val::Bool(true) => evaluate(yes, scope, budget),
            Val::Bool(false) => evaluate(no, scope, budget),
            _ => Err(Fault::no_overload()),
        },
        Node::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (item, optional) in items {
                let value = evaluate(item, scope, budget)?;
                match (value, optional) {
                    (Val::Optional(value), true) => list.extend(value.map(|v| v.as_ref().clone())),
                    (value, _) => list.push(value),
                }
            }
            Ok(Val::list(list))
        }
        Node::Map(entries) => {
            let mut map = Vec::with_capacity(entries.len());
            for (key, value, optional) in entries {
                let key = evaluate(key, scope, budget)?;
                let value = match (evaluate(value, scope, budget)?, optional) {
                    (Val::Optional(None), true) => continue,
                    (Val::Optional(Some(value)), true) => value.as_ref().clone(),
                    (value, _) => value,
                };
                insert(&mut map, key, value, budget)?;
            }
            Ok(Val::Map(Arc::new(map)))
        }
        Node::Loop(inner) => repeat(inner, scope, budget),
        Node::OptMap { of, var, body, flat } => match evaluate(of, scope, budget)? {
            Val::Optional(None) => Ok(Val::Optional(None)),
            Val::Optional(Some(value)) => {
                let inner = Bound { name: var, value: value.as_ref().clone(), outer: scope };
                let result = evaluate(body, &inner, budget)?;
                Ok(if *flat { result } else { Val::some(result) })
            }
            _ => Err(Fault::no_overload()),
        },
    }
}

/// A scope with one more variable.
struct Bound<'s, 'a> {
    name: &'s str,
    value: Val<'a>,
    outer: &'s dyn Scope<'a>,
}

impl<'a> Scope<'a> for Bound<'_, 'a> {
    fn get(&self, name: &str, budget: &mut Budget) -> Option<Result<Val<'a>, Fault>> {
        if name == self.name { Some(Ok(self.value.clone())) } else { self.outer.get(name, budget) }
    }
}

/// `&&` and `||`: one side may decide although the other fails.
fn logic<'a>(
    left: &'a Node,
    right: &'a Node,
    decisive: bool,
    scope: &dyn Scope<'a>,
    budget: &mut Budget,
) -> Result<Val<'a>, Fault> {
    let truth = |value: Result<Val<'a>, Fault>| match value {
        Ok(Val::Bool(b)) => Ok(b),
        Ok(_) => Err(Fault::no_overload()),
        Err(fault) => Err(fault),
    };
    let first = truth(evaluate(left, scope, budget));
    match first {
        Ok(b) if b == decisive => return Ok(Val::Bool(decisive)),
        Err(fault) if fault.exhausted => return Err(fault),
        _ => {}
    }
    match (first, truth(evaluate(right, scope, budget))) {
        (_, Ok(b)) if b == decisive => Ok(Val::Bool(decisive)),
        (_, Err(fault)) if fault.exhausted => Err(fault),
        (Err(fault), _) | (Ok(_), Err(fault)) => Err(fault),
        (Ok(_), Ok(_)) => Ok(Val::Bool(!decisive)),
    }
}

fn field<'a>(of: Val<'a>, name: &str, access: Access) -> Result<Val<'a>, Fault> {
    let key = Val::text(name);
    let through = matches!(of, Val::Optional(_));
    let of = match of {
        Val::Optional(None) if access == Access::Test => return Ok(Val::Bool(false)),
        Val::Optional(None) => return Ok(Val::Optional(None)),
        Val::Optional(Some(value)) => value.as_ref().clone(),
        other => other,
    };
    let is_map = matches!(of, Val::Object(_) | Val::Map(_));
    let found = if is_map { of.entry(&key)? } else { None };
    match (access, found) {
        (Access::Test, found) if is_map => Ok(Val::Bool(found.is_some())),
        (Access::Optional, found) if is_map => Ok(found.map_or(Val::Optional(None), Val::some)),
        (Access::Plain, found) if is_map && through => Ok(found.map_or(Val::Optional(None), Val::some)),
        (Access::Plain, Some(value)) => Ok(value),
        (Access::Plain, None) if is_map => Err(Fault::new(format!("no such key: {name}"))),
        _ => Err(Fault::no_overload()),
    }
}

fn index<'a>(of: Val<'a>, at: &Val<'a>, optional: bool) -> Result<Val<'a>, Fault> {
    let through = optional || matches!(of, Val::Optional(_));
    let of = match of {
        Val::Optional(None) => return Ok(Val::Optional(None)),
        Val::Optional(Some(value)) => value.as_ref().clone(),
        other => other,
    };
    let found = match (&of, at) {
        (Val::List(_) | Val::Items(..), Val::Int(i)) => of.at(*i).transpose()?,
        (Val::Object(_) | Val::Map(_), key) => of.entry(key)?,
        _ => return Err(Fault::no_overload()),
    };
    match (found, at) {
        (Some(value), _) => Ok(if through { Val::some(value) } else { value }),
        (None, _) if through => Ok(Val::Optional(None)),
        (None, Val::Int(i)) if matches!(of, Val::List(_) | Val::Items(..)) => {
            Err(Fault::new(format!("index out of bounds: {i}")))
        }
        (None, key) => Err(Fault::new(format!("no such key: {}", super::strings::plain(key)))),
    }
}

fn insert<'a>(map: &mut Vec<(Val<'a>, Val<'a>)>, key: Val<'a>, value: Val<'a>, budget: &mut Budget) -> Result<(), Fault> {
    // Keys are compared one by one: large maps are rare, and paid for.
    budget.spend(1 + map.len() as u64 / 10)?;
    if map.iter().any(|(k, _)| k.equals(&key)) {
        return Err(Fault::new(format!("insert failed: key {} already exists", super::strings::plain(&key))));
    }
    map.push((key, value));
    Ok(())
}

fn repeat<'a>(inner: &'a Loop, scope: &dyn Scope<'a>, budget: &mut Budget) -> Result<Val<'a>, Fault> {
    let range = evaluate(&inner.range, scope, budget)?;
    budget.spend(1)?;
    let pairs: Vec<(Val<'a>, Val<'a>)> = match (range.items(), range.keys()) {
        (Some(items), _) => {
            let items = items?.into_iter();
            if inner.second.is_some() {
                (0..).map(Val::Int).zip(items).collect()
            } else {
                items.map(|i| (i, Val::Null)).collect()
            }
        }
        (None, Some(keys)) => {
            let pair = |key: Val<'a>| -> Result<_, Fault> {
                let value = if inner.second.is_some() { range.entry(&key)?.unwrap_or(Val::Null) } else { Val::Null };
                Ok((key, value))
            };
            keys.into_iter().map(pair).collect::<Result<_, _>>()?
        }
        (None, None) => return Err(Fault::no_overload()),
    };
    let (mut list, mut map) = (Vec::new(), Vec::new());
    let (mut count, mut fault) = (0, None);
    for (first, second) in pairs {
        budget.spend(1)?;
        let one = Bound { name: &inner.var, value: first.clone(), outer: scope };
        let two = inner.second.as_ref().map(|name| Bound { name, value: second.clone(), outer: &one });
        let scope: &dyn Scope<'a> = match &two {
            Some(two) => two,
            None => &one,
        };
        if let Some(filter) = &inner.filter {
            match evaluate(filter, scope, budget)? {
                Val::Bool(true) => {}
                Val::Bool(false) => continue,
                _ => return Err(Fault::no_overload()),
            }
        }
        let result = evaluate(&inner.body, scope, budget);
        match inner.kind {
            LoopKind::All | LoopKind::Exists => {
                let decisive = inner.kind == LoopKind::Exists;
                match result {
                    Ok(Val::Bool(b)) if b == decisive => return Ok(Val::Bool(decisive)),
                    Ok(Val::Bool(_)) => {}
                    Ok(_) => fault = fault.or_else(|| Some(Fault::no_overload())),
                    Err(e) if e.exhausted => return Err(e),
                    // Another item may still decide.
                    Err(e) => fault = fault.or(Some(e)),
                }
            }
            LoopKind::ExistsOne => count += usize::from(matches!(result?, Val::Bool(true))),
            LoopKind::Filter => {
                if matches!(result?, Val::Bool(true)) {
                    if inner.second.is_some() { list.push(second) } else { list.push(first) }
                }
            }
            LoopKind::List => list.push(result?),
            LoopKind::Map => insert(&mut map, first, result?, budget)?,
            LoopKind::Entries => {
                let entry = result?;
                let Some(keys) = entry.keys() else { return Err(Fault::no_overload()) };
                for key in keys {
                    let value = entry.entry(&key)?.unwrap_or(Val::Null);
                    insert(&mut map, key, value, budget)?;
                }
            }
        }
    }
    match (inner.kind, fault) {
        (_, Some(fault)) => Err(fault),
        (LoopKind::All, None) => Ok(Val::Bool(true)),
        (LoopKind::Exists, None) => Ok(Val::Bool(false)),
        (LoopKind::ExistsOne, None) => Ok(Val::Bool(count == 1)),
        (LoopKind::Filter | LoopKind::List, None) => Ok(Val::list(list)),
        (LoopKind::Map | LoopKind::Entries, None) => Ok(Val::Map(Arc::new(map))),
    }
}

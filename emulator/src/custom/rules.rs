//! `x-kubernetes-validations`: CEL rules at every level of a schema (`pkg/apiserver/schema/cel`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::cel::cost::{self, Extent};
use super::cel::types::{Type, of_schema};
use super::cel::value::{Val, wrap};
use super::cel::{Budget, CALL_LIMIT, CompileError, Fault, Program, Scope};
use super::internal;
use super::schema::Schema;
use crate::field::{Errors, Kind, Path};

/// What all rules of an object may cost together (`RuntimeCELCostBudget`).
pub(crate) const BUDGET: u64 = 10_000_000;

/// A computed message may be no longer.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// A rule as written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rule {
    rule: String,
    message: String,
    message_expression: String,
    reason: Option<String>,
    field_path: String,
    optional_old_self: Option<bool>,
}

impl Rule {
    pub(crate) fn parse(rule: &Value) -> Self {
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        Self {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: rule["reason"].as_str().map(str::to_owned),
            field_path: text("fieldPath"),
            optional_old_self: rule["optionalOldSelf"].as_bool(),
        }
    }

    /// What identifies the rule in messages.
    fn name(&self) -> &str {
        if self.message.is_empty() { self.rule.trim() } else { self.message.trim() }
    }

    fn message(&self) -> String {
        if self.message.is_empty() { format!("failed rule: {}", self.rule.trim()) } else { self.message.trim().to_owned() }
    }
}

/// A rule that was compiled, or why it was not.
#[derive(Debug)]
struct Compiled {
    rule: Rule,
    program: Result<Program, String>,
    message: Option<Result<Program, String>>,
    uses_old: bool,
    field_path: Option<String>,
}

fn compile(rule: &Rule, schema: &Schema, ty: &Type) -> Compiled {
    let old = if rule.optional_old_self == Some(true) { Type::optional(ty.clone()) } else { ty.clone() };
    let vars = BTreeMap::from([("self".to_owned(), ty.clone()), ("oldSelf".to_owned(), old)]);
    let program = match Program::compile(&rule.rule, &vars) {
        Err(why @ CompileError::Compilation(_)) => Err(why.to_string()),
        Err(why @ CompileError::Instantiation(_)) => Err(format!("program {why}")),
        Ok(program) if *program.ty() != Type::Bool => Err("cel expression must evaluate to a bool".to_owned()),
        Ok(program) => Ok(program),
    };
    let message = (!rule.message_expression.is_empty() && program.is_ok()).then(|| {
        match Program::compile(&rule.message_expression, &vars) {
            Err(why) => Err(format!("messageExpression {why}")),
            Ok(program) if *program.ty() != Type::String => Err("messageExpression must evaluate to a string".to_owned()),
            Ok(program) => Ok(program),
        }
    });
    let uses_old = program.as_ref().is_ok_and(|p| p.uses("oldSelf"));
    let field_path = Some(&rule.field_path).filter(|p| !p.is_empty()).and_then(|p| field_path(p, schema, true).ok());
    Compiled { rule: rule.clone(), program, message, uses_old, field_path: field_path.map(|(path, _)| path) }
}

/// What one expression may cost for all objects (`StaticEstimatedCostLimit`).
const MOST_PER_RULE: u64 = 10_000_000;

/// What all expressions of a version may cost (`StaticEstimatedCRDCostLimit`).
const MOST_IN_ALL: u64 = 100_000_000;

/// Compiles the rules of a definition's schema to see whether they can be, and adds up what they cost.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    total: u64,
    /// The costliest, with their paths.
    most: Vec<(u64, Path)>,
}

/// Where a node of a schema stands.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) root: bool,
    /// The first ancestor whose parts have no counterparts in an older object.
    pub(crate) uncorrelatable: Option<&'a Path>,
    /// How often it can occur in an object, if its ancestors say.
    pub(crate) occurrences: Option<u64>,
    /// Whether what one rule costs counts.
    pub(crate) costs: bool,
}

impl Compiler {
    /// Checks the rules of one node.
    pub(crate) fn check(&mut self, schema: &Schema, given: &[Value], place: &Place<'_>, errors: &mut Errors) {
        let at = place.path.child("x-kubernetes-validations");
        let resource = place.root || schema.embedded;
        let (Some(ty), Some(extent)) = (of_schema(schema, resource, "object"), Extent::of(schema, resource)) else {
            let body = "Internal error: internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
            errors.other(Kind::Internal, &at.to_string(), body.to_owned());
            return;
        };
        let times = place.occurrences.unwrap_or_else(|| extent.occurrences());
        for (i, (given, rule)) in given.iter().zip(&schema.rules).enumerate() {
            let at = at.index(i);
            let compiled = compile(rule, schema, &ty);
            let failed = |field: &str, why: &str, errors: &mut Errors| {
                let body = format!("Invalid value: {}: {why}", internal::print_rule(given));
                errors.other(Kind::Invalid, &at.child(field).to_string(), body);
            };
            match &compiled.program {
                Ok(program) => {
                    let cost = cost::most(program, &extent).saturating_mul(times);
                    self.observe("rule", &at.child("rule"), cost, place.costs, errors);
                }
                Err(why) => failed("rule", why, errors),
            }
            match &compiled.message {
                Some(Ok(program)) => {
                    let cost = cost::most(program, &extent);
                    self.observe("messageExpression", &at.child("messageExpression"), cost, place.costs, errors);
                }
                Some(Err(why)) => failed("messageExpression", why, errors),
                None => {}
            }
            if compiled.uses_old {
                if let Some(within) = place.uncorrelatable {
                    let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
                    errors.invalid(&at.child("rule"), rule.rule.as_str(), &why);
                }
            } else if let Some(optional) = rule.optional_old_self {
                errors.invalid(&at.child("optionalOldSelf"), optional, "may not be set if oldSelf is not used in rule");
            }
        }
    }

    fn observe(&mut self, what: &str, at: &Path, cost: u64, counts: bool, errors: &mut Errors) {
        if counts && cost > MOST_PER_RULE {
            errors.forbidden(at, &too_costly(&format!("estimated {what} cost"), cost, MOST_PER_RULE));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= MOST_IN_ALL / 100 {
            self.most.push((cost, at.clone()));
            self.most.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            self.most.truncate(4);
        }
    }

    /// Whether all rules together cost too much.
    pub(crate) fn total(&self, at: &Path, errors: &mut Errors) {
        if self.total <= MOST_IN_ALL {
            return;
        }
        for (_, path) in &self.most {
            errors.forbidden(path, "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema");
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.forbidden(at, &too_costly(what, self.total, MOST_IN_ALL));
    }
}

#[allow(clippy::cast_precision_loss)]
fn too_costly(what: &str, cost: u64, limit: u64) -> String {
    let times = cost as f64 / limit as f64;
    let factor = if times > 100.0 {
        "more than 100x".to_owned()
    } else if times < 1.5 {
        format!("{times:.6}x")
    } else {
        format!("{times:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

/// The rules of a schema and of all below it; there is none where there are no rules.
#[derive(Debug)]
pub(crate) struct Validator {
    resource: bool,
    rules: Vec<Compiled>,
    items: Option<Box<Validator>>,
    values: Option<Box<Validator>>,
    properties: BTreeMap<String, Validator>,
}

/// What the rules found.
#[derive(Debug)]
pub(crate) struct Findings<'e> {
    pub(crate) errors: &'e mut Errors,
    /// What would be an error if it were new.
    pub(crate) warnings: &'e mut Vec<String>,
}

struct Variables<'a> {
    own: Val<'a>,
    old: Option<Val<'a>>,
}

impl<'a> Scope<'a> for Variables<'a> {
    fn get(&self, name: &str, _: &mut Budget) -> Option<Result<Val<'a>, Fault>> {
        match name {
            "self" => Some(Ok(self.own.clone())),
            "oldSelf" => self.old.clone().map(Ok),
            _ => None,
        }
    }
}

/// No further rules are to be evaluated.
struct Stop;

impl Validator {
    /// `root`: whether kind, apiVersion and metadata are there whatever the schema says.
    pub(crate) fn new(schema: &Schema, root: bool) -> Option<Self> {
        let resource = root || schema.embedded;
        let ty = of_schema(schema, resource, "object");
        let rules = match &ty {
            Some(ty) => schema.rules.iter().map(|rule| compile(rule, schema, ty)).collect(),
            None => Vec::new(),
        };
        let below = |schema: &Schema| Self::new(schema, false);
        let items = schema.items.as_deref().and_then(below).map(Box::new);
        let values = schema.values().and_then(below).map(Box::new);
        let properties: BTreeMap<_, _> =
            schema.properties.iter().filter_map(|(name, schema)| Some((name.clone(), below(schema)?))).collect();
        if rules.is_empty() && items.is_none() && values.is_none() && properties.is_empty() {
            return None;
        }
        Some(Self { resource, rules, items, values, properties })
    }

    /// Evaluates the rules for an object, or a part of one, at `path`.
    pub(crate) fn validate(
        &self,
        schema: &Schema,
        value: &Value,
        old: Option<&Value>,
        path: &Path,
        budget: &mut u64,
        out: &mut Findings<'_>,
    ) {
        // Running out of budget has left its error behind.
        let _ = self.node(schema, value, old, false, path, budget, out);
    }

    #[allow(clippy::too_many_arguments)]
    fn node(
        &self,
        schema: &Schema,
        value: &Value,
        old: Option<&Value>,
        inherited: bool,
        path: &Path,
        budget: &mut u64,
        out: &mut Findings<'_>,
    ) -> Result<(), Stop> {
        if value.is_null() {
            return Ok(());
        }
        // Whether errors are excused: it has not changed, or is a part that cannot be told of something that has not.
        let unchanged = old.map_or(inherited, |old| old == value);
        self.rules_of(schema, value, old.filter(|o| !o.is_null()), unchanged, path, budget, out)?;
        match value {
            Value::Array(items) => {
                if let (Some(validator), Some(below)) = (&self.items, &schema.items) {
                    for (i, item) in items.iter().enumerate() {
                        let old = schema.counterpart(old, item);
                        validator.node(below, item, old, unchanged, &path.index(i), budget, out)?;
                    }
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    let old = old.and_then(|o| o.get(key));
                    if let (Some(validator), Some(below)) = (self.properties.get(key), schema.properties.get(key)) {
                        validator.node(below, value, old, unchanged, &path.child(key), budget, out)?;
                    } else if let (Some(validator), Some(below)) = (&self.values, schema.values()) {
                        validator.node(below, value, old, unchanged, &path.key(key), budget, out)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn rules_of(
        &self,
        schema: &Schema,
        value: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &Path,
        budget: &mut u64,
        out: &mut Findings<'_>,
    ) -> Result<(), Stop> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let kind = schema.kind.name();
        let out_of_budget = "validation failed due to running out of cost budget, no further validation rules will be run";
        if *budget == 0 {
            out.errors.invalid(path, kind, out_of_budget);
            return Err(Stop);
        }
        let wrapped = |value| wrap(value, Some(schema), self.resource);
        let (own, old) = match (wrapped(value), old.map(wrapped).transpose()) {
            (Ok(own), Ok(old)) => (own, old),
            (Err(fault), _) | (_, Err(fault)) => {
                for compiled in &self.rules {
                    out.errors.invalid(path, kind, &format!("{fault} evaluating rule: {}", compiled.rule.name()));
                }
                return Ok(());
            }
        };
        let optional = Val::Optional(old.clone().map(std::sync::Arc::new));
        for compiled in &self.rules {
            let rule = &compiled.rule;
            let program = match &compiled.program {
                Ok(program) => program,
                Err(why) => {
                    out.errors.invalid(path, kind, &format!("rule compile error: {why}"));
                    continue;
                }
            };
            let is_optional = rule.optional_old_self == Some(true);
            if compiled.uses_old && old.is_none() && !is_optional {
                continue;
            }
            let old = if is_optional { Some(optional.clone()) } else { old.clone() };
            let scope = Variables { own: own.clone(), old };
            let mut call = Budget::new(CALL_LIMIT);
            let result = program.evaluate(&scope, &mut call);
            let cost = CALL_LIMIT - call.left();
            if cost > *budget {
                out.errors.invalid(path, kind, out_of_budget);
                return Err(Stop);
            }
            *budget -= cost;
            match result {
                Ok(Val::Bool(true)) => {}
                Err(fault) if fault.message.starts_with("no such overload") => {
                    let why = format!(
                        "'{fault}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                        rule.name()
                    );
                    out.errors.invalid(path, kind, &why);
                }
                Err(fault) if fault.exhausted => {
                    let why = format!(
                        "'{fault}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                        rule.name()
                    );
                    out.errors.invalid(path, kind, &why);
                    return Err(Stop);
                }
                Err(fault) => out.errors.invalid(path, kind, &format!("{fault} evaluating rule: {}", rule.name())),
                Ok(_) => {
                    let message = match &compiled.message {
                        Some(Ok(program)) => computed(program, &scope, budget).unwrap_or_else(|| rule.message()),
                        _ => rule.message(),
                    };
                    let at = match &compiled.field_path {
                        Some(below) => path.child(below),
                        None => path.clone(),
                    };
                    let mut found = Errors::new();
                    match rule.reason.as_deref() {
                        Some("FieldValueForbidden") => found.forbidden(&at, &message),
                        Some("FieldValueRequired") => found.required(&at, &message),
                        Some("FieldValueDuplicate") => found.duplicate(&at, kind),
                        _ => found.invalid(&at, kind, &message),
                    }
                    if unchanged && !compiled.uses_old {
                        out.warnings.extend(found.aggregate());
                    } else {
                        out.errors.extend(found);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The value of a `messageExpression`, if it is a fit message.
fn computed<'a>(program: &'a Program, scope: &Variables<'a>, budget: &mut u64) -> Option<String> {
    let limit = CALL_LIMIT.min(*budget);
    let mut call = Budget::new(limit);
    let result = program.evaluate(scope, &mut call);
    *budget -= limit - call.left();
    let Ok(Val::String(text)) = result else { return None };
    let text = text.trim();
    (!text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n')).then(|| text.to_owned())
}

/// A path of fields such as `.spec.list['a.b']` in a schema: normalised, and what it leads to.
pub(crate) fn field_path<'a>(path: &str, schema: &'a Schema, brackets: bool) -> Result<(String, &'a Schema), String> {
    let mut normal = Path::root();
    let mut schema = schema;
    let mut tokens = tokens(path).into_iter();
    let follow = |name: &str, normal: &mut Path, schema: &mut &'a Schema| {
        if !schema.properties.is_empty() {
            *normal = normal.child(name);
            *schema = schema.properties.get(name).ok_or("does not refer to a valid field")?;
        } else if let Some(values) = schema.values() {
            *normal = normal.key(name);
            *schema = values;
        } else {
            return Err("does not refer to a valid field");
        }
        Ok(())
    };
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let key = tokens.next().ok_or("unexpected end of JSON path")?;
                let inner = key.strip_prefix('\'').and_then(|k| k.strip_suffix('\''));
                let inner = inner.ok_or_else(|| format!("expected single quoted string but got {key}"))?;
                follow(&inner.replace("\\'", "'").replace("\\\\", "\\"), &mut normal, &mut schema)?;
                match tokens.next().as_deref() {
                    Some("]") => {}
                    Some(other) => return Err(format!("expected ] but got {other}")),
                    None => return Err("unexpected end of JSON path".to_owned()),
                }
            }
            "." => {
                let name = tokens.next().ok_or("unexpected end of JSON path")?;
                follow(&name, &mut normal, &mut schema)?;
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    let normal = if normal == Path::root() { String::new() } else { normal.to_string() };
    Ok((normal, schema))
}

/// The delimiters `.`, `[`, `]`, quoted strings, and what lies between.
fn tokens(path: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut open = String::new();
    let mut quoted = false;
    let mut previous = ' ';
    for c in path.chars() {
        if quoted {
            open.push(c);
            if c == '\'' && previous != '\\' {
                quoted = false;
                out.push(std::mem::take(&mut open));
            }
        } else if matches!(c, '.' | '[' | ']') {
            if !open.is_empty() {
                out.push(std::mem::take(&mut open));
            }
            out.push(c.to_string());
        } else {
            quoted = c == '\'' && open.is_empty();
            open.push(c);
        }
        previous = c;
    }
    if !open.is_empty() {
        out.push(open);
    }
    out
}

//! Whether a custom object's values are what its schema says: kube-openapi's validation (`pkg/validation/validate`) in its words
//! and order, with the ratcheting of updates (`pkg/apiserver/validation/ratcheting.go`), and what structural schemas add: the
//! uniqueness of lists' items (`pkg/apiserver/schema/listtype`).

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::formats;
use super::schema::{Additional, Kind, Schema};
use crate::field::{Errors, Kind as ErrorKind, Path, quote};

/// Checks a whole object, or below `prefix` a part of one (its status). `old` is what it was before an update: what was
/// wrong already and has not changed is not held against the new one.
pub(crate) fn validate(schema: &Schema, value: &Value, old: Option<&Value>, prefix: &Path, errors: &mut Errors) {
    for finding in check_node(schema, value, old, "").findings {
        finding.report(prefix, errors);
    }
}

/// One complaint; the text decides whether two are the same.
#[derive(Clone)]
struct Finding {
    path: String,
    text: String,
    what: What,
}

#[derive(Clone)]
enum What {
    Required,
    NotSupported(Value, Vec<Value>),
    TooLong(u64),
    TooMany(usize, u64),
    Type(Value),
    Invalid(Value),
    /// One about the object as a whole, whatever its path.
    Whole,
}

impl Finding {
    fn report(self, prefix: &Path, errors: &mut Errors) {
        let name = self.path.strip_prefix('.').unwrap_or(&self.path);
        let at = if name.is_empty() { prefix.clone() } else { prefix.child(name) };
        match self.what {
            What::Required => errors.required(&at, ""),
            What::NotSupported(value, among) => {
                let among: Vec<_> = among.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
                errors.not_supported(&at, value, &among.iter().map(String::as_str).collect::<Vec<_>>());
            }
            What::TooLong(most) => errors.too_long(&at, usize::try_from(most).unwrap_or(usize::MAX)),
            What::TooMany(actual, most) => errors.too_many(&at, actual, usize::try_from(most).unwrap_or(usize::MAX)),
            What::Type(value) => errors.type_invalid(&at, value, &self.text),
            What::Invalid(value) => errors.invalid(&at, value, &self.text),
            What::Whole => errors.invalid(prefix, "", &self.text),
        }
    }
}

/// What one schema has to say about one value, and how much of it matched: `anyOf` and `oneOf` report their best branch.
#[derive(Default)]
struct Outcome {
    findings: Vec<Finding>,
    matches: usize,
}

impl Outcome {
    fn add(&mut self, path: &str, text: String, what: What) {
        if self.findings.iter().all(|f| f.text != text) {
            self.findings.push(Finding { path: path.to_owned(), text, what });
        }
    }

    fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        for finding in other.findings {
            if self.findings.iter().all(|f| f.text != finding.text) {
                self.findings.push(finding);
            }
        }
    }
}

/// A field or an item of which an older version is known: its errors do not count if it is as it was.
fn check_node(schema: &Schema, value: &Value, old: Option<&Value>, path: &str) -> Outcome {
    let mut outcome = check(schema, value, old, path);
    if !outcome.findings.is_empty() && old == Some(value) {
        outcome.findings.clear();
    }
    outcome
}

fn type_names(schema: &Schema) -> Vec<&'static str> {
    match (schema.int_or_string, schema.kind) {
        (true, _) => vec!["integer", "string"],
        (false, Kind::Unspecified) => Vec::new(),
        (false, kind) => vec![kind.name()],
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A number without a fraction.
fn is_whole(n: &Number) -> bool {
    n.as_f64().is_some_and(|f| f.fract() == 0.0)
}

fn check(schema: &Schema, value: &Value, old: Option<&Value>, path: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let known_format = !schema.format.is_empty() && formats::is_known(&schema.format);
    let types = type_names(schema);
    if value.is_null() {
        if !types.is_empty() && !schema.nullable {
            let text = format!("{path} in body must be of type {}: \"null\"", types.join(","));
            outcome.add(path, text, What::Type("null".into()));
        } else {
            outcome.matches += 1;
        }
        check_enum(schema, value, path, &mut outcome);
        return outcome;
    }
    if !types.is_empty() || known_format {
        let good = check_type(schema, &types, known_format, value, path, &mut outcome);
        outcome.matches += 1 + usize::from(good);
    }
    check_junctors(schema, value, old, path, &mut outcome);
    outcome.matches += 2;
    match value {
        Value::String(text) => {
            check_string(schema, text, path, &mut outcome);
            outcome.matches += 1;
            if known_format {
                if !formats::has(&schema.format, text) {
                    let why = format!("{path} in body must be of type {}: {}", schema.format, quote(text));
                    outcome.add(path, why, What::Type(value.clone()));
                }
                outcome.matches += 1;
            }
        }
        Value::Number(number) => {
            check_number(schema, number, path, &mut outcome);
            outcome.matches += 2;
        }
        Value::Array(items) => {
            check_items(schema, items, old, path, &mut outcome);
            outcome.matches += 2;
        }
        _ => {}
    }
    check_enum(schema, value, path, &mut outcome);
    outcome.matches += 1;
    if let Value::Object(map) = value {
        check_object(schema, map, old, path, &mut outcome);
        outcome.matches += 1;
    }
    outcome.matches += 1;
    outcome
}

fn check_type(schema: &Schema, types: &[&str], known_format: bool, value: &Value, path: &str, outcome: &mut Outcome) -> bool {
    let actual = type_of(value);
    let whole = matches!(value, Value::Number(n) if n.is_f64() && is_whole(n)) && types.contains(&"integer");
    let fits = types.contains(&actual) || whole || (actual == "integer" && types.contains(&"number"));
    let text_or_list = matches!(value, Value::String(_) | Value::Array(_));
    if known_format && !text_or_list && !fits {
        let shown = match value {
            Value::Number(n) if n.is_f64() => "float64",
            Value::Number(_) => "int64",
            _ => "",
        };
        let text = format!("{path} in body must be of type {}: {}", schema.format, quote(shown));
        outcome.add(path, text, What::Type(shown.into()));
        return false;
    }
    let numeric = types.contains(&"number") || types.contains(&"integer");
    if (known_format && text_or_list && !numeric) || fits {
        return true;
    }
    let text = format!("{path} in body must be of type {}: {}", types.join(","), quote(actual));
    outcome.add(path, text, What::Type(actual.into()));
    false
}

fn check_junctors(schema: &Schema, value: &Value, old: Option<&Value>, path: &str, outcome: &mut Outcome) {
    if !schema.any_of.is_empty() {
        let mut best: Option<Outcome> = None;
        for branch in &schema.any_of {
            let result = check(branch, value, old, path);
            if result.findings.is_empty() {
                best = Some(result);
                break;
            }
            if best.as_ref().is_none_or(|b| result.matches > b.matches) {
                best = Some(result);
            }
        }
        if best.as_ref().is_some_and(|b| !b.findings.is_empty()) {
            outcome.add(path, format!("{} must validate at least one schema (anyOf)", quote(path)), What::Whole);
        }
        if let Some(best) = best {
            outcome.merge(best);
        }
    }
    if !schema.one_of.is_empty() {
        let mut best: Option<Outcome> = None;
        let mut good = None;
        let mut valid = 0;
        for branch in &schema.one_of {
            let result = check(branch, value, old, path);
            if result.findings.is_empty() {
                valid += 1;
                best = None;
                good.get_or_insert(result);
            } else if valid == 0 && best.as_ref().is_none_or(|b| result.matches > b.matches) {
                best = Some(result);
            }
        }
        if valid == 1 {
            outcome.merge(good.unwrap_or_default());
        } else {
            let how = if valid == 0 { "Found none valid".to_owned() } else { format!("Found {valid} valid alternatives") };
            let text = format!("{} must validate one and only one schema (oneOf). {how}", quote(path));
            outcome.add(path, text, What::Whole);
            outcome.merge(best.unwrap_or_default());
        }
    }
    if !schema.all_of.is_empty() {
        let mut valid = 0;
        for branch in &schema.all_of {
            let result = check(branch, value, old, path);
            valid += usize::from(result.findings.is_empty());
            outcome.merge(result);
        }
        if valid != schema.all_of.len() {
            let how = if valid == 0 { ". None validated" } else { "" };
            outcome.add(path, format!("{} must validate all the schemas (allOf){how}", quote(path)), What::Whole);
        }
    }
    if let Some(not) = &schema.not
        && check(not, value, old, path).findings.is_empty()
    {
        outcome.add(path, format!("{} must not validate the schema (not)", quote(path)), What::Whole);
    }
}

fn check_string(schema: &Schema, text: &str, path: &str, outcome: &mut Outcome) {
    let length = text.chars().count() as u64;
    if let Some(most) = schema.max_length.filter(|most| length > *most) {
        let why = format!("{path} in body should be at most {most} chars long");
        outcome.add(path, why, What::TooLong(most));
    } else if let Some(least) = schema.min_length.filter(|least| length < *least) {
        let why = format!("{path} in body should be at least {least} chars long");
        outcome.add(path, why, What::Invalid(text.into()));
    } else if let Some(pattern) = &schema.pattern {
        let why = match &pattern.compiled {
            Ok(regex) if regex.is_match(text) => return,
            Ok(_) => format!("{path} in body should match '{}'", pattern.text),
            Err(e) => format!("{path} in body should match '{}, but pattern is invalid: {e}'", pattern.text),
        };
        outcome.add(path, why, What::Invalid(text.into()));
    }
}

/// A number as Go's `%v` prints a float.
pub(crate) fn float(number: f64) -> String {
    let exponent = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    if (-4..21).contains(&exponent) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(e) => format!("{digits}e-{e:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // As the API server does.
fn check_number(schema: &Schema, number: &Number, path: &str, outcome: &mut Outcome) {
    let value = Value::Number(number.clone());
    let float_value = number.as_f64().unwrap_or_default();
    let whole = if number.is_f64() { None } else { number.as_i64() };
    let limit = |limit: f64| if whole.is_some() { (limit as i64).to_string() } else { float(limit) };
    let usable = |factor: f64| if whole.is_some() { factor as i64 > 0 } else { factor > 0.0 };
    if let Some(factor) = schema.multiple_of.filter(|f| !usable(*f)) {
        let text = format!("factor MultipleOf declared for {path} must be positive: {}", limit(factor));
        let shown = if whole.is_some() { Value::from(factor as i64) } else { Value::from(factor) };
        outcome.add(path, text, What::Invalid(shown));
    } else if let Some(factor) = schema.multiple_of {
        let good = match whole {
            Some(n) => n % (factor as i64) == 0,
            None => {
                let times = if factor < 1.0 { 1.0 / factor * float_value } else { float_value / factor };
                (times - times.round()).abs() < 1e-9
            }
        };
        if !good {
            let text = format!("{path} in body should be a multiple of {}", limit(factor));
            outcome.add(path, text, What::Invalid(value.clone()));
        }
    }
    // Integers are compared as such: beyond 2^53 floats would not tell.
    let order = |bound: f64| match whole {
        Some(n) => Some(n.cmp(&(bound as i64))),
        None => float_value.partial_cmp(&bound),
    };
    let mut bounds = Vec::new();
    if let Some(least) = schema.minimum {
        let bad = order(least).is_some_and(|o| o.is_lt() || (schema.exclusive_minimum && o.is_eq()));
        let words = if schema.exclusive_minimum { "greater than" } else { "greater than or equal to" };
        bounds.push((bad, words, least));
    }
    if let Some(most) = schema.maximum {
        let bad = order(most).is_some_and(|o| o.is_gt() || (schema.exclusive_maximum && o.is_eq()));
        let words = if schema.exclusive_maximum { "less than" } else { "less than or equal to" };
        bounds.push((bad, words, most));
    }
    for (bad, words, bound) in bounds {
        if bad {
            outcome.add(path, format!("{path} in body should be {words} {}", limit(bound)), What::Invalid(value.clone()));
        }
    }
}

fn check_items(schema: &Schema, items: &[Value], old: Option<&Value>, path: &str, outcome: &mut Outcome) {
    if let Some(below) = &schema.items {
        for (i, item) in items.iter().enumerate() {
            outcome.merge(check_node(below, item, schema.counterpart(old, item), &format!("{path}[{i}]")));
        }
    }
    let size = items.len() as u64;
    if let Some(least) = schema.min_items.filter(|least| size < *least) {
        let text = format!("{path} in body should have at least {least} items");
        outcome.add(path, text, What::Invalid(size.into()));
    }
    if let Some(most) = schema.max_items.filter(|most| size > *most) {
        let text = format!("{path} in body should have at most {most} items");
        outcome.add(path, text, What::TooMany(items.len(), most));
    }
    if schema.unique_items && items.iter().enumerate().any(|(i, item)| items[..i].contains(item)) {
        outcome.add(path, format!("{path} in body shouldn't contain duplicates"), What::Invalid("".into()));
    }
}

fn check_enum(schema: &Schema, value: &Value, path: &str, outcome: &mut Outcome) {
    let same = |one: &Value| match (one, value) {
        // The types are brought into line before the comparison.
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (one, value) => one == value,
    };
    if !schema.enumeration.is_empty() && !schema.enumeration.iter().any(same) {
        let text = format!("{path} in body should be one of {:?}", schema.enumeration);
        outcome.add(path, text, What::NotSupported(value.clone(), schema.enumeration.clone()));
    }
}

fn check_object(schema: &Schema, map: &Map<String, Value>, old: Option<&Value>, path: &str, outcome: &mut Outcome) {
    let size = map.len() as u64;
    if let Some(least) = schema.min_properties.filter(|least| size < *least) {
        let text = format!("{path} in body should have at least {least} properties");
        outcome.add(path, text, What::Invalid(size.into()));
    }
    if let Some(most) = schema.max_properties.filter(|most| size > *most) {
        let text = format!("{path} in body should have at most {most} properties");
        outcome.add(path, text, What::TooMany(map.len(), most));
    }
    let before = |key: &str| {
        // kind and apiVersion are never excused: which version an object was stored in does not show.
        let hidden = path.is_empty() && (key == "kind" || key == "apiVersion");
        old.filter(|_| !hidden).and_then(|o| o.get(key))
    };
    for (key, value) in map {
        if schema.properties.contains_key(key) {
            continue;
        }
        match &schema.additional {
            Some(Additional::Of(below)) => {
                outcome.merge(check_node(below, value, before(key), &format!("{path}.{key}")));
            }
            Some(Additional::None) => {
                let text = format!("{path}.{key} in body is a forbidden property");
                outcome.add(path, text, What::Invalid(key.as_str().into()));
            }
            _ => {}
        }
    }
    for (key, below) in &schema.properties {
        if let Some(value) = map.get(key) {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            outcome.merge(check_node(below, value, before(key), &inner));
        }
    }
    for key in schema.required.iter().filter(|key| !map.contains_key(*key)) {
        let inner = format!("{path}.{key}");
        let text = format!("{inner} in body is required");
        outcome.add(&inner, text, What::Required);
    }
}

/// Whether lists that are sets or maps are such.
pub(crate) fn validate_lists(schema: &Schema, value: &Value, path: &Path, errors: &mut Errors) {
    match value {
        Value::Array(items) => {
            match schema.list_type.as_deref() {
                Some("set") => {
                    for i in repeated(items.iter()) {
                        errors.duplicate(&path.index(i), items[i].clone());
                    }
                }
                Some("map") => validate_map_list(schema, items, path, errors),
                _ => {}
            }
            if let Some(below) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    validate_lists(below, item, &path.index(i), errors);
                }
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    validate_lists(below, value, &path.child(key), errors);
                } else if let Some(below) = schema.values() {
                    validate_lists(below, value, &path.key(key), errors);
                }
            }
        }
        _ => {}
    }
}

fn validate_map_list(schema: &Schema, items: &[Value], path: &Path, errors: &mut Errors) {
    if let Some(i) = items.iter().position(|item| !item.is_null() && !item.is_object()) {
        errors.invalid(&path.index(i), items[i].clone(), "must be an object for an array of list-type map");
        return;
    }
    let keys: Vec<Value> = items
        .iter()
        .map(|item| {
            let found = schema.map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
            Value::Object(found.collect())
        })
        .collect();
    for i in repeated(keys.iter()) {
        errors.duplicate(&path.index(i), keys[i].clone());
    }
}

/// The index of the second occurrence of each value that occurs several times.
fn repeated<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut again = Vec::new();
    for (i, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            again.push(i);
        }
    }
    again
}

/// What stops CEL rules from being evaluated: errors that say that the object is not of the declared shape.
pub(crate) fn is_blocking(kind: ErrorKind) -> bool {
    use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

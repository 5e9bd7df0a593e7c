//! CEL's functions of texts: its own and the extension that Kubernetes enables (`cel-go/ext/strings.go`, version 2).

use std::sync::Arc;

use regex::Regex;

use super::functions::Run;
use super::value::Val;
use super::{Budget, Fault};
use crate::field::quote;

type Result<'a> = std::result::Result<Val<'a>, Fault>;

pub(super) const STRINGS: &[(&str, Run)] = &[
    (".string.contains(string)->bool", |a, b| texts(a, b, |s, t| Val::Bool(s.contains(t)))),
    (".string.startsWith(string)->bool", |a, b| texts(a, b, |s, t| Val::Bool(s.starts_with(t)))),
    (".string.endsWith(string)->bool", |a, b| texts(a, b, |s, t| Val::Bool(s.ends_with(t)))),
    (".string.matches(string)->bool", matches),
    ("matches(string, string)->bool", matches),
    (".string.charAt(int)->string", char_at),
    (".string.indexOf(string)->int", |a, b| index_of(a, b, false)),
    (".string.indexOf(string, int)->int", |a, b| index_of(a, b, false)),
    (".string.lastIndexOf(string)->int", |a, b| index_of(a, b, true)),
    (".string.lastIndexOf(string, int)->int", |a, b| index_of(a, b, true)),
    (".string.lowerAscii()->string", |a, b| text(a, b, |s| Val::text(&s.to_ascii_lowercase()))),
    (".string.upperAscii()->string", |a, b| text(a, b, |s| Val::text(&s.to_ascii_uppercase()))),
    (".string.trim()->string", |a, b| text(a, b, |s| Val::text(s.trim()))),
    (".string.replace(string, string)->string", replace),
    (".string.replace(string, string, int)->string", replace),
    (".string.split(string)->list(string)", split),
    (".string.split(string, int)->list(string)", split),
    (".string.substring(int)->string", substring),
    (".string.substring(int, int)->string", substring),
    (".list(string).join()->string", join),
    (".list(string).join(string)->string", join),
    ("strings.quote(string)->string", |a, b| text(a, b, |s| Val::text(&quote(s)))),
    (".string.format(list(dyn))->string", format),
    // Kubernetes' own.
    (".string.find(string)->string", find),
    (".string.findAll(string)->list(string)", find_all),
    (".string.findAll(string, int)->list(string)", find_all),
];

/// The text of an argument; an overload that takes one is only called with one.
pub(super) fn str_at<'v>(args: &'v [Val<'_>], i: usize) -> &'v str {
    match args.get(i) {
        Some(Val::String(text)) => text,
        _ => "",
    }
}

pub(super) fn int_at(args: &[Val<'_>], i: usize) -> Option<i64> {
    match args.get(i) {
        Some(Val::Int(n)) => Some(*n),
        _ => None,
    }
}

fn pay(args: &[Val<'_>], budget: &mut Budget) -> std::result::Result<(), Fault> {
    budget.spend(args.iter().map(Val::weight).sum())
}

fn text<'a>(args: &[Val<'a>], budget: &mut Budget, f: fn(&str) -> Val<'a>) -> Result<'a> {
    pay(args, budget)?;
    Ok(f(str_at(args, 0)))
}

fn texts<'a>(args: &[Val<'a>], budget: &mut Budget, f: fn(&str, &str) -> Val<'a>) -> Result<'a> {
    pay(args, budget)?;
    Ok(f(str_at(args, 0), str_at(args, 1)))
}

/// A compiled pattern; size and, by the engine, time are bounded.
fn pattern(args: &[Val<'_>], budget: &mut Budget) -> std::result::Result<Regex, Fault> {
    let (subject, pattern) = (str_at(args, 0), str_at(args, 1));
    let cost = (1 + subject.len() as u64 / 10) * (1 + pattern.len() as u64 / 4);
    budget.spend(cost)?;
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|e| Fault::new(crate::custom::structural::go_regex_error(pattern, &e.to_string())))
}

fn matches<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    Ok(Val::Bool(pattern(args, budget)?.is_match(str_at(args, 0))))
}

fn find<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let found = pattern(args, budget)?;
    Ok(Val::text(found.find(str_at(args, 0)).map_or("", |m| m.as_str())))
}

fn find_all<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let found = pattern(args, budget)?;
    let most = int_at(args, 2).map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let each = found.find_iter(str_at(args, 0)).take(most).map(|m| Val::text(m.as_str()));
    Ok(Val::list(each.collect()))
}

fn char_at<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    pay(args, budget)?;
    let chars: Vec<char> = str_at(args, 0).chars().collect();
    let i = int_at(args, 1).unwrap_or(0);
    match usize::try_from(i) {
        Ok(at) if at == chars.len() => Ok(Val::text("")),
        Ok(at) if at < chars.len() => Ok(Val::text(&chars[at].to_string())),
        _ => Err(Fault::new(format!("index out of range: {i}"))),
    }
}

fn index_of<'a>(args: &[Val<'a>], budget: &mut Budget, last: bool) -> Result<'a> {
    let chars: Vec<char> = str_at(args, 0).chars().collect();
    let part: Vec<char> = str_at(args, 1).chars().collect();
    budget.spend(1 + (chars.len() as u64 / 10 + 1) * (part.len() as u64 / 10 + 1))?;
    let given = int_at(args, 2);
    if part.is_empty() && given.is_none() {
        return Ok(Val::Int(if last { i64::try_from(chars.len()).unwrap_or(i64::MAX) } else { 0 }));
    }
    let from = match given {
        Some(n) => match usize::try_from(n) {
            Ok(at) if at <= chars.len() => at,
            _ => return Err(Fault::new(format!("index out of range: {n}"))),
        },
        None => {
            if last {
                chars.len()
            } else {
                0
            }
        }
    };
    if part.is_empty() {
        return Ok(Val::Int(i64::try_from(from).unwrap_or(i64::MAX)));
    }
    let at = |i: &usize| chars.get(*i..*i + part.len()) == Some(&part[..]);
    let found = if last { (0..=from).rev().find(at) } else { (from..chars.len()).find(at) };
    Ok(Val::Int(found.map_or(-1, |i| i64::try_from(i).unwrap_or(i64::MAX))))
}

fn replace<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let (subject, from, to) = (str_at(args, 0), str_at(args, 1), str_at(args, 2));
    let most = int_at(args, 3).map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let times = if from.is_empty() { subject.chars().count() + 1 } else { subject.len() / from.len() };
    budget.spend(1 + (subject.len() + times.min(most).saturating_mul(to.len())) as u64 / 10)?;
    Ok(Val::text(&subject.replacen(from, to, most)))
}

fn split<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    pay(args, budget)?;
    let (subject, by) = (str_at(args, 0), str_at(args, 1));
    let most = match int_at(args, 2) {
        Some(0) => return Ok(Val::list(Vec::new())),
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let parts: Vec<Val<'a>> = if by.is_empty() {
        let chars: Vec<char> = subject.chars().collect();
        let single = chars.len().min(most.saturating_sub(1));
        let mut parts: Vec<_> = chars[..single].iter().map(|c| Val::text(&c.to_string())).collect();
        if single < chars.len() {
            parts.push(Val::text(&chars[single..].iter().collect::<String>()));
        }
        parts
    } else {
        subject.splitn(most, by).map(Val::text).collect()
    };
    Ok(Val::list(parts))
}

fn substring<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    pay(args, budget)?;
    let chars: Vec<char> = str_at(args, 0).chars().collect();
    let length = i64::try_from(chars.len()).unwrap_or(i64::MAX);
    let start = int_at(args, 1).unwrap_or(0);
    let end = int_at(args, 2).unwrap_or(length);
    for (i, given) in [(start, true), (end, args.len() > 2)] {
        if given && !(0..=length).contains(&i) {
            return Err(Fault::new(format!("index out of range: {i}")));
        }
    }
    if start > end {
        return Err(Fault::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let at = |i: i64| usize::try_from(i).unwrap_or(0);
    Ok(Val::text(&chars[at(start)..at(end)].iter().collect::<String>()))
}

fn join<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let Some(items) = args.first().and_then(Val::items) else { return Err(Fault::no_overload()) };
    let by = str_at(args, 1);
    let mut out = String::new();
    for (i, item) in items?.iter().enumerate() {
        let Val::String(item) = item else { return Err(Fault::no_overload()) };
        budget.spend(1 + (item.len() + by.len()) as u64 / 10)?;
        if i > 0 {
            out.push_str(by);
        }
        out.push_str(item);
    }
    Ok(Val::String(Arc::from(out)))
}

/// `"%s is %d".format([x, n])`
fn format<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let Some(items) = args.get(1).and_then(Val::items) else { return Err(Fault::no_overload()) };
    let items = items?;
    let mut items = items.iter();
    let mut out = String::new();
    let mut chars = str_at(args, 0).chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(digit) = chars.peek().filter(|c| c.is_ascii_digit()) {
                digits.push(*digit);
                chars.next();
            }
            precision = digits.parse::<usize>().ok().filter(|p| *p <= 1000);
            if precision.is_none() {
                return Err(Fault::new("could not parse formatting clause: error while parsing precision"));
            }
        }
        let Some(clause) = chars.next() else {
            return Err(Fault::new("could not parse formatting clause: unexpected end of format string"));
        };
        if clause == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = items.next() else { return Err(Fault::new("index 0 out of range")) };
        budget.spend(value.weight() + precision.unwrap_or(0) as u64 / 10)?;
        out.push_str(&clause_text(clause, precision, value)?);
    }
    budget.spend(out.len() as u64 / 10)?;
    Ok(Val::String(Arc::from(out)))
}

fn clause_text(clause: char, precision: Option<usize>, value: &Val<'_>) -> std::result::Result<String, Fault> {
    #[allow(clippy::cast_precision_loss)]
    let number = match value {
        Val::Double(f) => Some(*f),
        Val::Int(n) => Some(*n as f64),
        Val::Uint(n) => Some(*n as f64),
        _ => None,
    };
    let wrong = |what: &str| {
        Fault::new(format!(
            "error during formatting: {what} clause can only be used on {}, was given {}",
            match clause {
                'd' => "integers",
                'f' | 'e' => "doubles",
                'b' => "integers and bools",
                'x' | 'X' => "integers, byte buffers, and strings",
                _ => "integers",
            },
            value.kind()
        ))
    };
    Ok(match (clause, value) {
        ('s', value) => plain(value),
        ('d', Val::Int(n)) => n.to_string(),
        ('d', Val::Uint(n)) => n.to_string(),
        ('d', _) => return Err(wrong("decimal")),
        ('f', _) => match number {
            Some(f) => format!("{f:.*}", precision.unwrap_or(6)),
            None => return Err(wrong("fixed-point")),
        },
        ('e', _) => match number {
            Some(f) => {
                let text = format!("{f:.*e}", precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                match exponent.strip_prefix('-') {
                    Some(e) => format!("{digits}e-{e:0>2}"),
                    None => format!("{digits}e+{exponent:0>2}"),
                }
            }
            None => return Err(wrong("scientific")),
        },
        ('b', Val::Int(n)) => {
            if *n < 0 {
                format!("-{:b}", n.unsigned_abs())
            } else {
                format!("{n:b}")
            }
        }
        ('b', Val::Uint(n)) => format!("{n:b}"),
        ('b', Val::Bool(b)) => u8::from(*b).to_string(),
        ('b', _) => return Err(wrong("binary")),
        ('o', Val::Int(n)) => format!("{n:o}"),
        ('o', Val::Uint(n)) => format!("{n:o}"),
        ('o', _) => return Err(wrong("octal")),
        ('x', Val::Int(n)) => format!("{n:x}"),
        ('X', Val::Int(n)) => format!("{n:X}"),
        ('x', Val::Uint(n)) => format!("{n:x}"),
        ('X', Val::Uint(n)) => format!("{n:X}"),
        ('x', Val::String(s)) => s.bytes().map(|b| format!("{b:02x}")).collect(),
        ('X', Val::String(s)) => s.bytes().map(|b| format!("{b:02X}")).collect(),
        ('x', Val::Bytes(s)) => s.iter().map(|b| format!("{b:02x}")).collect(),
        ('X', Val::Bytes(s)) => s.iter().map(|b| format!("{b:02X}")).collect(),
        ('x' | 'X', _) => return Err(wrong("hex")),
        (other, _) => {
            return Err(Fault::new(format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"")));
        }
    })
}

/// A value as `%s` prints it.
pub(super) fn plain(value: &Val<'_>) -> String {
    match value {
        Val::String(text) => text.to_string(),
        other => nested(other, 0),
    }
}

fn nested(value: &Val<'_>, depth: usize) -> String {
    if depth > 100 {
        return "...".to_owned();
    }
    match value {
        Val::Null => "null".to_owned(),
        Val::Bool(b) => b.to_string(),
        Val::Int(n) => n.to_string(),
        Val::Uint(n) => n.to_string(),
        Val::Double(f) if f.is_nan() => "NaN".to_owned(),
        Val::Double(f) if f.is_infinite() => if *f > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        Val::Double(f) => crate::custom::validate::float(*f),
        Val::String(text) => text.to_string(),
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Val::Timestamp(time) => time.to_string(),
        Val::Duration(nanos) => duration(*nanos),
        Val::List(_) | Val::Items(..) => {
            let items = value.items().and_then(std::result::Result::ok).unwrap_or_default();
            format!("[{}]", items.iter().map(|v| nested(v, depth + 1)).collect::<Vec<_>>().join(", "))
        }
        Val::Map(_) | Val::Object(_) => {
            let mut entries: Vec<_> = value
                .keys()
                .unwrap_or_default()
                .iter()
                .map(|key| {
                    let inner = value.entry(key).ok().flatten().unwrap_or(Val::Null);
                    format!("{}: {}", nested(key, depth + 1), nested(&inner, depth + 1))
                })
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        Val::Optional(_) => "optional".to_owned(),
        Val::Type(name) => (*name).to_owned(),
        Val::Url(url) => url.text.clone(),
        Val::Ip(ip) => ip.to_string(),
        Val::Cidr(ip, bits) => format!("{ip}/{bits}"),
        Val::Quantity(quantity) => quantity.to_string(),
        Val::Semver(version) => version.text(),
        Val::Format(name) => (*name).to_owned(),
    }
}

/// A duration as CEL prints it: seconds.
pub(super) fn duration(nanos: i64) -> String {
    let (seconds, rest) = (nanos / 1_000_000_000, (nanos % 1_000_000_000).abs());
    let sign = if nanos < 0 && seconds == 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

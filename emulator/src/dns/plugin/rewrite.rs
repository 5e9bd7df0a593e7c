//! `rewrite`: other names are asked for, and what is told of them is told of the names that were asked (`plugin/rewrite/name.go`).
//! Of its rules, those of names are emulated.

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record};
use regex::Regex;

use super::{Next, Outcome, Plugin};
use crate::dns::corefile::Dispenser;
use crate::dns::message::Request;
use crate::dns::names;

/// How a name is told from others.
#[derive(Debug)]
enum Match {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Substring(String),
    Regex(Regex),
}

/// What is made of names, or of the names that records lead to, in a reply.
#[derive(Debug, Clone)]
enum Revert {
    /// The name itself, and what ends in it.
    Remap {
        from: String,
        to: String,
    },
    Suffix {
        from: String,
        to: String,
    },
    Regex {
        pattern: Regex,
        to: String,
        values: bool,
    },
}

#[derive(Debug)]
struct Rule {
    goes_on: bool,
    pattern: Match,
    to: String,
    auto: bool,
    answers: Vec<Revert>,
}

pub(in crate::dns) struct Rewrite(Vec<Rule>);

impl Rewrite {
    pub(in crate::dns) fn setup(words: &mut Dispenser<'_>) -> Result<Self, String> {
        let mut rules = Vec::new();
        while words.next() {
            let mut arguments = words.arguments();
            while words.next_in_block() {
                arguments.push(words.word().to_owned());
                arguments.extend(words.arguments());
            }
            rules.push(Rule::of(&arguments)?);
        }
        Ok(Self(rules))
    }
}

impl Rule {
    fn of(arguments: &[String]) -> Result<Self, String> {
        let [first, rest @ ..] = arguments else { return Err("no rule type specified for rewrite".to_owned()) };
        let mode = first.to_lowercase();
        let (goes_on, kind, rest) = match mode.as_str() {
            "continue" | "stop" => {
                let [kind, rest @ ..] = rest else { return Err(format!("{mode} rule must begin with a rule type")) };
                (mode == "continue", kind.to_lowercase(), rest)
            }
            _ => (false, mode, rest),
        };
        match kind.as_str() {
            "name" => Self::name(goes_on, rest),
            "answer" => Err("response rewrites must begin with a name rule".to_owned()),
            "class" | "type" | "edns0" | "ttl" | "cname" | "rcode" => Err(format!("rules of type '{kind}' are not emulated")),
            _ => Err(format!("invalid rule type {first:?}")),
        }
    }

    fn name(goes_on: bool, arguments: &[String]) -> Result<Self, String> {
        let exact = "exact".to_owned();
        let (kind, from, to, answers) = match arguments {
            [] | [_] => return Err("too few arguments for a name rule".to_owned()),
            [from, to] => (&exact, from, to, &[][..]),
            [kind, from, to, answers @ ..] => (kind, from, to, answers),
        };
        let kind = kind.to_lowercase();
        let whole = |text: &str| if text.ends_with('.') { text.to_lowercase() } else { format!("{}.", text.to_lowercase()) };
        let (from_name, to_name) = (whole(from), whole(to));
        let (mut auto, mut answers) = answer_rules(&kind, answers)?;
        let pattern = match kind.as_str() {
            "exact" => {
                auto = true;
                Match::Exact(from_name)
            }
            "prefix" => Match::Prefix(from_name),
            "suffix" => {
                if std::mem::take(&mut auto) {
                    answers.insert(0, Revert::Suffix { from: to_name.clone(), to: from_name.clone() });
                }
                Match::Suffix(from_name)
            }
            "substring" => Match::Substring(from_name),
            "regex" => Match::Regex(pattern(from, to)?),
            _ => {
                return Err(format!(
                    "name rule supports only exact, prefix, suffix, substring, and regex name matching, received: {kind}"
                ));
            }
        };
        Ok(Self { goes_on, pattern, to: to_name, auto, answers })
    }

    /// What a name becomes; none: the rule is not for it.
    fn apply(&self, name: &str) -> Option<String> {
        match &self.pattern {
            Match::Exact(from) => (name == from).then(|| self.to.clone()),
            Match::Prefix(from) => name.strip_prefix(from.as_str()).map(|rest| format!("{}{rest}", self.to)),
            Match::Suffix(from) => name.strip_suffix(from.as_str()).map(|rest| format!("{rest}{}", self.to)),
            Match::Substring(from) => name.contains(from.as_str()).then(|| name.replace(from.as_str(), &self.to)),
            Match::Regex(from) => replaced(from, &self.to, name),
        }
    }

    fn reverts(&self, asked: &str, now: &str) -> Vec<Revert> {
        let back = self.auto.then(|| Revert::Remap { from: now.to_owned(), to: asked.to_owned() });
        back.into_iter().chain(self.answers.iter().cloned()).collect()
    }
}

fn pattern(from: &str, to: &str) -> Result<Regex, String> {
    let compiled = Regex::new(from).map_err(|_| format!("invalid regex matching pattern: {from}"))?;
    let used = (0..=100).filter(|group| to.contains(&format!("{{{group}}}"))).count();
    if used > compiled.captures_len() - 1 {
        return Err(format!(
            "the rewrite regex pattern ({to}) uses more subexpressions than its corresponding matching regex pattern ({from})"
        ));
    }
    Ok(compiled)
}

fn replaced(pattern: &Regex, to: &str, name: &str) -> Option<String> {
    let groups = pattern.captures(name)?;
    let mut made = to.to_owned();
    for (index, group) in groups.iter().enumerate() {
        made = made.replace(&format!("{{{index}}}"), group.map_or("", |group| group.as_str()));
    }
    Some(made)
}

/// `answer auto`, `answer name FROM TO`, `answer value FROM TO`.
fn answer_rules(rule: &str, arguments: &[String]) -> Result<(bool, Vec<Revert>), String> {
    let (mut auto, mut reverts) = (false, Vec::new());
    if arguments.len() == 1 {
        return Err(format!("invalid arguments for {rule} rule"));
    }
    let mut rest = arguments.iter().map(String::as_str).peekable();
    let mut last = "";
    while let Some(word) = rest.next() {
        let kind = match word {
            "answer" => rest.next().ok_or_else(|| format!("type missing for answer rule for {rule} rule"))?,
            _ if last.is_empty() => {
                return Err(format!("exceeded the number of arguments for a non-answer rule argument for {rule} rule"));
            }
            word => word,
        };
        last = kind;
        match kind {
            "auto" => auto = true,
            "name" | "value" => {
                let (Some(from), Some(to)) = (rest.next(), rest.next()) else {
                    return Err(format!("{kind} answer rule for {rule} rule: 2 arguments required"));
                };
                let pattern = pattern(from, to).map_err(|why| format!("{kind} answer rule for {rule} rule: {why}"))?;
                let to = if to.ends_with('.') { to.to_lowercase() } else { format!("{}.", to.to_lowercase()) };
                reverts.push(Revert::Regex { pattern, to, values: kind == "value" });
            }
            _ => return Err(format!("invalid type {kind:?} for answer rule for {rule} rule")),
        }
    }
    if auto && reverts.iter().any(|revert| matches!(revert, Revert::Regex { values: false, .. })) {
        return Err("auto name answer rule cannot be combined with explicit name anwer rules".to_owned());
    }
    Ok((auto, reverts))
}

impl Revert {
    fn name(&self, text: &str) -> Option<String> {
        match self {
            Self::Remap { from, to } => {
                let below = text.strip_suffix(from.as_str())?;
                (below.is_empty() || below.ends_with('.')).then(|| format!("{below}{to}"))
            }
            Self::Suffix { from, to } => text.strip_suffix(from.as_str()).map(|below| format!("{below}{to}")),
            Self::Regex { pattern, to, .. } => replaced(pattern, to, text),
        }
    }

    fn apply(&self, record: &mut Record) {
        let (names, values) = match self {
            Self::Regex { values, .. } => (!values, *values),
            _ => (true, true),
        };
        let change = |name: &mut Name| {
            if let Some(new) = self.name(&name.to_ascii()).and_then(|text| names::name(&text)) {
                *name = new;
            }
        };
        if names {
            change(&mut record.name);
        }
        if values && let Some(value) = value(&mut record.data) {
            change(value);
        }
    }
}

/// The name that a record leads to.
fn value(data: &mut RData) -> Option<&mut Name> {
    match data {
        RData::SRV(srv) => Some(&mut srv.target),
        RData::MX(mx) => Some(&mut mx.exchange),
        RData::CNAME(cname) => Some(&mut cname.0),
        RData::NS(ns) => Some(&mut ns.0),
        RData::PTR(ptr) => Some(&mut ptr.0),
        RData::SOA(soa) => Some(&mut soa.mname),
        RData::NAPTR(naptr) => Some(&mut naptr.replacement),
        _ => None,
    }
}

fn reverted(mut reply: Message, request: &Request, reverts: &[Revert]) -> Message {
    reply.queries = vec![request.query().clone()];
    for section in [&mut reply.authorities, &mut reply.answers, &mut reply.additionals] {
        for record in section {
            // The last change is undone first.
            reverts.iter().rev().for_each(|revert| revert.apply(record));
        }
    }
    reply
}

impl Plugin for Rewrite {
    fn name(&self) -> &'static str {
        "rewrite"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            let mut name = names::text(request.name());
            let mut reverts = Vec::new();
            let mut rewritten = false;
            for rule in &self.0 {
                let Some(new) = rule.apply(&name) else { continue };
                reverts.extend(rule.reverts(&name, &new));
                (name, rewritten) = (new, true);
                if !rule.goes_on {
                    break;
                }
            }
            if !rewritten {
                return next.serve(request).await;
            }
            let Some(new) = names::name(&name) else {
                return Outcome::broken(format!("invalid name after rewrite: {name}"));
            };
            let asked = request.asking(new, request.kind());
            match next.serve(&asked).await {
                Outcome::Told(reply) => reverted(*reply, request, &reverts).into(),
                failed => failed,
            }
        }
        .boxed()
    }
}

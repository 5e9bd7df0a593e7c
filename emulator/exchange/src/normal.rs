//! What differs from cluster to cluster and from run to run is replaced, and nothing else.
//!
//! A replacement keeps that the field is there, its type and form, and which values equal which: a uid becomes
//! `<uid of NAME>`, so that a wrong owner reference still shows. What the script itself says is never replaced.

use std::collections::HashMap;

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use jiff::{Span, Timestamp};
use regex::{Captures, Regex};
use serde_json::{Map, Value};

use super::{
    Error,
    script::{Exchange, Script},
};

/// What every node is called in a recording. It is the emulator's name for its own and a word of many other texts
/// (`/var/lib/rancher/k3s`), so it stays and the nodes of other clusters are renamed to it.
const NODE: &str = "k3s";

/// What a cluster's node is known by.
#[derive(Clone, Debug)]
pub(super) struct Node {
    name: String,
    address: String,
}

impl Node {
    /// Of a Node object.
    pub(super) fn read(node: &Value) -> Self {
        let addresses = node.pointer("/status/addresses").and_then(Value::as_array);
        let internal = addresses.into_iter().flatten().find(|address| address["type"] == "InternalIP");
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { name: text(node.pointer("/metadata/name")), address: text(internal.map(|address| &address["address"])) }
    }
}

/// What has been seen in the answers of one script.
#[derive(Clone, Debug)]
pub(super) struct Normal {
    source: String,
    node: Option<Node>,
    uids: HashMap<String, String>,
    /// How many objects of this name there have been.
    named: HashMap<String, usize>,
    /// The versions of an object, by its uid, in the order in which they were seen.
    versions: HashMap<String, Vec<String>>,
    /// Generated names and how many there are by prefix.
    generated: HashMap<String, String>,
    prefixes: HashMap<String, usize>,
    /// Names generated from one of these may be seen without the object that bears them.
    loose: Vec<String>,
    patterns: Patterns,
}

#[derive(Clone, Debug)]
struct Patterns {
    uuid: Regex,
    time: Regex,
    token: Regex,
    pem: Regex,
    age: Regex,
    version: Regex,
    address: Regex,
    hash: Regex,
    container: Regex,
    digest: Regex,
    event: Regex,
    minute: Regex,
    lookup: Regex,
    port: Regex,
}

impl Patterns {
    fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            uuid: Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")?,
            time: Regex::new(r"\b(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z")?,
            token: Regex::new(r"eyJ[\w-]+\.(eyJ[\w-]+)\.[\w-]+")?,
            pem: Regex::new("-----BEGIN ([A-Z ]+)-----[^-]+-----END [A-Z ]+-----\n?")?,
            age: Regex::new(r"^(?:(\d+) \()?(?:\d+[smhdy])+( ago\)?)?$")?,
            version: Regex::new(
                r#"(?i)(resource ?version: \d+ \(|version in object meta: |current: |in record \(|resourceVersion\\*"?: ?\\*"|too old resource version: \d+ \()(\d+)"#,
            )?,
            address: Regex::new(r"\b(10\.43|10\.42|127\.0)\.\d+\.\d+(:\d+)?\b")?,
            hash: Regex::new("(hash=|X509SHA256=)(?:[0-9A-F]{128}|[0-9a-f]{64})")?,
            container: Regex::new("(containerd://|start exec \"|to pod |namespace \")[0-9a-f]{64}")?,
            digest: Regex::new("sha256:[0-9a-f]{64}")?,
            event: Regex::new(r"(.)\.[0-9a-f]{16}$")?,
            port: Regex::new(r"\b(\d+):3\d{4}/(TCP|UDP|SCTP)\b")?,
            lookup: Regex::new(r"(dial tcp: lookup \S+?):? .*$")?,
            minute: Regex::new(r"-([23]\d{7})\b")?,
        })
    }
}

impl Normal {
    /// `node`: the cluster's node.
    pub(super) fn new(script: &Script, node: Option<Node>) -> Result<Self, Error> {
        Ok(Self {
            source: script.source.clone(),
            node,
            uids: HashMap::new(),
            named: HashMap::new(),
            versions: HashMap::new(),
            generated: HashMap::new(),
            prefixes: HashMap::new(),
            loose: [&["kube-api-access-".to_owned()], script.always.generated.as_slice()].concat(),
            patterns: Patterns::new()?,
        })
    }

    /// The answer as it is kept.
    pub(super) fn answer(&mut self, mut answer: Value, exchange: &Exchange) -> Value {
        self.learn(&answer);
        if let Some(body) = answer.get_mut("body") {
            for (parent, key) in exchange.without.iter().filter_map(|pointer| pointer.rsplit_once('/')) {
                each(body, parent, &mut |value| {
                    if let Value::Object(fields) = value {
                        fields.remove(key);
                    }
                });
            }
            for pointer in &exchange.volatile {
                each(body, pointer, &mut |value| *value = type_of(value).into());
            }
            if !exchange.only.is_empty() {
                let part = |pointer: &String| (pointer.clone(), body.pointer(pointer).cloned().unwrap_or_default());
                *body = exchange.only.iter().map(part).collect();
            }
            for pointer in &exchange.foreign {
                each(body, pointer, &mut |value| match value {
                    Value::Array(items) => items.retain(|item| !item.to_string().contains("example.com")),
                    Value::Object(fields) => fields.retain(|key, _| !key.contains("example.com")),
                    _ => {}
                });
            }
        }
        let prefix = exchange.body.as_ref().and_then(|body| body.pointer("/metadata/generateName")?.as_str());
        if let Some(prefix) = prefix.filter(|prefix| self.loose.iter().all(|known| known != prefix)) {
            self.loose.push(prefix.to_owned());
        }
        let mut answer = self.rewrite(&answer, &mut Vec::new());
        if let Some(body) = answer.get_mut("body") {
            for pointer in &exchange.unordered {
                each(body, pointer, &mut |value| {
                    if let Value::Array(items) = value {
                        items.sort_by_cached_key(Value::to_string);
                    }
                });
            }
        }
        answer
    }

    /// Whether the script says it, so that it is no accident.
    fn said(&self, text: &str) -> bool {
        self.source.contains(text)
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => {
                if let Some(Value::Object(metadata)) = fields.get("metadata") {
                    self.learn_metadata(metadata);
                }
                fields.values().for_each(|field| self.learn(field));
            }
            _ => {}
        }
    }

    fn learn_metadata(&mut self, metadata: &Map<String, Value>) {
        let read = |key: &str| metadata.get(key).and_then(Value::as_str);
        let name = read("name").unwrap_or_default();
        if let Some(prefix) = read("generateName")
            && let Some(suffix) = name.strip_prefix(prefix)
            && generated(suffix) == suffix.len()
            && !suffix.is_empty()
            && !self.generated.contains_key(name)
        {
            let count = self.prefixes.entry(prefix.to_owned()).or_default();
            *count += 1;
            self.generated.insert(name.to_owned(), format!("{prefix}<5 {count}>"));
        }
        let Some(uid) = read("uid") else { return };
        if !self.uids.contains_key(uid) && !self.said(uid) {
            let name = self.generated.get(name).map_or(name, String::as_str);
            // A volume's name has the uid of its claim in it.
            let known = |found: &Captures<'_>| self.uids.get(&found[0]).cloned().unwrap_or_else(|| found[0].to_owned());
            let name = self.patterns.uuid.replace_all(name, known).into_owned();
            let event = self.patterns.event.replace(&name, "$1.<16>").into_owned();
            let count = self.named.entry(name.clone()).or_default();
            *count += 1;
            // Which event of an object is which, its name does not say.
            let placeholder =
                if *count == 1 || event != name { format!("<uid of {event}>") } else { format!("<uid of {name} #{count}>") };
            self.uids.insert(uid.to_owned(), placeholder);
        }
        if let Some(version) = read("resourceVersion") {
            let versions = self.versions.entry(uid.to_owned()).or_default();
            if !versions.iter().any(|known| known == version) {
                versions.push(version.to_owned());
            }
        }
    }

    fn rewrite(&self, value: &Value, uuids: &mut Vec<String>) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.rewrite(item, uuids)).collect(),
            Value::Object(fields) => {
                let uid = fields.get("uid").and_then(Value::as_str);
                let field = |(key, value): (&String, &Value)| {
                    let rewritten = match (key.as_str(), value) {
                        ("resourceVersion", Value::String(version)) => self.version(version, uid).into(),
                        ("continue", Value::String(token)) if !token.is_empty() => self.continuation(token).into(),
                        ("nodePort" | "healthCheckNodePort", Value::Number(port))
                            if port.as_u64().is_some_and(|port| port >= 30000) && !self.said(&port.to_string()) =>
                        {
                            "<node port>".into()
                        }
                        // They are in the order of their times, of which only the second is told, and so are as volatile as these.
                        ("managedFields", Value::Array(entries)) => {
                            let mut entries: Vec<_> = entries.iter().map(|entry| self.rewrite(entry, uuids)).collect();
                            entries.sort_by_cached_key(Value::to_string);
                            entries.into()
                        }
                        ("cells", Value::Array(cells)) => cells.iter().map(|cell| self.cell(cell, uuids)).collect(),
                        _ => self.rewrite(value, uuids),
                    };
                    (self.string(key, &mut Vec::new()), rewritten)
                };
                Value::Object(fields.iter().map(field).collect())
            }
            Value::String(text) => self.string(text, uuids).into(),
            _ => value.clone(),
        }
    }

    fn cell(&self, cell: &Value, uuids: &mut Vec<String>) -> Value {
        match cell {
            Value::String(text) => match self.patterns.age.captures(text) {
                // So often has a pod been restarted.
                Some(age) if age.get(1).is_some() => format!("{} (<age> ago)", &age[1]).into(),
                Some(_) => "<age>".into(),
                None => self.rewrite(cell, uuids),
            },
            _ => self.rewrite(cell, uuids),
        }
    }

    fn version(&self, version: &str, uid: Option<&str>) -> String {
        let known = uid.and_then(|uid| self.versions.get(uid)?.iter().position(|known| known == version));
        match known {
            Some(index) => format!("<version {}>", index + 1),
            None if version.parse().is_ok_and(|version: u64| version > 0) => "<version>".to_owned(),
            None => version.to_owned(),
        }
    }

    /// A continue token, as far as its form is the one of apiserver's `storage/continue.go`.
    fn continuation(&self, token: &str) -> String {
        let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let decoded = GeneralPurpose::new(&base64::alphabet::URL_SAFE, lenient).decode(token).ok();
        match decoded.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
            Some(mut inside) => {
                if let Some(version) = inside.get_mut("rv") {
                    *version = type_of(version).into();
                }
                format!("<continue {}>", self.string(&inside.to_string(), &mut Vec::new()))
            }
            None => "<continue>".to_owned(),
        }
    }

    /// `uuids`: those in this answer that are no object's, as far as is known.
    fn string(&self, text: &str, uuids: &mut Vec<String>) -> String {
        let patterns = &self.patterns;
        let mut text = text.to_owned();
        if let Some(node) = &self.node {
            if node.name != NODE && !node.name.is_empty() {
                text = text.replace(&node.name, NODE);
            }
            if !node.address.is_empty() {
                text = text.replace(&node.address, "<node ip>");
            }
        }
        for (name, placeholder) in &self.generated {
            if text.contains(name.as_str()) && !self.said(name) {
                text = text.replace(name, placeholder);
            }
        }
        for prefix in &self.loose {
            text = loosen(&text, prefix);
        }
        let mut replace = |pattern: &Regex, by: &mut dyn FnMut(&Captures<'_>) -> String| {
            let replaced = pattern.replace_all(
                &text,
                |found: &Captures<'_>| {
                    if self.said(&found[0]) { found[0].to_owned() } else { by(found) }
                },
            );
            let replaced = replaced.into_owned();
            text = replaced;
        };
        replace(&patterns.token, &mut |found| token(&found[1]));
        replace(&patterns.pem, &mut |found| format!("<{}>", found[1].to_lowercase()));
        replace(&patterns.uuid, &mut |found| {
            self.uids.get(&found[0]).cloned().unwrap_or_else(|| {
                let known = uuids.iter().position(|uuid| *uuid == found[0]);
                let index = known.unwrap_or_else(|| {
                    uuids.push(found[0].to_owned());
                    uuids.len() - 1
                });
                format!("<uuid {}>", index + 1)
            })
        });
        replace(&patterns.time, &mut |found| time(&found[1], found.get(2).map_or(0, |fraction| fraction.len() - 1)));
        replace(&patterns.version, &mut |found| format!("{}<version>", &found[1]));
        replace(&patterns.address, &mut |found| {
            let port = if found.get(2).is_some() { ":<port>" } else { "" };
            match &found[1] {
                "10.43" => format!("<service ip>{port}"),
                "10.42" => format!("<pod ip>{port}"),
                _ => format!("<loopback>{port}"),
            }
        });
        replace(&patterns.hash, &mut |found| format!("{}<hash>", &found[1]));
        replace(&patterns.container, &mut |found| format!("{}<64>", &found[1]));
        replace(&patterns.digest, &mut |_| "sha256:<64>".to_owned());
        replace(&patterns.event, &mut |found| format!("{}.<16>", &found[1]));
        replace(&patterns.port, &mut |found| format!("{}:<node port>/{}", &found[1], &found[2]));
        // Why a name has no address, the machine's resolver says.
        replace(&patterns.lookup, &mut |found| format!("{} <why>", &found[1]));
        replace(&patterns.minute, &mut |found| if is_now(&found[1]) { "-<minute>".to_owned() } else { found[0].to_owned() });
        text
    }
}

/// Whether it is the number of a minute of these days, as a CronJob names its Jobs.
fn is_now(minute: &str) -> bool {
    let now = Timestamp::now().as_second() / 60;
    minute.parse().is_ok_and(|minute: i64| (minute - now).abs() < 60 * 24)
}

/// How many bytes of `text` are a suffix as the server generates them: 5 or none.
fn generated(text: &str) -> usize {
    let count = text.bytes().take_while(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(byte)).count();
    if count == 5 { 5 } else { 0 }
}

/// `text` with `<5>` for what was generated after `prefix`.
fn loosen(text: &str, prefix: &str) -> String {
    let mut parts = text.split(prefix);
    let mut loosened = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let begins = !loosened.ends_with(|before: char| before.is_ascii_alphanumeric() || "-.".contains(before));
        loosened.push_str(prefix);
        let length = if begins { generated(part) } else { 0 };
        if length > 0 {
            loosened.push_str("<5>");
        }
        loosened.push_str(&part[length..]);
    }
    loosened
}

/// A time is as good as another unless it is ahead, as expiries are: then by how many minutes.
fn time(seconds: &str, digits: usize) -> String {
    let precision = if digits == 0 { String::new() } else { format!(" .{digits}") };
    let ahead = format!("{seconds}Z").parse::<Timestamp>().map(|time| time.as_second() - Timestamp::now().as_second());
    match ahead {
        Ok(ahead) if ahead > 90 => {
            let minutes = (ahead + 30) / 60;
            format!(
                "<time in {}{precision}>",
                Span::new().try_minutes(minutes).map_or_else(|_| "ages".into(), |span| format!("{span:#}"))
            )
        }
        _ => format!("<time{precision}>"),
    }
}

/// Of a JSON web token what it claims, and of this only the names.
fn token(claims: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(claims).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let mut names = Vec::new();
    fn collect(value: &Value, path: &str, names: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| collect(value, &format!("{path}.{key}"), names)),
            _ => names.push(path.trim_start_matches('.').to_owned()),
        }
    }
    collect(&claims.unwrap_or_default(), "", &mut names);
    format!("<token of {}>", names.join(" "))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<null>",
        Value::Bool(_) => "<bool>",
        Value::Number(_) => "<number>",
        Value::String(_) => "<string>",
        Value::Array(_) => "<array>",
        Value::Object(_) => "<object>",
    }
}

/// Does something to every value at `pointer`, in which `*` stands for any key or index.
fn each(value: &mut Value, pointer: &str, act: &mut dyn FnMut(&mut Value)) {
    let Some(rest) = pointer.strip_prefix('/') else { return act(value) };
    let (key, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match (key, value) {
        ("*", Value::Array(items)) => items.iter_mut().for_each(|item| each(item, rest, act)),
        ("*", Value::Object(fields)) => fields.values_mut().for_each(|field| each(field, rest, act)),
        (_, Value::Array(items)) => {
            if let Some(item) = key.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                each(item, rest, act);
            }
        }
        (_, Value::Object(fields)) => {
            if let Some(field) = fields.get_mut(&key.replace("~1", "/").replace("~0", "~")) {
                each(field, rest, act);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn script(source: &str) -> Script {
        let mut script: Script = serde_json::from_value(json!({"exchanges": [], "always": {"generated": ["told-"]}})).unwrap();
        script.source = source.to_owned();
        script
    }

    fn normal(answers: &[Value]) -> Vec<Value> {
        let exchange: Exchange = serde_json::from_value(json!({"do": "GET /"})).unwrap();
        let mut normal = Normal::new(&script("11111111-2222-3333-4444-555555555555"), None).unwrap();
        answers.iter().map(|answer| normal.answer(answer.clone(), &exchange)).collect()
    }

    #[test]
    fn equal_uids_stay_equal_and_different_ones_different() {
        let a = "0a0a0a0a-0000-4000-8000-000000000001";
        let b = "0a0a0a0a-0000-4000-8000-000000000002";
        let object = |uid: &str, version: &str| json!({"metadata": {"name": "x", "uid": uid, "resourceVersion": version}});
        let got = normal(&[object(a, "7"), object(a, "9"), object(b, "7"), json!({"message": format!("{a} {b}")})]);
        assert_eq!(got[0], json!({"metadata": {"name": "x", "uid": "<uid of x>", "resourceVersion": "<version 1>"}}));
        assert_eq!(got[1]["metadata"]["resourceVersion"], "<version 2>");
        assert_eq!(got[2]["metadata"]["uid"], "<uid of x #2>");
        assert_eq!(got[3]["message"], "<uid of x> <uid of x #2>");
    }

    #[test]
    fn what_is_missing_null_or_of_another_type_stays_so() {
        let answer = json!({"metadata": {"uid": null, "resourceVersion": 7, "creationTimestamp": null}, "time": ""});
        assert_eq!(normal(std::slice::from_ref(&answer))[0], answer);
    }

    #[test]
    fn what_the_script_says_stays() {
        let answer = json!({"uid": "11111111-2222-3333-4444-555555555555", "resourceVersion": "0"});
        assert_eq!(normal(std::slice::from_ref(&answer))[0], answer);
    }

    #[test]
    fn generated_names_are_replaced_where_the_script_knows_of_them() {
        let got = normal(&[json!({"message": "Created pod: told-x7k2p", "note": "untold-x7k2p told-apart"})]);
        assert_eq!(got[0], json!({"message": "Created pod: told-<5>", "note": "untold-x7k2p told-apart"}));
    }

    #[test]
    fn uids_are_known_though_only_a_part_is_kept() {
        let exchange: Exchange = serde_json::from_value(json!({"do": "GET /", "only": ["/status"]})).unwrap();
        let mut normal = Normal::new(&script(""), None).unwrap();
        let uid = "0a0a0a0a-0000-4000-8000-000000000001";
        let body = json!({"metadata": {"name": "p", "uid": uid}, "status": {"message": format!("pod p({uid})")}});
        let got = normal.answer(json!({"status": 200, "body": body}), &exchange);
        assert_eq!(got["body"], json!({"/status": {"message": "pod p(<uid of p>)"}}));
    }

    #[test]
    fn a_uid_in_a_name_is_known_in_the_uid_of_what_is_called_so() {
        let (claim, volume) = ("0a0a0a0a-0000-4000-8000-000000000001", "0a0a0a0a-0000-4000-8000-000000000002");
        let got = normal(&[
            json!({"metadata": {"name": "c", "uid": claim}}),
            json!({"metadata": {"name": format!("pvc-{claim}"), "uid": volume}}),
        ]);
        assert_eq!(got[1], json!({"metadata": {"name": "pvc-<uid of c>", "uid": "<uid of pvc-<uid of c>>"}}));
    }

    #[test]
    fn what_is_only_sometimes_there_is_left_out() {
        let exchange = json!({"do": "GET /", "without": ["/items/*/metadata/annotations", "/none/at/all"]});
        let exchange: Exchange = serde_json::from_value(exchange).unwrap();
        let body = json!({"items": [{"metadata": {"name": "a", "annotations": {"b": "c"}}}, {"metadata": {"name": "d"}}]});
        let got = Normal::new(&script(""), None).unwrap().answer(json!({"body": body}), &exchange);
        assert_eq!(got, json!({"body": {"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "d"}}]}}));
    }

    #[test]
    fn events_of_an_object_are_alike_by_name() {
        let event = |hash: &str, uid: &str| json!({"metadata": {"name": format!("p.{hash}"), "uid": uid}});
        let got = normal(&[
            event("18a0000000000001", "0a0a0a0a-0000-4000-8000-000000000001"),
            event("18a0000000000002", "0a0a0a0a-0000-4000-8000-000000000002"),
        ]);
        assert_eq!(got[0], json!({"metadata": {"name": "p.<16>", "uid": "<uid of p.<16>>"}}));
        assert_eq!(got[0], got[1]);
    }

    #[test]
    fn any_node_has_the_emulators_name() {
        let node = Node::read(&json!({
            "metadata": {"name": "0123abcd"},
            "status": {"addresses": [
                {"type": "Hostname", "address": "0123abcd"},
                {"type": "InternalIP", "address": "172.17.0.2"},
            ]},
        }));
        let exchange: Exchange = serde_json::from_value(json!({"do": "GET /"})).unwrap();
        let mut normal = Normal::new(&script(""), Some(node)).unwrap();
        let got = normal.answer(json!({"nodeName": "0123abcd", "hostIP": "172.17.0.2", "manager": "k3s"}), &exchange);
        assert_eq!(got, json!({"nodeName": "k3s", "hostIP": "<node ip>", "manager": "k3s"}));
    }

    #[test]
    fn what_a_runtime_and_the_clock_number_is_replaced() {
        let minute = Timestamp::now().as_second() / 60;
        let hex = "0123456789abcdef";
        let answer = json!({
            "containerID": format!("containerd://{}", hex.repeat(4)),
            "imageID": format!("docker.io/x@sha256:{}", hex.repeat(4)),
            "exec": format!("failed to start exec \"{}\": no", hex.repeat(4)),
            "event": format!("p.{hex}"),
            "message": "Head \"https://r.invalid/v2/\": dial tcp: lookup r.invalid: Try again",
            "job": format!("c-{minute}"),
            "cells": ["p", "3 (5m2s ago)", "12d", "3", "80:31234/TCP,443:443/TCP"],
        });
        assert_eq!(
            normal(std::slice::from_ref(&answer))[0],
            json!({
                "containerID": "containerd://<64>",
                "imageID": "docker.io/x@sha256:<64>",
                "exec": "failed to start exec \"<64>\": no",
                "event": "p.<16>",
                "message": "Head \"https://r.invalid/v2/\": dial tcp: lookup r.invalid <why>",
                "job": "c-<minute>",
                "cells": ["p", "3 (<age> ago)", "<age>", "3", "80:<node port>/TCP,443:443/TCP"],
            })
        );
    }

    #[test]
    fn generated_names_are_known_again() {
        let got = normal(&[
            json!({"metadata": {"generateName": "web-", "name": "web-x7k2p", "uid": "u"}}),
            json!({"message": "web-x7k2p not found"}),
            json!({"metadata": {"generateName": "web-", "name": "web-longer"}}),
        ]);
        assert_eq!(got[1]["message"], "web-<5 1> not found");
        assert_eq!(got[2]["metadata"]["name"], "web-longer");
    }
}

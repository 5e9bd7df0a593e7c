//! The parsers of untrusted input, each behind a function that takes any bytes: what it makes of them does not matter, only
//! that it comes to an end without a panic. `fuzz/` runs them for as long as one likes, the tests below for a moment.

use std::collections::BTreeMap;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::access::tokens;
use crate::api::negotiate::{self, Offer, negotiate};
use crate::api::options::ListOptions;
use crate::api::request::{Query, Route, percent_decoded};
use crate::custom::cel::types::Type;
use crate::custom::cel::value::{Val, wrap};
use crate::custom::cel::{Budget, CALL_LIMIT, Fault, Program, Scope};
use crate::custom::jsonpath::JsonPath;
use crate::custom::{CustomVersion, definition};
use crate::field::Errors;
use crate::kinds::quantity::Quantity;
use crate::kinds::{self, meta};
use crate::merge::apply::{Configuration, Manager, check_entries};
use crate::merge::{self, Patch, Strictness};
use crate::schema::table::builtin;
use crate::schema::{codec, duration, json, time, yaml};
use crate::selector::{fields, labels};
use crate::verbs::list::read_continue;

/// The kinds that bodies are read as: the one with the most rules, one of each odd shape, and one that has a schema inside.
const KINDS: [(&str, &str, &str, &str); 7] = [
    ("", "v1", "Pod", "pods"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "Service", "services"),
    ("apps", "v1", "Deployment", "deployments"),
    ("batch", "v1", "CronJob", "cronjobs"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"),
];

/// Decodes a document as several kinds, with all that is done to a new object of each.
fn decode(document: &json::Node) {
    for (group, version, kind, resource) in KINDS {
        let Some(ty) = builtin().type_of(group, version, kind) else { continue };
        let Ok(decoded) = codec::decode_document(ty, document) else { continue };
        write(group, resource, decoded.value);
    }
}

fn write(group: &str, resource: &str, mut object: Value) {
    let rules = kinds::rules(group, resource);
    (rules.default)(&mut object);
    (rules.prepare_create)(&mut object);
    let mut errors = Errors::new();
    (rules.validate)(&object, &mut errors);
    (rules.validate_update)(&object, &object, &mut errors);
    let _ = (rules.warnings)(&object, None);
    let _ = (rules.fields)(&object);
    drop(errors.aggregate());
}

/// JSON bodies: the reader, then the decoders of kinds.
pub fn json(data: &[u8]) {
    let _ = json::parse_value(data);
    if let Ok(node) = json::parse(data) {
        decode(&node);
    }
}

/// YAML bodies.
pub fn yaml(data: &[u8]) {
    if let Ok((node, _)) = yaml::parse(data) {
        decode(&node);
    }
}

/// Protobuf bodies; what is read can be written and read again.
pub fn protobuf(data: &[u8]) {
    for (group, version, kind, _) in KINDS {
        let api_version = crate::registry::api_version(group, version);
        if let Ok(object) = crate::proto::decode(data, (&api_version, kind)) {
            let _ = crate::proto::encode(&object);
        }
    }
}

fn live() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 80}]}], "tolerations": [{"key": "a"}]},
    })
}

/// JSON, merge and strategic merge patches.
pub fn patches(data: &[u8]) {
    let ty = builtin().type_of("", "v1", "Pod");
    for kind in [Patch::Json, Patch::Merge, Patch::Strategic] {
        for ty in [ty, None] {
            let _ = merge::patch(kind, ty, &live(), data, Strictness::Warn);
        }
    }
}

/// Apply configurations, and managed fields as objects carry them.
pub fn apply(data: &[u8]) {
    let Ok(applied) = Configuration::read(data) else { return };
    let _ = applied.check(Strictness::Warn);
    let _ = check_entries(&applied.value);
    let empty = json!({});
    let manager = Manager {
        ty: builtin().type_of("", "v1", "Pod"),
        metadata: None,
        api_version: "v1",
        kind: "Pod",
        subresource: "",
        empty: &empty,
        reset: &["status"],
        versions: None,
    };
    for ty in [manager.ty, None] {
        let manager = Manager { ty, ..manager };
        let _ = manager.apply(&live(), &applied.value, "fuzz", false, "2025-01-01T00:00:00Z");
        let _ = manager.update(&live(), applied.value.clone(), "fuzz", "2025-01-01T00:00:00Z");
        let _ = manager.apply(&applied.value, &live(), "fuzz", true, "2025-01-01T00:00:00Z");
    }
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Label and field selectors.
pub fn selectors(data: &[u8]) {
    let text = text(data);
    if let Ok(selector) = labels::Selector::parse(&text) {
        let _ = selector.matches(&json!({"a": "1"}));
        let _ = selector.to_string();
    }
    if let Ok(selector) = fields::Selector::parse(&text).and_then(|selector| selector.for_kind("v1", "Pod")) {
        let _ = selector.matches(|_| None);
    }
}

/// Paths and queries.
pub fn addresses(data: &[u8]) {
    let text = text(data);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    if let Some(path) = percent_decoded(path) {
        let route = Route::of(&path);
        let _ = crate::api::request::action(&http::Method::GET, &route, &Query::of(Some(query)));
    }
    for watch in [true, false] {
        let _ = ListOptions::of(&Query::of(Some(query)), watch);
    }
}

/// `Accept` headers.
pub fn accept(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for value in data.split(|byte| *byte == b'\n').filter_map(|value| HeaderValue::from_bytes(value).ok()) {
        headers.append(ACCEPT, value);
    }
    for offer in [Offer::BuiltIn { watchable: true, tables: true }, Offer::Custom, Offer::Document] {
        let _ = negotiate(&headers, offer, false);
        let _ = negotiate(&headers, offer, true);
    }
    let _ = (negotiate::of_errors(&headers), negotiate::wants_aggregated(&headers));
}

/// Continue tokens.
pub fn continue_tokens(data: &[u8]) {
    use base64::Engine as _;
    let _ = read_continue(&text(data), "");
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(data);
    let _ = read_continue(&encoded, "default");
}

/// Quantities, and sums of them.
pub fn quantities(data: &[u8]) {
    let text = text(data);
    let Ok(mut quantity) = Quantity::parse(&text) else { return };
    let other = quantity.clone();
    quantity.add(&other);
    quantity.sub(&Quantity::integer(i64::MIN));
    let _ = (quantity.value(), quantity.milli_value(), quantity.is_integer(), quantity.is_negative());
    quantity.round_up_to_milli();
    let _ = quantity.to_string();
}

/// Times and durations.
pub fn times(data: &[u8]) {
    let text = text(data);
    let _ = (time::seconds(&text), time::micros(&text));
    let _ = (duration::canonical(&text), duration::nanoseconds(&text));
}

/// JSONPath of printer columns, found in an object.
pub fn json_paths(data: &[u8]) {
    if let Ok(path) = JsonPath::parse(&text(data)) {
        let _ = path.find(&live());
    }
}

struct Own<'a>(&'a Value);

impl<'a> Scope<'a> for Own<'a> {
    fn get(&self, name: &str, _: &mut Budget) -> Option<Result<Val<'a>, Fault>> {
        (name == "self").then(|| wrap(self.0, None, false))
    }
}

/// CEL rules, evaluated too.
pub fn cel(data: &[u8]) {
    let variables = BTreeMap::from([("self".to_owned(), Type::Dyn)]);
    if let Ok(program) = Program::compile(&text(data), &variables) {
        let _ = program.evaluate(&Own(&live()), &mut Budget::new(CALL_LIMIT));
    }
}

/// Schemas of custom resources: validated within a definition, and used although they may be invalid. The document is a schema,
/// and an object of it too.
pub fn schemas(data: &[u8]) {
    let Ok((given, _)) = json::parse_value(data) else { return };
    let schema = given.get("schema").unwrap_or(&given);
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "as.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    if let Some(ty) = builtin().type_of("apiextensions.k8s.io", "v1", "CustomResourceDefinition") {
        let Ok(decoded) = codec::decode(ty, definition) else { return };
        definition = decoded.value;
    }
    let rules = &definition::RULES;
    (rules.default)(&mut definition);
    (rules.prepare_create)(&mut definition);
    let mut errors = Errors::new();
    (rules.validate)(&definition, &mut errors);
    if errors.aggregate().is_some() {
        return;
    }
    for version in CustomVersion::all(&definition) {
        let object = version.shape(given.get("object").cloned().unwrap_or_else(|| given.clone()));
        let mut object = object.object;
        if !object.is_object() {
            continue;
        }
        version.default(&mut object);
        drop(version.validate(&object, Errors::new()).aggregate());
        drop(version.validate_update(&object, &object, Errors::new()).aggregate());
    }
}

/// Bearer tokens.
pub fn tokens(data: &[u8]) {
    use std::sync::OnceLock;
    static KEY: OnceLock<Option<rcgen::KeyPair>> = OnceLock::new();
    if let Some(key) = KEY.get_or_init(|| rcgen::KeyPair::generate().ok()) {
        let _ = tokens::verify(key, &text(data), &["k3s"], 0);
    }
}

/// Image names, as pods carry them.
pub fn images(data: &[u8]) {
    let mut pod = live();
    pod["spec"]["containers"][0]["image"] = text(data).into();
    write("", "pods", pod);
}

/// Schedules and time zones of cron jobs.
pub fn schedules(data: &[u8]) {
    let text = text(data);
    let (schedule, zone) = text.split_once('\n').unwrap_or((&text, "UTC"));
    let template = json!({"spec": {"template": {"spec": live()["spec"]}}});
    write("batch", "cronjobs", json!({"spec": {"schedule": schedule, "timeZone": zone, "jobTemplate": template}}));
}

/// Names of objects and of what they carry.
pub fn names(data: &[u8]) {
    let text = text(data);
    let object = json!({
        "metadata": {"name": text, "namespace": text, "generateName": text, "labels": {&text: text}, "annotations": {&text: text},
                     "finalizers": [text], "ownerReferences": [{"apiVersion": text, "kind": text, "name": text, "uid": text}]},
    });
    let mut errors = Errors::new();
    meta::validate_update(&object, &object, &mut errors);
    drop(errors.aggregate());
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    type Target = fn(&[u8]);

    const TARGETS: [(&str, Target); 18] = [
        ("json", json),
        ("yaml", yaml),
        ("protobuf", protobuf),
        ("patches", patches),
        ("apply", apply),
        ("selectors", selectors),
        ("addresses", addresses),
        ("accept", accept),
        ("continue_tokens", continue_tokens),
        ("quantities", quantities),
        ("times", times),
        ("json_paths", json_paths),
        ("cel", cel),
        ("schemas", schemas),
        ("tokens", tokens),
        ("images", images),
        ("schedules", schedules),
        ("names", names),
    ];

    /// What no parser should take long over, in a debug build on a busy machine.
    const BOUND: Duration = Duration::from_secs(20);

    fn run(what: &str, data: &[u8], target: Target) {
        let start = Instant::now();
        target(data);
        let took = start.elapsed();
        assert!(took < BOUND, "{what}: {took:?} for {} bytes: {:?}", data.len(), &data[..data.len().min(60)]);
    }

    /// Documents that clients sent to a real server.
    fn documents() -> Vec<Vec<u8>> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
        let mut documents = Vec::new();
        for file in ["crud", "patches", "custom", "policy"] {
            let text = std::fs::read_to_string(folder.join(file).with_extension("yaml")).unwrap();
            let script: Value = serde_saphyr::from_str(&text).unwrap();
            collect(&script, &mut documents);
        }
        documents.extend([live().to_string().into_bytes(), br#"{"schema":{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-validations":[{"rule":"self.a.all(x, x > 1)"}],"properties":{"a":{"type":"array","maxItems":9,"items":{"type":"integer","default":3,"minimum":1}}}}}},"object":{"spec":{"a":[1,2]}}}"#.to_vec()]);
        documents
    }

    fn collect(value: &Value, into: &mut Vec<Vec<u8>>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("body", Value::String(text)) => into.push(text.clone().into_bytes()),
                        ("body", other) => into.push(other.to_string().into_bytes()),
                        (_, other) => collect(other, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }

    /// What has hurt parsers before.
    fn nasty() -> Vec<Vec<u8>> {
        let many = |text: &str, times: usize| text.repeat(times).into_bytes();
        let nested = |open: &str, close: &str, times: usize| [many(open, times), b"1".to_vec(), many(close, times)].concat();
        let mut all: Vec<Vec<u8>> = [
            "",
            "null",
            "{}",
            "[]",
            "\0",
            "\u{feff}{}",
            "{\"a\":1e400}",
            "1e999999999",
            "-9223372036854775808",
            "9999999999999999999Ei",
            ".",
            "1.",
            "--1",
            "1e-2147483648n",
            "1e-2147483648",
            "1e2147483647",
            "0.000000001e-2147483648",
            "0.0000000000000000001",
            "-2562047h47m16.854775808s",
            "1h1",
            "9999-12-31T23:59:59.999999999Z",
            "0000-00-00T00:00:00Z",
            "2025-02-30T00:00:00+99:99",
            "a in (",
            "a in (b,,),!c,d!=",
            "!",
            "a\\",
            "%",
            "%%%",
            "/%ff%00/..//%2e",
            "?a=%zz&&=&",
            "/api/v1/namespaces/",
            "a/b;q=nan,*/*;q=inf,;;;=,",
            "a.b.c",
            "..",
            "{.a[*].b}",
            "{..a}",
            "{.a[-1:9:0]}",
            "{range .a[*]}{end}",
            "{.a[?(@.b==\"c\")]}",
            "{",
            "{.spec.containers[0:99999999999999999999]}",
            "* * * * *",
            "*/0 * * * *",
            "60 * * * *",
            "@every 99999999999h",
            "TZ=../../etc/passwd 0 0 * * *",
            "1-99999999999 * * * *",
            "a:b@sha256:",
            "@",
            ":",
            "a//b",
            "[::1]:5000/a:b",
            "é:é@é",
            "self",
            "[1,2].map(x, [1,2].map(y, x*y))",
            "'a'.matches('(a+)+$')",
            "-9223372036854775808 / -1",
            "9223372036854775807 + 1",
            "duration('99999999999999h')",
            "timestamp('9999-12-31T23:59:59Z') + duration('24h')",
            "'a'.substring(-1)",
            "'é'.substring(1)",
            "'%s%d%.99999999f'.format([1,2,3.0])",
            "'%.2147483647f'.format([1.0])",
            "self.metadata.labels.a.split('').join('é')",
            "[1].indexOf(1) % 0",
            "quantity('1e-9999999999').add(1)",
            "1 % 0",
            "b'\\xff'",
            "'\\ud800'",
            "&a [*a]",
            "a: &a\n  b: *a\n",
            "? ? ? ?",
            "<<: 1",
            "<<: [{a: 1}, {b: 2}]",
            "!!binary \"?\"",
            "!<tag:yaml.org,2002:int> x",
            "--- >\n  a\n...",
            "%YAML 9.9\n---\n",
            "a: 'b\n",
            "\t- a",
            "*",
            "&",
            "{a: b: c}",
            "0x_",
            "-0b",
            "1__0.5",
            ".e1",
            "k8s\0",
            "k8s\0\n\x02\n\0",
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
        for depth in [90, 130, 240, 249, 251, 100_000] {
            all.push(nested("[", "]", depth));
            all.push(nested("{\"a\":", "}", depth));
            all.push(nested("{\"spec\":", "}", depth));
            all.push(nested("{\"properties\":{\"a\":", "}}", depth / 2));
            all.push(nested("{\"type\":\"object\",\"properties\":{\"a\":", "}}", depth / 2));
            all.push([b"{\"metadata\":{\"managedFields\":[{\"manager\":\"a\",\"operation\":\"Update\",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":".to_vec(), nested("{\"f:a\":", "}", depth).iter().map(|b| if *b == b'1' { b'2' } else { *b }).collect(), b"}]}}".to_vec()].concat());
            all.push(many("[", depth));
            all.push(many("- ", depth));
            all.push(many("? ", depth));
            all.push(many("&a ", depth));
            all.push(nested("(", ")", depth));
            all.push(nested("!", "", depth));
            all.push(nested("-", "", depth));
            all.push(nested("1+", "", depth));
            all.push(nested("self.", "a", depth));
            all.push(nested("a ? b : ", "", depth));
            all.push(many("a,", depth));
            all.push(many("a/", depth));
            all.push(many("{.a}", depth));
            all.push(many("9", depth));
            all.push(many("\\", depth));
            all.push(many("(a+)+", depth));
        }
        all.push([b"k8s\0\n\x04\n\x02v1\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec()].concat());
        all.push([b"k8s\0".to_vec(), many("\x0b", 100_000)].concat());
        all.push([0xff; 64].to_vec());
        all.push(vec![0x80; 100_000]);
        all
    }

    #[rstest]
    fn survives_what_is_nasty() {
        for data in nasty() {
            for (name, target) in TARGETS {
                run(name, &data, target);
            }
        }
    }

    #[rstest]
    fn survives_what_clients_send() {
        for data in documents() {
            for (name, target) in TARGETS {
                run(name, &data, target);
            }
        }
    }

    /// Bytes of one document in the place of some of another.
    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        let documents = documents();
        let nasty: Vec<_> = nasty().into_iter().filter(|one| one.len() < 400).collect();
        let cut = (0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0, any::<bool>());
        (prop::sample::select(documents.clone()), prop::sample::select(documents), prop::sample::select(nasty), cut).prop_map(
            |(mut into, from, nasty, (a, b, c, d, splice))| {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                let span = |length: usize, a: f64, b: f64| {
                    let start = (a * length as f64) as usize;
                    start..start + (b * b * b * (length - start) as f64) as usize
                };
                let piece = if splice { from[span(from.len(), c, d)].to_vec() } else { nasty };
                into.splice(span(into.len(), a, b), piece);
                into
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn survives_what_is_broken(data in mutated()) {
            for (name, target) in TARGETS {
                run(name, &data, target);
            }
        }

        #[test]
        fn survives_noise(data in prop::collection::vec(any::<u8>(), 0..200), text in "[-+a-z0-9.,:;%&=!()\\[\\]{}'\"/*@?<> \n]{0,60}") {
            for (name, target) in TARGETS {
                run(name, &data, target);
                run(name, text.as_bytes(), target);
            }
        }
    }

    #[test]
    fn keys_given_often_in_a_long_key_do_not_hurt() {
        let text = format!("{{\"{}\":[{}]}}", "k".repeat(1 << 20), vec![r#"{"a":1,"a":1}"#; 100_000].join(","));
        run("json", text.as_bytes(), |data| drop(json::parse_value(data)));
    }

    #[test]
    fn anchors_do_not_multiply_text() {
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a, ".repeat(100_000));
        let nested = format!("{}{}{}", "&a [".repeat(60), "x, ".repeat(100_000), "]".repeat(60));
        for text in [long, nested] {
            let why = yaml::parse(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(why, "yaml: document contains excessive aliasing");
        }
    }
}

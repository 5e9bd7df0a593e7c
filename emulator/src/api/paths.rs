//! What is no resource: discovery, documents, health, the version.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::ACCEPT;
use rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::negotiate::{Offer, negotiate, wants_aggregated};
use super::{Asked, discovery, no_such_method, no_such_resource, nowhere, resources, respond};
use crate::access::tokens;
use crate::cluster::Cluster;
use crate::schema::table::builtin;
use crate::status::Refusal;

/// Answers a request for a path.
pub(super) fn answer(cluster: &Cluster, asked: &Asked, path: &str) -> Answer {
    let registry = cluster.registry();
    let discovery = &registry.discovery;
    let is_read = resources::is_read(&asked.parts.method);
    let only_read = |answer: Answer| if is_read { answer } else { no_such_method().into() };
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["api"] => only_read(groups(asked, || discovery.aggregated_core(), || discovery::core_versions(&asked.host()))),
        ["apis"] => only_read(groups(asked, || discovery.aggregated_groups(), || discovery.groups())),
        ["apis", group] => discovery.group(group).map_or_else(nowhere, |found| document(asked, &found)),
        ["api", version] => only_read(version_(asked, "", discovery.version("", version))),
        ["apis", group, version] => only_read(version_(asked, group, discovery.version(group, version))),
        // A resource without a name.
        ["api", "v1", "", ..] => no_such_resource().into(),
        ["openapi", ..] => registry.documents.answer(path, asked.query.get("hash"), &asked.parts.headers),
        ["version"] => only_read(answer::json(200, builtin().version())),
        ["healthz" | "livez" | "readyz", check @ ..] => health(segments[0], &check.join("/"), asked),
        [".well-known", "openid-configuration"] => only_read(answer::json(200, &issuer(asked))),
        ["openid", "v1", "jwks"] => only_read(keys(cluster, asked)),
        [""] => answer::json(200, &json!({"paths": paths(discovery)})),
        _ => nowhere(),
    }
}

/// `/api` and `/apis`, in the form that the client wants.
fn groups(asked: &Asked, aggregated: impl Fn() -> Value, plain: impl Fn() -> Value) -> Answer {
    if !wants_aggregated(&asked.parts.headers) {
        return document(asked, &plain());
    }
    let document = aggregated();
    let mut answer = answer::whole(200, discovery::AGGREGATED, format!("{document}\n"));
    if let Ok(etag) = http::HeaderValue::from_str(&discovery::etag(&document)) {
        answer.headers_mut().insert(http::header::ETAG, etag);
    }
    answer
}

/// The resources of a version. Of a group that is known, an unknown version is an answer of the API itself.
fn version_(asked: &Asked, group: &str, found: Option<Value>) -> Answer {
    let Some(found) = found else {
        let known = builtin().groups().iter().any(|g| g.name == group);
        return if known { no_such_resource().into() } else { nowhere() };
    };
    match negotiate(&asked.parts.headers, Offer::BuiltIn { watchable: false, tables: false }, false) {
        Ok(_) => document(asked, &found),
        Err(refusal) => refusal.into(),
    }
}

fn document(asked: &Asked, document: &Value) -> Answer {
    match negotiate(&asked.parts.headers, Offer::Document, false) {
        Ok(wanted) => respond::document(200, wanted, document),
        Err(refusal) => refusal.into(),
    }
}

/// The checks of `/livez` and `/healthz`, in the order in which they are listed; K3s v1.34.1.
const CHECKS: [&str; 32] = [
    "ping",
    "log",
    "etcd",
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// All checks of an endpoint: being ready takes more than being alive.
fn checks(endpoint: &str) -> Vec<&'static str> {
    let mut checks = CHECKS.to_vec();
    if endpoint == "readyz" {
        checks.splice(3..3, ["etcd-readiness", "informer-sync"]);
        checks.push("shutdown");
    }
    checks
}

fn health(endpoint: &str, check: &str, asked: &Asked) -> Answer {
    let checks = checks(endpoint);
    if !check.is_empty() {
        return if checks.contains(&check) { plain("ok") } else { nowhere() };
    }
    if asked.query.get("verbose").is_none() {
        return plain("ok");
    }
    let excluded = asked.query.all("exclude");
    let lines: String = checks
        .iter()
        .map(|check| if excluded.contains(check) { format!("[+]{check} excluded: ok\n") } else { format!("[+]{check} ok\n") })
        .collect();
    plain(&format!("{lines}{endpoint} check passed\n"))
}

/// A text, without another end of line.
fn plain(text: &str) -> Answer {
    let mut answer = answer::whole(200, "text/plain; charset=utf-8", text.to_owned());
    answer.headers_mut().insert("X-Content-Type-Options", http::HeaderValue::from_static("nosniff"));
    answer
}

/// Every path that is no resource.
fn paths(discovery: &discovery::Discovery) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ]
    .map(String::from)
    .to_vec();
    for group in discovery.groups()["groups"].as_array().into_iter().flatten() {
        paths.push(format!("/apis/{}", group["name"].as_str().unwrap_or_default()));
        let versions = group["versions"].as_array().into_iter().flatten().filter_map(|v| v["groupVersion"].as_str());
        paths.extend(versions.map(|version| format!("/apis/{version}")));
    }
    for endpoint in ["healthz", "livez", "readyz"] {
        paths.extend(checks(endpoint).iter().map(|check| format!("/{endpoint}/{check}")));
    }
    paths.sort();
    paths
}

/// Who issues service-account tokens, for those who want to verify them.
fn issuer(asked: &Asked) -> Value {
    json!({
        "issuer": tokens::ISSUER,
        "jwks_uri": format!("https://{}/openid/v1/jwks", asked.host()),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The key that verifies tokens.
fn keys(cluster: &Cluster, asked: &Asked) -> Answer {
    const TYPE: &str = "application/jwk-set+json";
    let accept = asked.parts.headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
    if !accept.contains("*/*") && !accept.contains(TYPE) {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {TYPE}");
        return Refusal::new(406, "NotAcceptable", message).with_details(json!({})).into();
    }
    let key = &cluster.authority.tokens;
    // An uncompressed point: a byte that says so, then the two numbers.
    let point = key.der_bytes();
    let number = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
    let key = json!({
        "use": "sig",
        "kty": "EC",
        "kid": tokens::key_id(key),
        "crv": "P-256",
        "alg": "ES256",
        "x": number(1..33),
        "y": number(33..65),
    });
    answer::whole(200, TYPE, json!({"keys": [key]}).to_string())
}

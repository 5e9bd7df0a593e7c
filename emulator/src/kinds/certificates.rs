//! Rules of `certificates.k8s.io` (`pkg/apis/certificates/validation/validation.go`). Who asks is filled in by the caller, who
//! knows: [`set_user`].

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use super::view::{fill, int, items, keep, list, object, put, remove, same, text};
use super::{Rules, meta, names};
use crate::access::User;
use crate::field::{Errors, Path, quote};

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "certificatesigningrequests" => &REQUEST,
        _ => &Rules::PLAIN,
    }
}

const REQUEST: Rules = Rules {
    prepare_create: |request| put(request, "status", json!({})),
    validate,
    name: |_, _| Vec::new(),
    prepare_update: |old, new| {
        keep(old, new, "spec");
        keep(old, new, "status");
    },
    validate_update: |old, new, errors| validate_change(old, new, Setting::Nothing, errors),
    prepare_status: |old, new| {
        keep(old, new, "spec");
        for kind in ["Approved", "Denied"] {
            let had: Vec<_> = conditions(old, kind).cloned().collect();
            if had.len() == conditions(new, kind).count() {
                let Some(status) = new.get_mut("status") else { continue };
                let present = items(status, "conditions").filter(|condition| condition["type"] == kind);
                present.zip(had).for_each(|(condition, old)| *condition = old);
            }
        }
        set_times(old, new);
    },
    validate_status: |old, new, errors| validate_change(old, new, Setting::Certificate, errors),
    fields: |request| vec![("spec.signerName", text(&request["spec"]["signerName"]).to_owned())],
    ..Rules::PLAIN
};

/// The rules of the subresource `approval`, for `before_update`.
pub(crate) const APPROVAL: Rules = Rules {
    prepare_update: |old, new| {
        set_times(old, new);
        let conditions = new["status"]["conditions"].clone();
        keep(old, new, "spec");
        keep(old, new, "status");
        object(new, "status");
        if let Some(status) = new.get_mut("status") {
            put(status, "conditions", conditions);
        }
    },
    validate_update: |old, new, errors| validate_change(old, new, Setting::Approval, errors),
    ..REQUEST
};

/// What an update may set of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Nothing,
    Approval,
    Certificate,
}

/// A new request says who made it, whatever the client wrote.
pub(crate) fn set_user(request: &mut Value, user: &User) {
    let Some(spec) = request.get_mut("spec") else { return };
    for field in ["username", "uid", "groups", "extra"] {
        remove(spec, field);
    }
    if let (Value::Object(spec), Value::Object(user)) = (spec, user.to_json()) {
        spec.extend(user);
    }
}

fn conditions<'a>(request: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    list(&request["status"]["conditions"]).iter().filter(move |condition| condition["type"] == kind)
}

fn set_times(old: &Value, new: &mut Value) {
    let now = meta::now();
    let had = list(&old["status"]["conditions"]).to_vec();
    let Some(status) = new.get_mut("status") else { return };
    for condition in items(status, "conditions") {
        fill(condition, "lastUpdateTime", now.clone());
        let same_state = had.iter().find(|old| old["type"] == condition["type"] && old["status"] == condition["status"]);
        let transition = same_state.and_then(|old| old["lastTransitionTime"].as_str()).unwrap_or(&now).to_owned();
        fill(condition, "lastTransitionTime", transition);
    }
}

fn validate_request(encoded: &str) -> Result<(), &'static str> {
    const WRONG: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = STANDARD.decode(encoded).unwrap_or_default();
    let Some(Ok(block)) = Pem::iter_from_buffer(&pem).next() else { return Err(WRONG) };
    if block.label != "CERTIFICATE REQUEST" {
        return Err(WRONG);
    }
    X509CertificationRequest::from_der(&block.contents).map(|_| ()).map_err(|_| "asn1: structure error")
}

fn validate_certificate(encoded: &str) -> Result<(), String> {
    let pem = STANDARD.decode(encoded).unwrap_or_default();
    let blocks: Vec<_> = Pem::iter_from_buffer(&pem).flatten().collect();
    if let Some(block) = blocks.iter().find(|block| block.label != "CERTIFICATE") {
        return Err(format!("only CERTIFICATE PEM blocks are allowed, found {}", quote(&block.label)));
    }
    if blocks.iter().any(|block| block.parse_x509().is_err()) {
        return Err("x509: malformed certificate".to_owned());
    }
    if blocks.is_empty() && !pem.is_empty() {
        return Err("must contain at least one CERTIFICATE PEM block".to_owned());
    }
    Ok(())
}

fn validate(request: &Value, errors: &mut Errors) {
    let (spec, path) = (&request["spec"], Path::new("spec"));
    let encoded = text(&spec["request"]);
    if let Err(wrong) = validate_request(encoded) {
        let shown = if encoded.is_empty() { "null".to_owned() } else { quote(encoded) };
        super::view::invalid_shown(errors, &path.child("request"), &shown, wrong);
    }
    let (usages, at) = (list(&spec["usages"]), path.child("usages"));
    if usages.is_empty() {
        errors.required(&at, "");
    }
    for (i, usage) in usages.iter().map(text).enumerate() {
        if !USAGES.contains(&usage) {
            errors.not_supported(&at.index(i), usage, &USAGES);
        }
    }
    let mut seen = BTreeSet::new();
    for (i, usage) in usages.iter().map(text).enumerate() {
        if !seen.insert(usage) {
            errors.duplicate(&at.index(i), usage);
        }
    }
    let (signer, at) = (text(&spec["signerName"]), path.child("signerName"));
    if signer == LEGACY_SIGNER {
        errors.invalid(&at, signer, "the legacy signerName is not allowed via this API version");
    } else {
        validate_signer(signer, &at, errors);
    }
    let seconds = int(&spec["expirationSeconds"]);
    if !spec["expirationSeconds"].is_null() && seconds < 600 {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.invalid(&path.child("expirationSeconds"), seconds, detail);
    }
    validate_conditions(request, errors);
}

/// ValidateSignerName.
fn validate_signer(signer: &str, path: &Path, errors: &mut Errors) {
    if signer.is_empty() {
        errors.required(path, "");
        return;
    }
    let segments: Vec<_> = signer.split('/').collect();
    let [domain, name] = segments[..] else {
        errors.invalid(path, signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    };
    for wrong in names::subdomain(domain) {
        let detail = format!("validating label {}: {wrong}", quote(domain));
        errors.invalid(path, domain, &detail);
    }
    if !domain.contains('.') {
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots");
    }
    if name.len() > 253 {
        errors.too_long(path, 253);
    }
    for wrong in names::subdomain(name) {
        errors.invalid(path, name, &wrong);
    }
}

fn validate_conditions(request: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("conditions");
    let mut seen = BTreeSet::new();
    for (i, condition) in list(&request["status"]["conditions"]).iter().enumerate() {
        let (at, kind, status) = (path.index(i), text(&condition["type"]), text(&condition["status"]));
        if kind.is_empty() {
            errors.required(&at.child("type"), "");
        }
        let only_true = matches!(kind, "Approved" | "Denied" | "Failed");
        match status {
            "" => errors.required(&at.child("status"), ""),
            "True" => {}
            _ if only_true => errors.not_supported(&at.child("status"), status, &["True"]),
            "False" | "Unknown" => {}
            _ => errors.not_supported(&at.child("status"), status, &["False", "True", "Unknown"]),
        }
        let other = if kind == "Approved" { "Denied" } else { "Approved" };
        if matches!(kind, "Approved" | "Denied") && seen.contains(other) {
            errors.invalid(&path, kind, "Approved and Denied conditions are mutually exclusive");
        }
        if !seen.insert(kind) {
            errors.duplicate(&at.child("type"), kind);
        }
    }
}

fn validate_change(old: &Value, new: &Value, setting: Setting, errors: &mut Errors) {
    meta::validate(new, false, |_, _| Vec::new(), errors);
    validate(new, errors);
    let path = Path::new("status").child("conditions");
    for kind in ["Approved", "Denied", "Failed"] {
        if conditions(new, kind).count() < conditions(old, kind).count() {
            errors.forbidden(&path, &format!("updates may not remove a condition of type {}", quote(kind)));
        }
    }
    if setting != Setting::Approval {
        for kind in ["Approved", "Denied"] {
            let [was, is] = [old, new].map(|request| conditions(request, kind).cloned().collect::<Vec<_>>());
            if is.len() > was.len() {
                errors.forbidden(&path, &format!("updates may not add a condition of type {}", quote(kind)));
            } else if is.len() == was.len() && !same(&was.into(), &is.into()) {
                errors.forbidden(&path, &format!("updates may not modify a condition of type {}\n", quote(kind)));
            }
        }
    }
    let path = Path::new("status").child("certificate");
    let certificate = |request: &Value| text(&request["status"]["certificate"]).to_owned();
    if certificate(old) != certificate(new) {
        if setting != Setting::Certificate {
            errors.forbidden(&path, "updates may not set certificate content");
        } else if !certificate(old).is_empty() {
            errors.forbidden(&path, "updates may not modify existing certificate content");
        }
        if let Err(wrong) = validate_certificate(&certificate(new)) {
            errors.invalid(&path, "<certificate data>", &wrong);
        }
    }
    meta::validate_update(old, new, errors);
}

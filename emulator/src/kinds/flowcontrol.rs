//! Rules of `flowcontrol.apiserver.k8s.io` (`pkg/apis/flowcontrol/validation/validation.go`).

use serde_json::{Value, json};

use super::view::{bump_generation, count, fill, int, keep, list, put, set_generation, text};
use super::{Rules, meta, names};
use crate::field::{Errors, Path};

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "flowschemas" => &FLOW_SCHEMA,
        "prioritylevelconfigurations" => &PRIORITY_LEVEL,
        _ => &Rules::PLAIN,
    }
}

const FLOW_SCHEMA: Rules = Rules {
    default: |schema| {
        if let Some(spec) = schema.get_mut("spec")
            && int(&spec["matchingPrecedence"]) == 0
        {
            put(spec, "matchingPrecedence", 1000.into());
        }
    },
    prepare_create: |schema| {
        put(schema, "status", json!({}));
        set_generation(schema, 1);
    },
    validate: validate_schema,
    prepare_update: |old, new| {
        keep(old, new, "status");
        bump_generation(old, new);
    },
    validate_update: |_, new, errors| {
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate_schema(new, errors);
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |_, new, errors| validate_conditions(new, errors),
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate_schema(schema: &Value, errors: &mut Errors) {
    let (spec, path) = (&schema["spec"], Path::new("spec"));
    let (precedence, at) = (int(&spec["matchingPrecedence"]), path.child("matchingPrecedence"));
    if precedence <= 0 {
        errors.invalid(&at, precedence, "must be a positive value");
    }
    if precedence > 10000 {
        errors.invalid(&at, precedence, "must not be greater than 10000");
    }
    if precedence == 1 && schema["metadata"]["name"] != "exempt" {
        errors.invalid(&at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    if let Some(method) = spec["distinguisherMethod"]["type"].as_str()
        && !matches!(method, "ByUser" | "ByNamespace")
    {
        errors.not_supported(&path.child("distinguisherMethod").child("type"), method, &["ByNamespace", "ByUser"]);
    }
    let (level, at) = (text(&spec["priorityLevelConfiguration"]["name"]), path.child("priorityLevelConfiguration.name"));
    if level.is_empty() {
        errors.required(&at, "must reference a priority level");
    } else {
        for wrong in names::subdomain(level) {
            errors.invalid(&at, level, &wrong);
        }
    }
    for (i, rule) in list(&spec["rules"]).iter().enumerate() {
        validate_rule(rule, &path.child("rules").index(i), errors);
    }
    validate_conditions(schema, errors);
}

fn validate_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    if count(&rule["subjects"]) == 0 {
        errors.required(&path.child("subjects"), "subjects must contain at least one value");
    }
    for (i, subject) in list(&rule["subjects"]).iter().enumerate() {
        let (at, kind) = (path.child("subjects").index(i), text(&subject["kind"]));
        let field = match kind {
            "ServiceAccount" => "serviceAccount",
            "User" => "user",
            "Group" => "group",
            _ => {
                errors.not_supported(&at.child("kind"), kind, &["Group", "ServiceAccount", "User"]);
                continue;
            }
        };
        if subject[field].is_null() {
            errors.required(&at.child(field), &format!("{field} is required when subject kind is '{kind}'"));
        } else if text(&subject[field]["name"]).is_empty() {
            errors.required(&at.child(field).child("name"), "");
        }
        if kind == "ServiceAccount" && !subject[field].is_null() && text(&subject[field]["namespace"]).is_empty() {
            errors.required(&at.child(field).child("namespace"), "must specify namespace for service account");
        }
    }
    if count(&rule["resourceRules"]) + count(&rule["nonResourceRules"]) == 0 {
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for (i, resources) in list(&rule["resourceRules"]).iter().enumerate() {
        let at = path.child("resourceRules").index(i);
        for (field, what) in [
            ("verbs", "verbs must contain at least one value"),
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ] {
            if count(&resources[field]) == 0 {
                errors.required(&at.child(field), what);
            }
        }
        if count(&resources["namespaces"]) == 0 && resources["clusterScope"] != true {
            let what = "resource rules that are not cluster scoped must supply at least one namespace";
            errors.required(&at.child("namespaces"), what);
        }
    }
    for (i, urls) in list(&rule["nonResourceRules"]).iter().enumerate() {
        let at = path.child("nonResourceRules").index(i);
        for field in ["verbs", "nonResourceURLs"] {
            if count(&urls[field]) == 0 {
                errors.required(&at.child(field), &format!("{field} must contain at least one value"));
            }
        }
    }
}

fn validate_conditions(object: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("conditions");
    let all: Vec<_> = list(&object["status"]["conditions"]).iter().map(|condition| text(&condition["type"])).collect();
    for (i, kind) in all.iter().enumerate() {
        let at = path.index(i).child("type");
        if all[..i].contains(kind) {
            errors.duplicate(&at, *kind);
        }
        if kind.is_empty() {
            errors.required(&at, "");
        }
    }
}

const PRIORITY_LEVEL: Rules = Rules {
    default: |level| {
        let Some(spec) = level.get_mut("spec") else { return };
        for (field, shares) in [("exempt", 0), ("limited", 30)] {
            if let Some(part) = spec.get_mut(field) {
                fill(part, "nominalConcurrencyShares", shares);
                fill(part, "lendablePercent", 0);
            }
        }
        if let Some(queues) = spec.pointer_mut("/limited/limitResponse/queuing") {
            for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                if int(&queues[field]) == 0 {
                    put(queues, field, value.into());
                }
            }
        }
    },
    validate: validate_level,
    validate_update: |_, new, errors| {
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate_level(new, errors);
    },
    ..FLOW_SCHEMA
};

fn validate_level(level: &Value, errors: &mut Errors) {
    let (spec, path) = (&level["spec"], Path::new("spec"));
    let kind = text(&spec["type"]);
    if (level["metadata"]["name"] == "exempt") != (kind == "Exempt") {
        errors.invalid(&path.child("type"), kind, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    let (limited, at) = (&spec["limited"], path.child("limited"));
    match kind {
        "Exempt" => {
            if !limited.is_null() {
                errors.forbidden(&at, "must be nil if the type is not Limited");
            }
        }
        "Limited" => {
            if !spec["exempt"].is_null() {
                errors.forbidden(&path.child("exempt"), "must be nil if the type is Limited");
            }
            if limited.is_null() {
                errors.required(&at, "must not be empty when type is Limited");
            } else {
                validate_limited(limited, &at, errors);
            }
        }
        _ => errors.not_supported(&path.child("type"), kind, &["Exempt", "Limited"]),
    }
    validate_conditions(level, errors);
}

fn validate_limited(limited: &Value, path: &Path, errors: &mut Errors) {
    let shares = int(&limited["nominalConcurrencyShares"]);
    if shares < 0 {
        errors.invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    let (response, at) = (&limited["limitResponse"], path.child("limitResponse"));
    let queuing = at.child("queuing");
    match text(&response["type"]) {
        "Reject" if !response["queuing"].is_null() => {
            errors.forbidden(&queuing, "must be nil if limited.limitResponse.type is not Limited");
        }
        "Queue" if response["queuing"].is_null() => {
            errors.required(&queuing, "must not be empty if limited.limitResponse.type is Limited");
        }
        "Reject" | "Queue" => {}
        other => errors.not_supported(&at.child("type"), other, &["Queue", "Reject"]),
    }
    let percent = int(&limited["lendablePercent"]);
    if !(0..=100).contains(&percent) {
        errors.invalid(&path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

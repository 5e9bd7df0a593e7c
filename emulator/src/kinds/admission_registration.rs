//! Rules of `admissionregistration.k8s.io` (`pkg/apis/admissionregistration/validation/validation.go`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::view::{bump_on, count, fill, int, items, keep, list, set_generation, text};
use super::{Rules, meta, names, selector};
use crate::field::{Errors, Path};

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "validatingwebhookconfigurations" => &VALIDATING,
        "mutatingwebhookconfigurations" => &MUTATING,
        "validatingadmissionpolicies" => &POLICY,
        "validatingadmissionpolicybindings" => &BINDING,
        _ => &Rules::PLAIN,
    }
}

const VALIDATING: Rules = Rules {
    default: |configuration| default(configuration, false),
    prepare_create: |configuration| set_generation(configuration, 1),
    validate: |configuration, errors| validate(configuration, false, errors),
    prepare_update: |old, new| bump_on(old, new, "webhooks"),
    validate_update: |_, new, errors| {
        meta::validate_plain(new, false, names::dns1123_subdomain, errors);
        validate(new, false, errors);
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

const MUTATING: Rules = Rules {
    default: |configuration| default(configuration, true),
    validate: |configuration, errors| validate(configuration, true, errors),
    validate_update: |_, new, errors| {
        meta::validate_plain(new, false, names::dns1123_subdomain, errors);
        validate(new, true, errors);
    },
    ..VALIDATING
};

fn default(configuration: &mut Value, mutating: bool) {
    for hook in items(configuration, "webhooks") {
        fill(hook, "failurePolicy", "Fail");
        default_match(hook);
        fill(hook, "timeoutSeconds", 10);
        if mutating {
            fill(hook, "reinvocationPolicy", "Never");
        }
        for rule in items(hook, "rules") {
            fill(rule, "scope", "*");
        }
        if let Some(service) = hook.pointer_mut("/clientConfig/service") {
            fill(service, "port", 443);
        }
    }
}

/// SetDefaults_MatchResources, and what webhooks share with it.
fn default_match(holder: &mut Value) {
    fill(holder, "matchPolicy", "Equivalent");
    fill(holder, "namespaceSelector", json!({}));
    fill(holder, "objectSelector", json!({}));
}

fn default_match_resources(resources: &mut Value) {
    default_match(resources);
    for field in ["resourceRules", "excludeResourceRules"] {
        for rule in items(resources, field) {
            fill(rule, "scope", "*");
        }
    }
}

fn validate(configuration: &Value, mutating: bool, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, hook) in list(&configuration["webhooks"]).iter().enumerate() {
        let path = Path::new("webhooks").index(i);
        validate_hook(hook, mutating, &path, errors);
        validate_review_versions(&hook["admissionReviewVersions"], &path.child("admissionReviewVersions"), errors);
        let name = text(&hook["name"]);
        if !name.is_empty() && !seen.insert(name) {
            errors.duplicate(&path.child("name"), name);
        }
    }
}

/// A field that has one of a few values, if it is there.
fn one_of(holder: &Value, field: &str, known: &[&str], path: &Path, errors: &mut Errors) {
    if let Some(value) = holder[field].as_str()
        && !known.contains(&value)
    {
        errors.not_supported(&path.child(field), value, known);
    }
}

fn validate_hook(hook: &Value, mutating: bool, path: &Path, errors: &mut Errors) {
    let (name, at) = (text(&hook["name"]), path.child("name"));
    let wrong = names::subdomain(name);
    if name.is_empty() {
        errors.required(&at, "");
    } else if !wrong.is_empty() {
        errors.invalid(&at, name, &wrong.join(","));
    } else if name.split('.').count() < 3 {
        errors.invalid(&at, name, "should be a domain with at least three segments separated by dots");
    }
    for (i, rule) in list(&hook["rules"]).iter().enumerate() {
        validate_rule(rule, &path.child("rules").index(i), errors);
    }
    one_of(hook, "failurePolicy", &["Fail", "Ignore"], path, errors);
    one_of(hook, "matchPolicy", &["Equivalent", "Exact"], path, errors);
    if hook["sideEffects"].is_null() {
        errors.required(&path.child("sideEffects"), "must specify one of None, NoneOnDryRun");
    }
    one_of(hook, "sideEffects", &["None", "NoneOnDryRun"], path, errors);
    let seconds = int(&hook["timeoutSeconds"]);
    if !hook["timeoutSeconds"].is_null() && !(1..=30).contains(&seconds) {
        errors.invalid(&path.child("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds");
    }
    for field in ["namespaceSelector", "objectSelector"] {
        if !hook[field].is_null() {
            selector::validate(&hook[field], &path.child(field), errors);
        }
    }
    if mutating {
        one_of(hook, "reinvocationPolicy", &["IfNeeded", "Never"], path, errors);
    }
    validate_client(&hook["clientConfig"], &path.child("clientConfig"), errors);
    validate_conditions(&hook["matchConditions"], &path.child("matchConditions"), errors);
}

fn validate_client(client: &Value, path: &Path, errors: &mut Errors) {
    match (client["url"].as_str(), client["service"].is_null()) {
        (Some(url), true) => validate_url(url, &path.child("url"), errors),
        (None, false) => validate_service(&client["service"], &path.child("service"), errors),
        _ => errors.required(path, "exactly one of url or service is required"),
    }
}

fn validate_url(url: &str, path: &Path, errors: &mut Errors) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        errors.invalid(path, scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        errors.invalid(path, host, &format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        errors.invalid(path, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        errors.invalid(path, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        errors.invalid(path, query, "query parameters are not permitted in the URL");
    }
}

/// ValidateWebhookService.
pub(crate) fn validate_service(service: &Value, path: &Path, errors: &mut Errors) {
    // Kubernetes passes the two the wrong way round, so the namespace is asked for by the name's emptiness and vice versa.
    for (field, missing) in [("name", "namespace"), ("namespace", "name")] {
        if text(&service[missing]).is_empty() {
            errors.required(&path.child(field), "");
        }
    }
    let port = int(&service["port"]);
    let wrong = names::port_number(port);
    if !wrong.is_empty() {
        errors.invalid(&path.child("port"), port, &format!("port is not valid: {}", wrong.join(", ")));
    }
    let (given, at) = (text(&service["path"]), path.child("path"));
    if matches!(given, "" | "/") {
        return;
    }
    if given == "//" {
        errors.invalid(&at, given, "segment[0] may not be empty");
        return;
    }
    if !given.starts_with('/') {
        errors.invalid(&at, given, "must start with a '/'");
    }
    let mut steps = given.chars();
    steps.next();
    let steps = steps.as_str();
    for (i, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            errors.invalid(&at, given, &format!("segment[{i}] may not be empty"));
            continue;
        }
        for wrong in names::subdomain(step) {
            errors.invalid(&at, given, &format!("segment[{i}]: {wrong}"));
        }
    }
}

fn validate_conditions(conditions: &Value, path: &Path, errors: &mut Errors) {
    if count(conditions) > 64 {
        errors.too_many(path, count(conditions), 64);
    }
    let mut seen = BTreeSet::new();
    for (i, condition) in list(conditions).iter().enumerate() {
        let (at, name) = (path.index(i), text(&condition["name"]));
        if text(&condition["expression"]).trim().is_empty() {
            errors.required(&at.child("expression"), "");
        }
        if name.is_empty() {
            errors.required(&at.child("name"), "");
        } else {
            for wrong in names::qualified(name) {
                errors.invalid(&at.child("name"), name, &wrong);
            }
            if !seen.insert(name) {
                errors.duplicate(&at.child("name"), name);
            }
        }
    }
}

fn validate_review_versions(versions: &Value, path: &Path, errors: &mut Errors) {
    let all: Vec<_> = list(versions).iter().map(text).collect();
    if all.is_empty() {
        errors.required(path, "must specify one of v1, v1beta1");
        return;
    }
    for (i, version) in all.iter().enumerate() {
        if all[..i].contains(version) {
            errors.invalid(&path.index(i), *version, "duplicate version");
            continue;
        }
        for wrong in names::dns1035(version) {
            errors.invalid(&path.index(i), *version, &wrong);
        }
    }
    if !all.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        errors.invalid(path, versions.clone(), "must include at least one of v1, v1beta1");
    }
}

fn validate_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let wild = |field: &str| count(&rule[field]) > 1 && list(&rule[field]).iter().any(|one| one == "*");
    for (field, what) in [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let at = path.child(field);
        if count(&rule[field]) == 0 {
            errors.required(&at, "");
        }
        if wild(field) {
            errors.invalid(&at, rule[field].clone(), &format!("if '*' is present, must not specify other {what}"));
        }
        for (i, value) in list(&rule[field]).iter().map(text).enumerate() {
            match field {
                "operations" if !matches!(value, "*" | "CREATE" | "UPDATE" | "DELETE" | "CONNECT") => {
                    errors.not_supported(&at.index(i), value, &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]);
                }
                "apiVersions" if value.is_empty() => errors.required(&at.index(i), ""),
                _ => {}
            }
        }
    }
    validate_resources(&rule["resources"], &path.child("resources"), errors);
    one_of(rule, "scope", &["*", "Cluster", "Namespaced"], path, errors);
}

fn validate_resources(resources: &Value, path: &Path, errors: &mut Errors) {
    let all: Vec<_> = list(resources).iter().map(text).collect();
    if all.is_empty() {
        errors.required(path, "");
    }
    let (mut all_of, mut any_with) = (BTreeSet::new(), BTreeSet::new());
    let mut bare = false;
    for (i, one) in all.iter().enumerate() {
        if one.is_empty() {
            errors.required(&path.index(i), "");
            continue;
        }
        let Some((resource, sub)) = one.split_once('/') else {
            bare = *one != "*";
            continue;
        };
        if all_of.contains(resource) {
            errors.invalid(&path.index(i), *one, &format!("if '{resource}/*' is present, must not specify {one}"));
        }
        if any_with.contains(sub) {
            errors.invalid(&path.index(i), *one, &format!("if '*/{sub}' is present, must not specify {one}"));
        }
        if sub == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            any_with.insert(sub);
        }
    }
    if all.len() > 1 && all.contains(&"*/*") {
        errors.invalid(path, resources.clone(), "if '*/*' is present, must not specify other resources");
    }
    if bare && all.contains(&"*") {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.invalid(path, resources.clone(), detail);
    }
}

/// The expressions of policies are checked where they are compiled.
const POLICY: Rules = Rules {
    default: |policy| {
        let Some(spec) = policy.get_mut("spec") else { return };
        fill(spec, "failurePolicy", "Fail");
        if let Some(constraints) = spec.get_mut("matchConstraints") {
            default_match_resources(constraints);
        }
    },
    prepare_create: |policy| {
        super::view::put(policy, "status", json!({}));
        set_generation(policy, 1);
    },
    validate: validate_policy,
    prepare_update: |old, new| {
        keep(old, new, "status");
        bump_on(old, new, "spec");
    },
    validate_update: |_, new, errors| {
        meta::validate_plain(new, false, names::dns1123_subdomain, errors);
        validate_policy(new, errors);
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |old, new, errors| {
        meta::validate_plain_update(old, new, errors);
        meta::conditions(&new["status"]["conditions"], &Path::new("status").child("conditions"), errors);
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate_policy(policy: &Value, errors: &mut Errors) {
    let (spec, path) = (&policy["spec"], Path::new("spec"));
    one_of(spec, "failurePolicy", &["Fail", "Ignore"], &path, errors);
    let (kind, at) = (&spec["paramKind"], path.child("paramKind"));
    if !kind.is_null() {
        for field in ["apiVersion", "kind"] {
            if text(&kind[field]).is_empty() {
                errors.required(&at.child(field), "");
            }
        }
    }
    let (constraints, at) = (&spec["matchConstraints"], path.child("matchConstraints"));
    if constraints.is_null() {
        errors.required(&at, "");
    } else {
        validate_match(constraints, &at, errors);
        if count(&constraints["resourceRules"]) == 0 {
            errors.required(&at.child("resourceRules"), "");
        }
    }
    validate_conditions(&spec["matchConditions"], &path.child("matchConditions"), errors);
    if count(&spec["validations"]) == 0 && count(&spec["auditAnnotations"]) == 0 {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.required(&path.child("validations"), detail);
        errors.required(&path.child("auditAnnotations"), detail);
    }
    for (i, validation) in list(&spec["validations"]).iter().enumerate() {
        let at = path.child("validations").index(i);
        if text(&validation["expression"]).trim().is_empty() {
            errors.required(&at.child("expression"), "expression is not specified");
        }
        one_of(validation, "reason", &["Forbidden", "Invalid", "RequestEntityTooLarge"], &at, errors);
    }
    crate::admission::policy::check(policy, errors);
}

fn validate_match(resources: &Value, path: &Path, errors: &mut Errors) {
    one_of(resources, "matchPolicy", &["Equivalent", "Exact"], path, errors);
    for field in ["namespaceSelector", "objectSelector"] {
        if !resources[field].is_null() {
            selector::validate(&resources[field], &path.child(field), errors);
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (i, rule) in list(&resources[field]).iter().enumerate() {
            validate_rule(rule, &path.child(field).index(i), errors);
        }
    }
}

const BINDING: Rules = Rules {
    default: |binding| {
        if let Some(resources) = binding.pointer_mut("/spec/matchResources") {
            default_match_resources(resources);
        }
    },
    prepare_create: |binding| set_generation(binding, 1),
    validate: validate_binding,
    prepare_update: |old, new| bump_on(old, new, "spec"),
    validate_update: |_, new, errors| {
        meta::validate_plain(new, false, names::dns1123_subdomain, errors);
        validate_binding(new, errors);
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate_binding(binding: &Value, errors: &mut Errors) {
    let (spec, path) = (&binding["spec"], Path::new("spec"));
    let policy = text(&spec["policyName"]);
    if policy.is_empty() {
        errors.required(&path.child("policyName"), "");
    } else {
        for wrong in names::subdomain(policy) {
            errors.invalid(&path.child("policyName"), policy, &wrong);
        }
    }
    let (param, at) = (&spec["paramRef"], path.child("paramRef"));
    if !param.is_null() {
        let named = !text(&param["name"]).is_empty();
        if named && !param["selector"].is_null() {
            errors.forbidden(&at.child("name"), "name and selector are mutually exclusive");
        }
        if !named && param["selector"].is_null() {
            errors.required(&at, "one of name or selector must be specified");
        }
        if param["parameterNotFoundAction"].is_null() {
            errors.required(&at.child("parameterNotFoundAction"), "");
        }
        one_of(param, "parameterNotFoundAction", &["Allow", "Deny"], &at, errors);
    }
    if !spec["matchResources"].is_null() {
        validate_match(&spec["matchResources"], &path.child("matchResources"), errors);
    }
    let (actions, at) = (&spec["validationActions"], path.child("validationActions"));
    let all: Vec<_> = list(actions).iter().map(text).collect();
    if all.is_empty() {
        errors.required(&at, "at least one validation action is required");
    }
    for (i, action) in all.iter().enumerate() {
        if !matches!(*action, "Audit" | "Deny" | "Warn") {
            errors.not_supported(&at.index(i), *action, &["Audit", "Deny", "Warn"]);
        }
        if all[..i].contains(action) {
            errors.duplicate(&at.index(i), *action);
        }
    }
    if all.contains(&"Deny") && all.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and \
                      headers serves no purpose)";
        errors.invalid(&at, actions.clone(), detail);
    }
}

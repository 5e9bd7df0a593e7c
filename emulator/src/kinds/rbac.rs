//! Rules of `rbac.authorization.k8s.io` (`pkg/apis/rbac/validation/validation.go`). Whether a user may grant what is written is
//! another matter: [`escalation`].

use serde_json::Value;

use super::view::{count, fill_text, items, list, text};
use super::{Rules, meta, names, selector};
use crate::access::rbac::Rule;
use crate::field::{Errors, Path, quote};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "roles" => &ROLE,
        "clusterroles" => &CLUSTER_ROLE,
        "rolebindings" => &ROLE_BINDING,
        "clusterrolebindings" => &CLUSTER_ROLE_BINDING,
        _ => &Rules::PLAIN,
    }
}

/// Names may hold colons, so they need only fit into a path.
fn name(name: &str, _prefix: bool) -> Vec<String> {
    names::path_segment(name, false)
}

const ROLE: Rules = Rules {
    validate: |role, errors| validate_rules(role, true, errors),
    name,
    validate_update: |old, new, errors| validate_twice(old, new, true, |role, e| validate_rules(role, true, e), errors),
    allow_create_on_update: true,
    ..Rules::PLAIN
};

const CLUSTER_ROLE: Rules = Rules {
    validate: validate_cluster_role,
    validate_update: |old, new, errors| validate_twice(old, new, false, validate_cluster_role, errors),
    ..ROLE
};

const ROLE_BINDING: Rules = Rules {
    default: |binding| {
        if let Some(reference) = binding.get_mut("roleRef") {
            fill_text(reference, "apiGroup", GROUP);
        }
        for subject in items(binding, "subjects") {
            if matches!(text(&subject["kind"]), "User" | "Group") {
                fill_text(subject, "apiGroup", GROUP);
            }
        }
    },
    validate: |binding, errors| validate_binding(binding, true, errors),
    validate_update: |old, new, errors| {
        validate_twice(old, new, true, |binding, e| validate_binding(binding, true, e), errors);
        validate_reference_change(old, new, errors);
    },
    ..ROLE
};

const CLUSTER_ROLE_BINDING: Rules = Rules {
    validate: |binding, errors| validate_binding(binding, false, errors),
    validate_update: |old, new, errors| {
        validate_twice(old, new, false, |binding, e| validate_binding(binding, false, e), errors);
        validate_reference_change(old, new, errors);
    },
    ..ROLE_BINDING
};

/// Kubernetes validates an updated object of these kinds twice, and reports twice.
fn validate_twice(old: &Value, new: &Value, namespaced: bool, validate: fn(&Value, &mut Errors), errors: &mut Errors) {
    for _ in 0..2 {
        meta::validate(new, namespaced, name, errors);
        validate(new, errors);
    }
    meta::validate_update(old, new, errors);
}

fn validate_rules(role: &Value, namespaced: bool, errors: &mut Errors) {
    for (i, rule) in list(&role["rules"]).iter().enumerate() {
        validate_rule(rule, namespaced, &Path::new("rules").index(i), errors);
    }
}

fn validate_rule(rule: &Value, namespaced: bool, path: &Path, errors: &mut Errors) {
    if count(&rule["verbs"]) == 0 {
        errors.required(&path.child("verbs"), "verbs must contain at least one value");
    }
    let urls = &rule["nonResourceURLs"];
    if count(urls) > 0 {
        let at = path.child("nonResourceURLs");
        if namespaced {
            errors.invalid(&at, urls.clone(), "namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|field| count(&rule[*field]) > 0) {
            errors.invalid(&at, urls.clone(), "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if count(&rule["apiGroups"]) == 0 {
        errors.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
    }
    if count(&rule["resources"]) == 0 {
        errors.required(&path.child("resources"), "resource rules must supply at least one resource");
    }
}

fn validate_cluster_role(role: &Value, errors: &mut Errors) {
    validate_rules(role, false, errors);
    let (selectors, path) = (&role["aggregationRule"]["clusterRoleSelectors"], Path::new("aggregationRule.clusterRoleSelectors"));
    if !role["aggregationRule"].is_null() && count(selectors) == 0 {
        errors.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (i, one) in list(selectors).iter().enumerate() {
        selector::validate(one, &path.index(i), errors);
        if selector::compile(one).is_err() {
            super::view::invalid_shown(errors, &path.index(i), "null", "invalid label selector.");
        }
    }
}

fn validate_binding(binding: &Value, namespaced: bool, errors: &mut Errors) {
    let (reference, path) = (&binding["roleRef"], Path::new("roleRef"));
    let [group, kind, role] = ["apiGroup", "kind", "name"].map(|field| text(&reference[field]));
    if group != GROUP {
        errors.not_supported(&path.child("apiGroup"), group, &[GROUP]);
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&kind) {
        errors.not_supported(&path.child("kind"), kind, kinds);
    }
    if role.is_empty() {
        errors.required(&path.child("name"), "");
    }
    for wrong in name(role, false) {
        errors.invalid(&path.child("name"), role, &wrong);
    }
    for (i, subject) in list(&binding["subjects"]).iter().enumerate() {
        validate_subject(subject, namespaced, &Path::new("subjects").index(i), errors);
    }
}

fn validate_subject(subject: &Value, namespaced: bool, path: &Path, errors: &mut Errors) {
    let [kind, group, name] = ["kind", "apiGroup", "name"].map(|field| text(&subject[field]));
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                for wrong in names::subdomain(name) {
                    errors.invalid(&path.child("name"), name, &wrong);
                }
            }
            if !group.is_empty() {
                errors.not_supported(&path.child("apiGroup"), group, &[""]);
            }
            if !namespaced && text(&subject["namespace"]).is_empty() {
                errors.required(&path.child("namespace"), "");
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.not_supported(&path.child("apiGroup"), group, &[GROUP]);
            }
        }
        _ => errors.not_supported(&path.child("kind"), kind, &["ServiceAccount", "User", "Group"]),
    }
}

fn validate_reference_change(old: &Value, new: &Value, errors: &mut Errors) {
    let (was, is) = (&old["roleRef"], &new["roleRef"]);
    if was != is {
        // The internal type, which has no JSON names.
        let [group, kind, name] = ["apiGroup", "kind", "name"].map(|field| quote(text(&is[field])));
        let shown = format!("{{\"APIGroup\":{group},\"Kind\":{kind},\"Name\":{name}}}");
        super::view::invalid_shown(errors, &Path::new("roleRef"), &shown, "cannot change roleRef");
    }
}

/// What a user who has some rules may not grant, as the API server words it (`ConfirmNoEscalation`); None when all is covered.
/// The caller lets masters and those with the verb `escalate` (for bindings: `bind`) pass.
pub(crate) fn escalation(user: &crate::access::User, owned: &[Rule], granted: &[Rule]) -> Option<String> {
    let mut uncovered: Vec<Rule> = Vec::new();
    for rule in granted.iter().flat_map(breakdown) {
        if !owned.iter().any(|own| covers(own, &rule)) {
            uncovered.push(rule);
        }
    }
    if uncovered.is_empty() {
        return None;
    }
    let groups: Vec<_> = user.groups.iter().map(|group| quote(group)).collect();
    let mut missing: Vec<_> = compact(&uncovered).iter().map(rule_text).collect();
    missing.sort_unstable();
    Some(format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        groups.join(" "),
        missing.join("\n")
    ))
}

/// One rule per combination of verb, group, resource and name (`BreakdownRule`).
fn breakdown(rule: &Rule) -> Vec<Rule> {
    let mut parts = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let base = Rule {
                    verbs: vec![verb.clone()],
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    ..Rule::default()
                };
                if rule.resource_names.is_empty() {
                    parts.push(base);
                } else {
                    parts.extend(rule.resource_names.iter().map(|n| Rule { resource_names: vec![n.clone()], ..base.clone() }));
                }
            }
        }
    }
    for url in &rule.non_resource_urls {
        for verb in &rule.verbs {
            parts.push(Rule { verbs: vec![verb.clone()], non_resource_urls: vec![url.clone()], ..Rule::default() });
        }
    }
    parts
}

/// Whether the first rule allows everything that the second, a single combination, allows (`ruleCovers`).
fn covers(own: &Rule, wanted: &Rule) -> bool {
    let all =
        |owned: &[String], wanted: &[String]| owned.iter().any(|one| one == "*") || wanted.iter().all(|one| owned.contains(one));
    let resources = all(&own.resources, &wanted.resources)
        || wanted.resources.iter().all(|resource| {
            own.resources.contains(resource)
                || resource.split_once('/').is_some_and(|(_, sub)| own.resources.contains(&format!("*/{sub}")))
        });
    let names = own.resource_names.is_empty()
        || (!wanted.resource_names.is_empty() && wanted.resource_names.iter().all(|n| own.resource_names.contains(n)));
    let urls = wanted.non_resource_urls.iter().all(|url| {
        own.non_resource_urls
            .iter()
            .any(|own| own == "*" || own == url || own.strip_suffix('*').is_some_and(|start| url.starts_with(start)))
    });
    all(&own.verbs, &wanted.verbs) && all(&own.api_groups, &wanted.api_groups) && resources && names && urls
}

/// Rules that differ in their verbs alone are shown as one (`CompactRules`).
fn compact(rules: &[Rule]) -> Vec<Rule> {
    let mut merged: Vec<Rule> = Vec::new();
    for rule in rules {
        let same = merged.iter_mut().find(|other| {
            rule.non_resource_urls.is_empty()
                && other.non_resource_urls.is_empty()
                && other.resource_names == rule.resource_names
                && other.api_groups == rule.api_groups
                && other.resources == rule.resources
        });
        match same {
            Some(other) => other.verbs.extend(rule.verbs.iter().cloned()),
            None => merged.push(rule.clone()),
        }
    }
    merged
}

/// `PolicyRule.CompactString`.
fn rule_text(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let shown = parts.iter().filter(|(_, values)| !values.is_empty());
    let quoted = |values: &[String]| values.iter().map(|value| quote(value)).collect::<Vec<_>>().join(" ");
    let shown = shown.map(|(name, values)| format!("{name}:[{}]", quoted(values)));
    format!("{{{}}}", shown.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::User;

    fn rule(verbs: &[&str], resources: &[&str]) -> Rule {
        let strings = |all: &[&str]| all.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        Rule { verbs: strings(verbs), api_groups: strings(&[""]), resources: strings(resources), ..Rule::default() }
    }

    #[test]
    fn nobody_grants_more_than_they_have() {
        let user = User::new("u", &["g"]);
        let owned = [rule(&["get", "list"], &["pods"])];
        assert_eq!(escalation(&user, &owned, &[rule(&["get"], &["pods"])]), None);
        assert_eq!(
            escalation(&user, &owned, &[rule(&["get", "create", "delete"], &["pods"])]).unwrap(),
            "user \"u\" (groups=[\"g\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"create\" \"delete\"]}"
        );
    }
}

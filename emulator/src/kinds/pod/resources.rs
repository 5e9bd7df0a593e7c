//! Compute resources of containers and pods: their validation, their sums, and the quality of service that they amount to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::names;
use super::super::quantity::Quantity;
use super::super::resources::{is_huge_page, is_overcommit_allowed, validate_container_name, validate_name, validate_quantity};
use super::super::view::{count, entries, list, text};
use crate::field::{Errors, Kind, Path};

/// Whether a pod as a whole can have an amount of it.
pub(super) fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

pub(super) fn is_sidecar(container: &Value) -> bool {
    text(&container["restartPolicy"]) == "Always"
}

fn sum(target: &mut BTreeMap<String, Quantity>, amounts: &BTreeMap<String, Quantity>) {
    for (name, amount) in amounts {
        target.entry(name.clone()).or_insert(Quantity::ZERO).add(amount);
    }
}

fn max(target: &mut BTreeMap<String, Quantity>, amounts: &BTreeMap<String, Quantity>) {
    for (name, amount) in amounts {
        let present = target.entry(name.clone()).or_insert_with(|| amount.clone());
        if *amount > *present {
            *present = amount.clone();
        }
    }
}

/// What the containers of a pod need together (`AggregateContainerRequests`): they all run at once, after the init
/// containers one by one, beside the sidecars started so far. `kind` is `requests` or `limits`.
pub(super) fn aggregate(spec: &Value, kind: &str) -> BTreeMap<String, Quantity> {
    let of = |container: &Value| -> BTreeMap<_, _> {
        entries(&container["resources"][kind]).map(|(name, amount)| (name.to_owned(), Quantity::of(amount))).collect()
    };
    let (mut total, mut sidecars, mut initial) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for container in list(&spec["containers"]) {
        sum(&mut total, &of(container));
    }
    for container in list(&spec["initContainers"]) {
        let mut own = of(container);
        if is_sidecar(container) {
            sum(&mut total, &own);
            sum(&mut sidecars, &own);
            own = sidecars.clone();
        } else {
            sum(&mut own, &sidecars);
        }
        max(&mut initial, &own);
    }
    max(&mut total, &initial);
    total
}

/// `ComputePodQOS`.
pub(crate) fn quality_of_service(spec: &Value) -> &'static str {
    let counted = |amounts: &Value| -> BTreeMap<String, Quantity> {
        entries(amounts)
            .map(|(name, amount)| (name.to_owned(), Quantity::of(amount)))
            .filter(|(name, amount)| matches!(name.as_str(), "cpu" | "memory") && *amount > Quantity::ZERO)
            .collect()
    };
    let (mut requests, mut limits, mut guaranteed) = (BTreeMap::new(), BTreeMap::new(), true);
    let mut take = |requirements: &Value, must_be_limited: bool| {
        sum(&mut requests, &counted(&requirements["requests"]));
        let own = counted(&requirements["limits"]);
        guaranteed &= own.len() == 2 || !must_be_limited;
        sum(&mut limits, &own);
    };
    let pod_level = &spec["resources"];
    if pod_level.is_null() {
        for container in list(&spec["containers"]).iter().chain(list(&spec["initContainers"])) {
            take(&container["resources"], true);
        }
    } else {
        take(pod_level, count(&pod_level["limits"]) > 0);
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// `ValidateContainerResourceRequirements`.
pub(super) fn validate_container(requirements: &Value, claims: &[&str], path: &Path, errors: &mut Errors) {
    validate(requirements, validate_container_name, claims, path, errors);
}

fn validate_pod_level_name(name: &str, path: &Path, errors: &mut Errors) {
    let mut own = Errors::new();
    validate_name(name, path, &mut own);
    if own.is_empty() && !is_pod_level(name) {
        own.not_supported(path, name, &["cpu", "hugepages-", "memory"]);
    }
    errors.extend(own);
}

/// Pages come whole.
fn validate_huge_pages(name: &str, amount: &Quantity, path: &Path, errors: &mut Errors) -> bool {
    let Some(size) = name.strip_prefix("hugepages-") else { return false };
    let size = Quantity::parse(size).map_or(0, |size| size.value());
    if size == 0 || amount.value() % size != 0 {
        errors.invalid(path, amount.to_string(), &format!("{amount} is not positive integer multiple of {name}"));
    }
    true
}

fn validate(
    requirements: &Value,
    validate_name: fn(&str, &Path, &mut Errors),
    claims: &[&str],
    path: &Path,
    errors: &mut Errors,
) {
    let (limits, requests) = (&requirements["limits"], &requirements["requests"]);
    let request_path = path.child("requests");
    let (mut has_compute, mut has_huge_pages) = (false, false);
    for (name, amount) in entries(limits) {
        let path = path.child("limits").key(name);
        validate_name(name, &path, errors);
        validate_quantity(name, amount, &path, errors);
        has_huge_pages |= validate_huge_pages(name, &Quantity::of(amount), &path, errors);
        has_compute |= matches!(name, "cpu" | "memory");
    }
    for (name, amount) in entries(requests) {
        let own_path = request_path.key(name);
        validate_name(name, &own_path, errors);
        validate_quantity(name, amount, &own_path, errors);
        let amount = Quantity::of(amount);
        if limits[name].is_null() {
            if !is_overcommit_allowed(name) {
                errors.required(&path.child("limits"), "Limit must be set for non overcommitable resources");
            }
        } else {
            let limit = Quantity::of(&limits[name]);
            if amount != limit && !is_overcommit_allowed(name) {
                errors.invalid(&request_path, amount.to_string(), &format!("must be equal to {name} limit of {limit}"));
            } else if amount > limit {
                let text = format!("must be less than or equal to {name} limit of {limit}");
                errors.invalid(&request_path, amount.to_string(), &text);
            }
        }
        has_huge_pages |= validate_huge_pages(name, &amount, &own_path, errors);
        has_compute |= matches!(name, "cpu" | "memory");
    }
    if has_huge_pages && !has_compute {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
    validate_claims(list(&requirements["claims"]), claims, &path.child("claims"), errors);
}

/// `validateResourceClaimNames`.
fn validate_claims(claims: &[Value], known: &[&str], path: &Path, errors: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (i, claim) in claims.iter().enumerate() {
        let (name, request, path) = (text(&claim["name"]), text(&claim["request"]), path.index(i));
        if name.is_empty() {
            errors.required(&path, "");
            continue;
        }
        if seen.iter().any(|one| one == name) {
            errors.duplicate(&path, name);
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                for why in names::label(request) {
                    errors.invalid(&path.child("request"), request, &why);
                }
                key = format!("{name}/{request}");
            }
            if seen.contains(&key) {
                errors.duplicate(&path, key.as_str());
            } else if request.is_empty() {
                for _ in seen.iter().filter(|one| one.split_once('/').is_some_and(|(owner, _)| owner == name)) {
                    errors.duplicate(&path, name);
                }
            }
            seen.push(key);
        }
        if !known.contains(&name) {
            let mut sorted = known.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            let all = if sorted.is_empty() { " which is empty".to_owned() } else { format!(": {}", sorted.join(", ")) };
            let text =
                format!("Not found: {}: must be one of the names in pod.spec.resourceClaims{all}", crate::field::quote(name));
            errors.other(Kind::NotFound, &path.to_string(), text);
        }
    }
}

/// `validatePodResources`: the amounts for the pod as a whole.
pub(super) fn validate_pod_level(spec: &Value, claims: &[&str], path: &Path, errors: &mut Errors) {
    let own = &spec["resources"];
    if own.is_null() {
        return;
    }
    let path = path.child("resources");
    if text(&spec["os"]["name"]) == "windows" {
        errors.forbidden(&path, "may not be set for a windows pod");
        return;
    }
    if !own["claims"].is_null() {
        errors.forbidden(&path.child("claims"), "claims may not be set for Resources at pod-level");
    }
    validate(own, validate_pod_level_name, claims, &path, errors);
    for (name, needed) in aggregate(spec, "requests") {
        let given = Quantity::of(&own["requests"][&name]);
        if !own["requests"][&name].is_null() && needed > given {
            let text = format!("must be greater than or equal to aggregate container requests of {needed}");
            errors.invalid(&path.child("requests").key(&name), given.to_string(), &text);
        }
    }
    for (name, needed) in aggregate(spec, "limits").iter().filter(|(name, _)| is_huge_page(name)) {
        let given = Quantity::of(&own["limits"][name]);
        if !own["limits"][name].is_null() && *needed > given {
            let text = format!("must be greater than or equal to aggregate container limits of {needed}");
            errors.invalid(&path.child("limits").key(name), given.to_string(), &text);
        }
    }
    for (i, container) in list(&spec["containers"]).iter().enumerate() {
        for (name, limit) in entries(&container["resources"]["limits"]) {
            let (limit, most) = (Quantity::of(limit), Quantity::of(&own["limits"][name]));
            if !own["limits"][name].is_null() && limit > most {
                let path = path.child("containers").index(i).key(name).child("limits");
                errors.invalid(&path, limit.to_string(), &format!("must be less than or equal to pod limits of {most}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({}), "BestEffort")]
    #[case(json!({"requests": {"cpu": "1"}}), "Burstable")]
    #[case(json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1024Mi"}}), "Guaranteed")]
    #[case(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}), "Burstable")]
    #[case(json!({"requests": {"cpu": "0"}}), "BestEffort")]
    fn qualities(#[case] requirements: Value, #[case] expected: &str) {
        assert_eq!(quality_of_service(&json!({"containers": [{"resources": requirements}]})), expected);
    }

    #[test]
    fn requests_stay_below_limits() {
        let mut errors = Errors::new();
        let requirements = json!({"limits": {"cpu": "1", "foo": "1"}, "requests": {"cpu": "2"}});
        validate_container(&requirements, &[], &Path::new("r"), &mut errors);
        assert_eq!(
            errors.aggregate().unwrap(),
            "[r.limits[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified, \
             r.limits[foo]: Invalid value: \"foo\": must be a standard resource for containers, \
             r.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1]"
        );
    }

    #[test]
    fn init_containers_overlap_only_with_sidecars() {
        let cpu = |n: &str| json!({"requests": {"cpu": n}});
        let spec = json!({
            "containers": [{"resources": cpu("1")}],
            "initContainers": [
                {"resources": cpu("2")},
                {"resources": cpu("1"), "restartPolicy": "Always"},
                {"resources": cpu("3")},
            ],
        });
        assert_eq!(aggregate(&spec, "requests")["cpu"].to_string(), "4");
    }
}

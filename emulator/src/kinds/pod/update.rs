//! What may change in a pod that exists: little of its spec, its status through `…/status`, ephemeral containers and resources
//! through subresources of their own.

use serde_json::Value;

use super::super::view::{count, entries, int, keep, list, put, remove, same, set_generation, text};
use super::super::{diff, internal, ip, meta, names};
use super::{affinity, annotations, drop_disabled, resources, spec_mut};
use crate::field::{Errors, Kind, Path};

/// The next generation when the spec changed.
pub(super) fn bump(old: &Value, new: &mut Value) {
    if !same(&old["spec"], &new["spec"]) {
        let generation = int(&new["metadata"]["generation"]) + 1;
        set_generation(new, generation);
    }
}

/// The new pod's metadata, as an update and as any pod's, and its spec.
fn validate_whole(old: &Value, new: &Value, errors: &mut Errors) {
    meta::validate_update(old, new, errors);
    meta::validate(new, true, names::dns1123_subdomain, errors);
    super::validate_common(new, errors);
}

fn validate_annotations(old: &Value, new: &Value, errors: &mut Errors) {
    let path = Path::new("metadata").child("annotations");
    let [before, after] = [old, new].map(|pod| &pod["metadata"]["annotations"]);
    annotations::validate_update(before, after, &new["spec"], &path, errors);
}

/// `ValidateContainerUpdates`; false when the rest is not to be looked at.
fn validate_containers(old: &Value, new: &Value, path: &Path, errors: &mut Errors) -> bool {
    if count(old) != count(new) {
        errors.forbidden(path, "pod updates may not add or remove containers");
        return false;
    }
    for (i, container) in list(new).iter().enumerate() {
        let (image, path) = (text(&container["image"]), path.index(i).child("image"));
        if image.is_empty() {
            errors.required(&path, "");
        }
        if image.trim() != image {
            errors.invalid(&path, image, "must not have leading or trailing whitespace");
        }
    }
    true
}

/// `ValidatePodUpdate`.
pub(super) fn validate(old: &Value, new: &Value, errors: &mut Errors) {
    validate_whole(old, new, errors);
    validate_annotations(old, new, errors);
    let path = Path::new("spec");
    let (old, new) = (&old["spec"], &new["spec"]);
    for kind in ["containers", "initContainers"] {
        if !validate_containers(&old[kind], &new[kind], &path.child(kind), errors) {
            return;
        }
    }
    let deadline_path = path.child("activeDeadlineSeconds");
    match (old["activeDeadlineSeconds"].as_i64(), new["activeDeadlineSeconds"].as_i64()) {
        (_, Some(after)) if !(0..=i64::from(i32::MAX)).contains(&after) => {
            return errors.invalid(&deadline_path, after, &names::range_error(0, i64::from(i32::MAX)));
        }
        (Some(before), Some(after)) if before < after => {
            return errors.invalid(&deadline_path, after, "must be less than or equal to previous value");
        }
        (Some(_), None) => {
            errors.invalid(&deadline_path, Value::Null, "must not update from a positive integer to nil value");
        }
        _ => {}
    }
    validate_tolerations(old, new, &path.child("tolerations"), errors);
    validate_gates(old, new, &path.child("schedulingGates"), errors);
    if same(old, new) {
        return;
    }
    let mut rest = without_permitted_changes(old, new);
    if count(&old["schedulingGates"]) > 0 {
        let selector_path = path.child("nodeSelector");
        allow_narrower_node_selector(old, &mut rest, &selector_path, errors);
        allow_narrower_node_affinity(old, &mut rest, &path.child("affinity").child("nodeAffinity"), errors);
    }
    if !same(old, &rest) {
        const PERMITTED: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                                 `spec.tolerations` (only additions to existing tolerations),\
                                 `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        let difference = diff::unified(&internal::pretty("PodSpec", old), &internal::pretty("PodSpec", &rest));
        errors.forbidden(&path, &format!("pod updates may not change fields other than {PERMITTED}\n{difference}"));
    }
}

/// `validateOnlyAddedTolerations`.
fn validate_tolerations(old: &Value, new: &Value, path: &Path, errors: &mut Errors) {
    let timeless = |toleration: &Value| {
        let mut toleration = toleration.clone();
        remove(&mut toleration, "tolerationSeconds");
        toleration
    };
    let kept: Vec<_> = list(&new["tolerations"]).iter().map(timeless).collect();
    if list(&old["tolerations"]).iter().any(|one| !kept.contains(&timeless(one))) {
        return errors.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
    }
    affinity::validate_tolerations(&new["tolerations"], path, errors);
}

/// `validateOnlyDeletedSchedulingGates`.
fn validate_gates(old: &Value, new: &Value, path: &Path, errors: &mut Errors) {
    let known = |name: &str| list(&old["schedulingGates"]).iter().any(|gate| text(&gate["name"]) == name);
    for (i, gate) in list(&new["schedulingGates"]).iter().enumerate() {
        let name = text(&gate["name"]);
        if !known(name) {
            let text = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(&path.index(i).child("name"), &text);
        }
    }
}

/// The new spec with everything that may change as it was.
fn without_permitted_changes(old: &Value, new: &Value) -> Value {
    let mut rest = new.clone();
    for kind in ["containers", "initContainers"] {
        let before = list(&old[kind]);
        for (container, before) in super::items(&mut rest, kind).zip(before) {
            keep(before, container, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(old, &mut rest, field);
    }
    if int(&old["terminationGracePeriodSeconds"]) < 0 && int(&rest["terminationGracePeriodSeconds"]) == 1 {
        keep(old, &mut rest, "terminationGracePeriodSeconds");
    }
    rest
}

/// `validateNodeSelectorMutation`: a gated pod's may get more entries.
fn allow_narrower_node_selector(old: &Value, rest: &mut Value, path: &Path, errors: &mut Errors) {
    let after = &rest["nodeSelector"];
    if same(&old["nodeSelector"], after) {
        return;
    }
    if entries(&old["nodeSelector"]).any(|(key, value)| &after[key] != value) {
        let text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.invalid(path, after.clone(), text);
    }
    keep(old, rest, "nodeSelector");
}

/// `validateNodeAffinityMutation`: a gated pod's terms may get more requirements.
fn allow_narrower_node_affinity(old: &Value, rest: &mut Value, path: &Path, errors: &mut Errors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let [before, after] = [old, &*rest].map(|spec| &spec["affinity"]["nodeAffinity"]);
    if same(before, after) {
        return;
    }
    let [before_terms, after_terms] = [before, after].map(|affinity| list(&affinity[REQUIRED]["nodeSelectorTerms"]));
    let terms_path = path.child(REQUIRED).child("nodeSelectorTerms");
    if !before_terms.is_empty() && before_terms.len() != after_terms.len() {
        let text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let shown = internal::invalid("[]NodeSelectorTerm", &after[REQUIRED]["nodeSelectorTerms"], text);
        errors.other(Kind::Invalid, &terms_path.to_string(), shown);
    } else {
        for (i, (before, after)) in before_terms.iter().zip(after_terms).enumerate() {
            if !only_adds(before, after) {
                let text = "only additions are allowed (no mutations or deletions)";
                let shown = internal::invalid("NodeSelectorTerm", after, text);
                errors.other(Kind::Invalid, &terms_path.index(i).to_string(), shown);
            }
        }
    }
    let before = before.clone();
    let others = ["podAffinity", "podAntiAffinity"];
    let has_others = others.iter().any(|kind| !rest["affinity"][*kind].is_null());
    if old["affinity"].is_null() && !has_others {
        return remove(rest, "affinity");
    }
    if let Some(affinity) = super::view::object(rest, "affinity") {
        affinity.remove("nodeAffinity");
        if !before.is_null() {
            affinity.insert("nodeAffinity".to_owned(), before);
        }
    }
}

fn only_adds(before: &Value, after: &Value) -> bool {
    let kinds = ["matchExpressions", "matchFields"];
    if kinds.iter().all(|kind| count(&before[*kind]) == 0) && kinds.iter().any(|kind| count(&after[*kind]) > 0) {
        return false;
    }
    kinds.iter().all(|kind| {
        let (before, after) = (list(&before[*kind]), list(&after[*kind]));
        after.len() >= before.len() && before.iter().zip(after).all(|(a, b)| same(a, b))
    })
}

/// `podStatusStrategy.PrepareForUpdate`.
pub(super) fn prepare_status(old: &Value, new: &mut Value) {
    keep(old, new, "spec");
    if let Some(metadata) = new.get_mut("metadata") {
        keep(&old["metadata"], metadata, "ownerReferences");
    }
    let before = &old["status"];
    let Some(status) = new.get_mut("status") else { return };
    if text(&status["qosClass"]).is_empty() {
        keep(before, status, "qosClass");
    }
    if int(&status["observedGeneration"]) == 0 {
        keep(before, status, "observedGeneration");
    }
    for condition in super::items(status, "conditions") {
        if int(&condition["observedGeneration"]) != 0 {
            continue;
        }
        let same_type = |one: &&Value| one["type"] == condition["type"];
        if let Some(present) = list(&before["conditions"]).iter().find(same_type) {
            keep(present, condition, "observedGeneration");
        }
    }
    for kind in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for container in super::items(status, kind) {
            remove(container, "allocatedResourcesStatus");
        }
    }
}

/// `ValidatePodStatusUpdate`.
pub(super) fn validate_status(old: &Value, new: &Value, errors: &mut Errors) {
    meta::validate_update(old, new, errors);
    validate_annotations(old, new, errors);
    let path = Path::new("status");
    let (spec, before, after) = (&old["spec"], &old["status"], &new["status"]);
    for (i, condition) in list(&after["conditions"]).iter().enumerate() {
        let (kind, path) = (text(&condition["type"]), path.child("conditions").index(i));
        if int(&condition["observedGeneration"]) < 0 {
            let text = "must be a non-negative integer";
            errors.invalid(&path.child("observedGeneration"), int(&condition["observedGeneration"]), text);
        }
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            names::validate_label_name(kind, &path.child("Type"), errors);
        }
    }
    let nominated = text(&after["nominatedNodeName"]);
    if nominated != text(&before["nominatedNodeName"]) && !nominated.is_empty() {
        for why in names::subdomain(nominated) {
            errors.invalid(&path.child("nominatedNodeName"), nominated, &why);
        }
    }
    if int(&after["observedGeneration"]) < 0 {
        let text = "must be a non-negative integer";
        errors.invalid(&path.child("observedGeneration"), int(&after["observedGeneration"]), text);
    }
    if after["qosClass"] != before["qosClass"] {
        errors.invalid(&path.child("qosClass"), text(&after["qosClass"]), "field is immutable");
    }
    for kind in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        validate_transitions(spec, &before[kind], &after[kind], kind, &path.child(kind), errors);
    }
    validate_claims(after, spec, &path.child("resourceClaimStatuses"), errors);
    validate_addresses(after, "podIPs", &path, errors);
    let (host, hosts) = (text(&after["hostIP"]), list(&after["hostIPs"]));
    if let Some(first) = hosts.first().filter(|first| text(&first["ip"]) != host) {
        let path = path.child("hostIPs").index(0).child("ip");
        errors.invalid(&path, text(&first["ip"]), "must be equal to `hostIP`");
    }
    validate_addresses(after, "hostIPs", &path, errors);
}

/// A container that terminated for good does not run again.
fn validate_transitions(spec: &Value, before: &Value, after: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let policy = text(&spec["restartPolicy"]);
    for (i, old) in list(before).iter().enumerate() {
        let ended = &old["state"]["terminated"];
        if ended.is_null() {
            continue;
        }
        let restarts = policy == "Always" || (policy == "OnFailure" && int(&ended["exitCode"]) != 0);
        let is_sidecar = list(&spec["initContainers"]).iter().any(|one| one["name"] == old["name"] && resources::is_sidecar(one));
        if kind != "ephemeralContainerStatuses" && (restarts || (kind == "initContainerStatuses" && is_sidecar)) {
            continue;
        }
        let runs_again = |new: &&Value| new["name"] == old["name"] && new["state"]["terminated"].is_null();
        for _ in list(after).iter().filter(runs_again) {
            errors.forbidden(&path.index(i).child("state"), "may not be transitioned to non-terminated state");
        }
    }
}

fn validate_claims(status: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, claim) in list(&status["resourceClaimStatuses"]).iter().enumerate() {
        let (name, path) = (text(&claim["name"]), path.index(i).child("name"));
        if list(&spec["resourceClaims"]).iter().all(|one| text(&one["name"]) != name) {
            errors.invalid(&path, name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if seen.contains(&name) {
            errors.duplicate(&path, name);
        }
        seen.push(name);
        if let Some(claim) = claim["resourceClaimName"].as_str() {
            for why in names::subdomain(claim) {
                errors.invalid(&path, claim, &why);
            }
        }
    }
}

fn validate_addresses(status: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let (addresses, path) = (list(&status[field]), path.child(field));
    let parsed: Vec<_> = addresses
        .iter()
        .enumerate()
        .map(|(i, address)| ip::validate_legacy(text(&address["ip"]), &path.index(i), errors))
        .collect();
    let is_dual = |a: &Option<std::net::IpAddr>, b: &Option<std::net::IpAddr>| match (a, b) {
        (Some(a), Some(b)) => a.is_ipv4() != b.is_ipv4(),
        _ => false,
    };
    let is_good = match &parsed[..] {
        [] | [_] => true,
        [a, b] => is_dual(a, b),
        _ => false,
    };
    if !is_good {
        let of = if field == "podIPs" { "[]PodIP" } else { "[]HostIP" };
        let text = "may specify no more than one IP for each IP family";
        errors.other(Kind::Invalid, &path.to_string(), internal::invalid(of, &status[field], text));
    }
}

/// The metadata that a write of a subresource does not change (`ResetObjectMetaForStatus`).
fn keep_metadata(old: &Value, new: &mut Value) {
    let Some(metadata) = new.get_mut("metadata") else { return };
    for field in ["deletionTimestamp", "generation", "selfLink", "labels", "annotations", "finalizers", "ownerReferences"] {
        keep(&old["metadata"], metadata, field);
    }
}

/// `…/ephemeralcontainers`: nothing else changes.
pub(crate) fn prepare_ephemeral_containers(old: &Value, new: &mut Value) {
    let added = new["spec"]["ephemeralContainers"].clone();
    keep(old, new, "spec");
    keep(old, new, "status");
    keep_metadata(old, new);
    if let Some(spec) = spec_mut(new) {
        put(spec, "ephemeralContainers", added);
    }
    drop_disabled(spec_mut(new), &old["spec"]);
    bump(old, new);
}

/// `ValidatePodEphemeralContainersUpdate`.
pub(crate) fn validate_ephemeral_containers_update(old: &Value, new: &Value, errors: &mut Errors) {
    if !old["metadata"]["annotations"][annotations::MIRROR].is_null() {
        return errors.forbidden(&Path::root(), "static pods do not support ephemeral containers");
    }
    validate_whole(old, new, errors);
    validate_annotations(old, new, errors);
    let path = Path::new("spec").child("ephemeralContainers");
    for container in list(&old["spec"]["ephemeralContainers"]) {
        let name = text(&container["name"]);
        let quoted = crate::field::quote(name);
        let after = list(&new["spec"]["ephemeralContainers"]).iter().rfind(|one| text(&one["name"]) == name);
        match after {
            None => errors.forbidden(&path, &format!("existing ephemeral containers {quoted} may not be removed\n")),
            Some(after) if !same(container, after) => {
                let [before, after] = [container, after].map(|one| internal::pretty("EphemeralContainer", one));
                let difference = diff::unified(&before, &after);
                let text = format!("existing ephemeral containers {quoted} may not be changed\n{difference}");
                errors.forbidden(&path, &text);
            }
            Some(_) => {}
        }
    }
}

/// `…/resize`: only resources of containers that stay the same ones change.
pub(crate) fn prepare_resize(old: &Value, new: &mut Value) {
    let kinds = ["containers", "initContainers"];
    if kinds.iter().all(|kind| count(&old["spec"][*kind]) == count(&new["spec"][*kind])) {
        let resized = kinds.map(|kind| resized_containers(&old["spec"][kind], &new["spec"][kind]));
        keep(old, new, "spec");
        keep(old, new, "status");
        keep_metadata(old, new);
        if let Some(spec) = spec_mut(new) {
            for (kind, containers) in kinds.into_iter().zip(resized) {
                put(spec, kind, containers);
            }
        }
    }
    drop_disabled(spec_mut(new), &old["spec"]);
    bump(old, new);
}

fn resized_containers(old: &Value, new: &Value) -> Value {
    if list(old).iter().zip(list(new)).any(|(old, new)| old["name"] != new["name"]) {
        return new.clone();
    }
    let mut resized = old.clone();
    for (container, new) in resized.as_array_mut().into_iter().flatten().zip(list(new)) {
        keep(new, container, "resources");
        keep(new, container, "resizePolicy");
    }
    resized
}

/// `ValidatePodResize`.
pub(crate) fn validate_resize(old: &Value, new: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let has_pod_level =
        |pod: &Value| count(&pod["spec"]["resources"]["requests"]) + count(&pod["spec"]["resources"]["limits"]) > 0;
    let refused = if has_pod_level(old) || has_pod_level(new) {
        Some("pods with pod-level resources cannot be resized")
    } else if !old["metadata"]["annotations"][annotations::MIRROR].is_null() {
        Some("static pods cannot be resized")
    } else if text(&old["spec"]["os"]["name"]) == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(why) = refused {
        return errors.forbidden(&Path::root(), why);
    }
    validate_whole(old, new, errors);
    let quality = text(&old["status"]["qosClass"]);
    let before = if quality.is_empty() { resources::quality_of_service(&old["spec"]) } else { quality };
    if before != resources::quality_of_service(&new["spec"]) {
        let shown = text(&new["status"]["qosClass"]);
        errors.invalid(&path, shown, "Pod QOS Class may not change as a result of resizing");
    }
    let running = list(&old["status"]["containerStatuses"]).iter().find(|one| !one["state"]["running"].is_null());
    if running.is_some_and(|one| one["resources"].is_null()) {
        errors.forbidden(&path, "Pod running on node without support for resize");
    }
    if !validate_order(old, new, &path, errors) {
        return;
    }
    for kind in ["initContainers", "containers"] {
        for (i, (old, new)) in list(&old["spec"][kind]).iter().zip(list(&new["spec"][kind])).enumerate() {
            if kind == "initContainers" && !resources::is_sidecar(old) {
                continue;
            }
            let path = path.child(kind).index(i).child("resources");
            for (field, what) in [("requests", "requests"), ("limits", "limits")] {
                let [before, after] = [old, new].map(|one| &one["resources"][field]);
                if entries(before).any(|(name, _)| after[name].is_null()) {
                    errors.forbidden(&path.child(field), &format!("resource {what} cannot be removed"));
                }
            }
        }
    }
    let mut rest = new["spec"].clone();
    for kind in ["containers", "initContainers"] {
        for (old, container) in list(&old["spec"][kind]).iter().zip(super::items(&mut rest, kind)) {
            let is_plain_init = kind == "initContainers" && !resources::is_sidecar(container);
            if !is_plain_init {
                without_cpu_and_memory(old, container);
            }
            if !same(old, container) {
                let why = match (kind, is_plain_init) {
                    ("containers", _) => "only cpu and memory resources are mutable",
                    (_, true) => "resources for non-sidecar init containers are immutable",
                    (_, false) => "only cpu and memory resources for sidecar containers are mutable",
                };
                errors.forbidden(&path, why);
            }
        }
    }
    if errors.is_empty() && !same(&old["spec"], &rest) {
        errors.forbidden(&path, "only cpu and memory resources are mutable");
    }
}

fn validate_order(old: &Value, new: &Value, path: &Path, errors: &mut Errors) -> bool {
    let mut is_good = true;
    for kind in ["containers", "initContainers"] {
        let (old, new, path) = (list(&old["spec"][kind]), list(&new["spec"][kind]), path.child(kind));
        if old.len() != new.len() {
            is_good = false;
            errors.forbidden(&path, &format!("{kind} may not be added or removed on resize"));
            continue;
        }
        for (i, _) in old.iter().zip(new).enumerate().filter(|(_, (old, new))| old["name"] != new["name"]) {
            is_good = false;
            errors.forbidden(&path.index(i).child("name"), &format!("{kind} may not be renamed or reordered on resize"));
        }
    }
    is_good
}

/// `dropCPUMemoryResourcesFromContainer`.
fn without_cpu_and_memory(old: &Value, container: &mut Value) {
    let Some(own) = container.get_mut("resources") else { return };
    remove(own, "claims");
    for kind in ["limits", "requests"] {
        let before = &old["resources"][kind];
        if before.is_null() {
            remove(own, kind);
        } else if let Some(amounts) = own.get_mut(kind) {
            keep(before, amounts, "cpu");
            keep(before, amounts, "memory");
        } else {
            put(own, kind, before.clone());
        }
    }
}

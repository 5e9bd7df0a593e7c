//! Defaults of pods and pod templates (`pkg/apis/core/v1/defaults.go`, in the order of `zz_generated.defaults.go`).

use serde_json::{Value, json};

use super::super::resources;
use super::super::view::{count, entries, fill, fill_text, flag, int, items, object, put, remove, text};
use super::image;
use super::resources as compute;

/// `SetObjectDefaults_Pod`.
pub(crate) fn pod(pod: &mut Value) {
    object(pod, "spec");
    if let Some(own) = pod.get_mut("spec") {
        pod_only(own);
        spec(own);
        // Done where a pod is converted, and not in templates.
        if int(&own["terminationGracePeriodSeconds"]) < 0 {
            put(own, "terminationGracePeriodSeconds", 1.into());
        }
    }
    let Some(status) = pod.get_mut("status") else { return };
    for kind in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        for container in items(status, kind) {
            resources::round(container.get_mut("allocatedResources"));
            requirements(container);
        }
    }
}

/// `SetDefaults_Pod`: what a pod gets and a template does not.
fn pod_only(spec: &mut Value) {
    for kind in ["containers", "initContainers"] {
        for container in items(spec, kind) {
            requests_from_limits(container);
        }
    }
    pod_level_resources(spec);
    fill(spec, "enableServiceLinks", true);
    if flag(&spec["hostNetwork"]) {
        for kind in ["containers", "initContainers"] {
            for port in items(spec, kind).flat_map(|container| items(container, "ports")) {
                let number = int(&port["containerPort"]);
                if int(&port["hostPort"]) == 0 && number != 0 {
                    remove(port, "hostPort");
                    fill(port, "hostPort", number);
                }
            }
        }
    }
}

fn requests_from_limits(container: &mut Value) {
    let limits = container["resources"]["limits"].clone();
    if count(&limits) == 0 {
        return;
    }
    let Some(requirements) = container.get_mut("resources") else { return };
    let Some(requests) = object(requirements, "requests") else { return };
    for (name, limit) in entries(&limits) {
        requests.entry(name).or_insert_with(|| limit.clone());
    }
}

/// `defaultHugePagePodLimits` and `defaultPodRequests`.
fn pod_level_resources(spec: &mut Value) {
    if count(&spec["resources"]["limits"]) + count(&spec["resources"]["requests"]) == 0 {
        return;
    }
    let limits = compute::aggregate(spec, "limits");
    let requests = compute::aggregate(spec, "requests");
    let Some(own) = spec.get_mut("resources") else { return };
    let huge_pages = limits.iter().filter(|(name, _)| resources::is_huge_page(name) && own["requests"][*name].is_null());
    let missing: Vec<_> = huge_pages.map(|(name, limit)| (name.clone(), limit.to_string())).collect();
    if !missing.is_empty()
        && let Some(limits) = object(own, "limits")
    {
        for (name, limit) in missing {
            limits.entry(name).or_insert_with(|| limit.into());
        }
    }
    let limits = own["limits"].clone();
    if count(&limits) == 0 {
        return;
    }
    let Some(own_requests) = object(own, "requests") else { return };
    for (name, request) in &requests {
        if compute::is_pod_level(name) && resources::is_overcommit_allowed(name) {
            own_requests.entry(name.as_str()).or_insert_with(|| request.to_string().into());
        }
    }
    for (name, limit) in entries(&limits).filter(|(name, _)| compute::is_pod_level(name)) {
        own_requests.entry(name).or_insert_with(|| limit.clone());
    }
}

/// `SetObjectDefaults_PodTemplate`'s part: the defaults of `PodTemplateSpec.spec`.
pub(crate) fn template(template: &mut Value) {
    object(template, "spec");
    if let Some(own) = template.get_mut("spec") {
        spec(own);
    }
}

fn spec(spec: &mut Value) {
    service_account(spec);
    fill_text(spec, "dnsPolicy", "ClusterFirst");
    fill_text(spec, "restartPolicy", "Always");
    fill(spec, "securityContext", json!({}));
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill_text(spec, "schedulerName", "default-scheduler");
    for one in items(spec, "volumes") {
        volume(one);
    }
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for one in items(spec, kind) {
            container(one);
        }
    }
    resources::round(spec.get_mut("overhead"));
    requirements(spec);
}

/// Rounds the amounts of `resources`.
/// The account goes by its old name as well (`Convert_core_PodSpec_To_v1_PodSpec`).
fn service_account(spec: &mut Value) {
    let name = ["serviceAccountName", "serviceAccount"].map(|field| text(&spec[field])).into_iter().find(|name| !name.is_empty());
    if let Some(name) = name.map(str::to_owned) {
        put(spec, "serviceAccountName", name.as_str().into());
        put(spec, "serviceAccount", name.into());
    }
}

fn requirements(owner: &mut Value) {
    if let Some(own) = owner.get_mut("resources") {
        resources::round(own.get_mut("limits"));
        resources::round(own.get_mut("requests"));
    }
}

fn volume(volume: &mut Value) {
    let has_source = entries(volume).any(|(key, value)| key != "name" && !value.is_null());
    if !has_source {
        fill(volume, "emptyDir", json!({}));
    }
    let Some(sources) = volume.as_object_mut() else { return };
    for (kind, source) in sources {
        match kind.as_str() {
            "hostPath" => fill(source, "type", ""),
            "secret" | "configMap" => fill(source, "defaultMode", 0o644),
            "downwardAPI" => {
                fill(source, "defaultMode", 0o644);
                downward_api(source);
            }
            "projected" => {
                fill(source, "defaultMode", 0o644);
                for projection in items(source, "sources") {
                    if let Some(own) = projection.get_mut("downwardAPI") {
                        downward_api(own);
                    }
                    if let Some(token) = projection.get_mut("serviceAccountToken") {
                        fill(token, "expirationSeconds", 3600);
                    }
                }
            }
            "iscsi" => fill_text(source, "iscsiInterface", "default"),
            "rbd" => {
                fill_text(source, "pool", "rbd");
                fill_text(source, "user", "admin");
                fill_text(source, "keyring", "/etc/ceph/keyring");
            }
            "azureDisk" => {
                fill(source, "cachingMode", "ReadWrite");
                fill(source, "fsType", "ext4");
                fill(source, "readOnly", false);
                fill(source, "kind", "Shared");
            }
            "scaleIO" => {
                fill_text(source, "storageMode", "ThinProvisioned");
                fill_text(source, "fsType", "xfs");
            }
            "ephemeral" => {
                if let Some(claim) = source.get_mut("volumeClaimTemplate").and_then(|template| template.get_mut("spec")) {
                    fill(claim, "volumeMode", "Filesystem");
                    requirements(claim);
                }
            }
            _ => {}
        }
    }
}

fn downward_api(source: &mut Value) {
    for item in items(source, "items") {
        field_ref(item);
    }
}

/// `SetDefaults_ObjectFieldSelector`.
fn field_ref(owner: &mut Value) {
    if let Some(selector) = owner.get_mut("fieldRef") {
        fill_text(selector, "apiVersion", "v1");
    }
}

fn container(container: &mut Value) {
    let policy = if image::tag(text(&container["image"])) == "latest" { "Always" } else { "IfNotPresent" };
    fill_text(container, "imagePullPolicy", policy);
    fill_text(container, "terminationMessagePath", "/dev/termination-log");
    fill_text(container, "terminationMessagePolicy", "File");
    for port in items(container, "ports") {
        fill_text(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if let Some(source) = variable.get_mut("valueFrom") {
            field_ref(source);
            if let Some(file) = source.get_mut("fileKeyRef") {
                fill(file, "optional", false);
            }
        }
    }
    requirements(container);
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(one) = container.get_mut(kind) {
            probe(one);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = container.get_mut("lifecycle").and_then(|lifecycle| lifecycle.get_mut(hook)) {
            http_get(handler);
        }
    }
}

fn probe(probe: &mut Value) {
    for (key, default) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
        if int(&probe[key]) == 0 {
            remove(probe, key);
            fill(probe, key, default);
        }
    }
    http_get(probe);
    if let Some(grpc) = probe.get_mut("grpc") {
        fill(grpc, "service", "");
    }
}

fn http_get(handler: &mut Value) {
    if let Some(action) = handler.get_mut("httpGet") {
        fill_text(action, "path", "/");
        fill_text(action, "scheme", "HTTP");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_pod() {
        let mut object = json!({"spec": {
            "containers": [{
                "name": "a", "image": "nginx", "resources": {"limits": {"cpu": "1"}},
                "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}},
            }],
            "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}],
        }});
        pod(&mut object);
        assert_eq!(
            object["spec"],
            json!({
                "containers": [{
                    "name": "a", "image": "nginx", "imagePullPolicy": "Always",
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "livenessProbe": {
                        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                    },
                }],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}}],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
                "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler", "enableServiceLinks": true,
            })
        );
    }

    #[test]
    fn a_template_has_no_service_links() {
        let mut object = json!({"spec": {"containers": [{"name": "a", "image": "b:1", "resources": {"limits": {"cpu": "1"}}}]}});
        template(&mut object);
        assert_eq!(object["spec"]["enableServiceLinks"], Value::Null);
        assert_eq!(object["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "1"}}));
        assert_eq!(object["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    }
}

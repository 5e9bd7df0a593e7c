//! ServiceAccount: a pod runs as one, gets its token and its pull secrets.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Attributes, Objects, Operation};
use crate::field::quote;
use crate::kinds::meta::random_suffix;
use crate::kinds::view::{count, items, list, object, put, text};
use crate::status::Refusal;

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_VOLUME: &str = "kube-api-access-";
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

fn is_mirror(pod: &Value) -> bool {
    pod["metadata"]["annotations"].get(MIRROR).is_some()
}

fn account(attributes: &Attributes, name: &str, objects: &dyn Objects) -> Result<Arc<Value>, Refusal> {
    let namespace = &attributes.namespace;
    objects.get("", "serviceaccounts", namespace, name).ok_or_else(|| {
        let name_quoted = quote(name);
        attributes
            .forbidden(&format!("error looking up service account {namespace}/{name}: serviceaccount {name_quoted} not found"))
    })
}

pub(super) fn mutate(attributes: &mut Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    if !attributes.is("", "pods") || attributes.operation != Operation::Create || is_mirror(&attributes.object) {
        return Ok(());
    }
    let given = text(&attributes.object["spec"]["serviceAccountName"]);
    let name = if given.is_empty() { "default" } else { given }.to_owned();
    let account = account(attributes, &name, objects)?;
    let pod = &mut attributes.object;
    let automount = [&pod["spec"], &*account].map(|o| o["automountServiceAccountToken"].as_bool());
    let automount = automount.into_iter().flatten().next().unwrap_or(true);
    let Some(spec) = object(pod, "spec") else { return Ok(()) };
    spec.insert("serviceAccountName".into(), name.clone().into());
    // The field's old name, which the API keeps in step.
    spec.insert("serviceAccount".into(), name.into());
    if automount {
        mount_token(pod);
    }
    let secrets: Vec<_> = list(&account["imagePullSecrets"]).iter().map(|s| json!({"name": s["name"]})).collect();
    if let Some(spec) = pod.get_mut("spec")
        && count(&spec["imagePullSecrets"]) == 0
        && !secrets.is_empty()
    {
        put(spec, "imagePullSecrets", secrets.into());
    }
    Ok(())
}

fn mount_token(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec") else { return };
    let present = list(&spec["volumes"]).iter().map(|v| text(&v["name"])).find(|name| name.starts_with(TOKEN_VOLUME));
    let had = present.is_some();
    let name = present.map_or_else(|| format!("{TOKEN_VOLUME}{}", random_suffix(5)), str::to_owned);
    let mut needed = false;
    for field in ["initContainers", "containers"] {
        for container in items(spec, field) {
            if list(&container["volumeMounts"]).iter().any(|mount| text(&mount["mountPath"]) == TOKEN_PATH) {
                continue;
            }
            needed = true;
            let Value::Object(container) = container else { continue };
            if let Value::Array(mounts) = container.entry("volumeMounts").or_insert_with(|| json!([])) {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": TOKEN_PATH}));
            }
        }
    }
    if needed
        && !had
        && let Value::Object(spec) = spec
        && let Value::Array(volumes) = spec.entry("volumes").or_insert_with(|| json!([]))
    {
        volumes.push(json!({
            "name": name,
            "projected": {
                "defaultMode": 0o644,
                "sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                    ]}},
                ],
            },
        }));
    }
}

pub(super) fn validate(attributes: &Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    let ephemeral = attributes.subresource == "ephemeralcontainers" && attributes.operation == Operation::Update;
    let create = attributes.is("", "pods") && attributes.operation == Operation::Create;
    if !attributes.group.is_empty() || attributes.resource != "pods" || !(create || ephemeral) {
        return Ok(());
    }
    let pod = &attributes.object;
    let name = text(&pod["spec"]["serviceAccountName"]);
    if create && is_mirror(pod) {
        return validate_mirror(attributes);
    }
    if name.is_empty() {
        let pod = text(&pod["metadata"]["name"]);
        return Err(attributes.forbidden(&format!("no service account specified for pod {}/{pod}", attributes.namespace)));
    }
    let account = account(attributes, name, objects)?;
    let enforce = text(&account["metadata"]["annotations"][ENFORCE_MOUNTABLE]);
    if matches!(enforce, "1" | "t" | "T" | "true" | "TRUE" | "True")
        && let Some(why) = unmountable(pod, &account, ephemeral)
    {
        return Err(attributes.forbidden(&why));
    }
    Ok(())
}

fn validate_mirror(attributes: &Attributes) -> Result<(), Refusal> {
    let spec = &attributes.object["spec"];
    if !text(&spec["serviceAccountName"]).is_empty() {
        return Err(attributes.forbidden("a mirror pod may not reference service accounts"));
    }
    if list(&spec["volumes"]).iter().any(|volume| !volume["secret"].is_null()) || count(&spec["imagePullSecrets"]) > 0 {
        return Err(attributes.forbidden("a mirror pod may not reference secrets"));
    }
    let tokens = |volume: &Value| list(&volume["projected"]["sources"]).iter().any(|s| !s["serviceAccountToken"].is_null());
    if list(&spec["volumes"]).iter().any(tokens) {
        return Err(attributes.forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

/// A secret that the pod uses and its account does not name, when the account insists.
fn unmountable(pod: &Value, account: &Value, ephemeral: bool) -> Option<String> {
    let names = |field: &str| list(&account[field]).iter().map(|s| text(&s["name"])).collect::<BTreeSet<_>>();
    let (secrets, name) = (names("secrets"), text(&account["metadata"]["name"]));
    let ends = format!("is not allowed because service account {name} does not reference that secret");
    let spec = &pod["spec"];
    if !ephemeral {
        let volumes = list(&spec["volumes"]).iter().filter(|v| !v["secret"].is_null());
        if let Some(secret) = volumes.map(|v| text(&v["secret"]["secretName"])).find(|s| !secrets.contains(s)) {
            return Some(format!("volume with secret.secretName=\"{secret}\" {ends}"));
        }
    }
    let kinds: &[(&str, &str)] = if ephemeral {
        &[("ephemeralContainers", "ephemeral container")]
    } else {
        &[("initContainers", "init container"), ("containers", "container")]
    };
    for (field, what) in kinds {
        for container in list(&spec[*field]) {
            let container_name = text(&container["name"]);
            for variable in list(&container["env"]) {
                let secret = &variable["valueFrom"]["secretKeyRef"];
                if !secret.is_null() && !secrets.contains(text(&secret["name"])) {
                    return Some(format!(
                        "{what} {container_name} with envVar {} referencing secret.secretName=\"{}\" {ends}",
                        text(&variable["name"]),
                        text(&secret["name"])
                    ));
                }
            }
            for source in list(&container["envFrom"]) {
                let secret = &source["secretRef"];
                if !secret.is_null() && !secrets.contains(text(&secret["name"])) {
                    let secret = text(&secret["name"]);
                    return Some(format!(
                        "{what} {container_name} with envFrom referencing secret.secretName=\"{secret}\" {ends}"
                    ));
                }
            }
        }
    }
    if ephemeral {
        return None;
    }
    let pulls = names("imagePullSecrets");
    let mut given = list(&spec["imagePullSecrets"]).iter().map(|s| text(&s["name"])).enumerate();
    given.find(|(_, secret)| !pulls.contains(secret)).map(|(i, secret)| {
        format!(
            "imagePullSecrets[{i}].name=\"{secret}\" is not allowed because service account {name} does not reference that \
             imagePullSecret"
        )
    })
}

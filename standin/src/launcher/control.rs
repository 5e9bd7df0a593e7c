//! `control.json`: what the DataController is created from.
//!
//! The profile's template, then the images and the storage class of `.test.env`, then `patch.json`, which may
//! say otherwise; last what must be as `.test.env` says it, since the next launch compares it.

use serde_json::{Value, json};

use super::{names::Names, settings::Settings};
use crate::{
    arc::{components::CONTROLLER_PORT, data_controller::DataController},
    control_patch::{self, Operation, PatchError},
};

/// Why there is no `control.json`.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// `patch.json` does not fit.
    #[error("patch.json cannot be applied to control.json: {0}")]
    Patch(#[from] PatchError),
    /// What came of it is no DataController.
    #[error("control.json, patched, is no DataController: {0}")]
    NotOne(#[from] serde_json::Error),
}

/// The DataController as the launcher creates it.
///
/// # Errors
/// [`ControlError`].
pub(super) fn document(settings: &Settings, names: &Names, patch: &[Operation]) -> Result<Value, ControlError> {
    let mut document = template();
    let docker = &settings.docker;
    for (field, value) in [
        ("registry", &docker.registry),
        ("repository", &docker.repository),
        ("imageTag", &docker.image_tag),
        ("imagePullPolicy", &docker.image_pull_policy),
    ] {
        if let Some(value) = value {
            document["spec"]["docker"][field] = json!(value);
        }
    }
    if let Some(class) = &settings.storage_class {
        document["spec"]["storage"]["data"]["className"] = json!(class);
        document["spec"]["storage"]["logs"]["className"] = json!(class);
    }
    control_patch::apply(&mut document, patch)?;
    let last = json!({
        "metadata": {"name": names.data_controller, "namespace": names.namespace},
        "spec": {
            "infrastructure": settings.infrastructure,
            "settings": {
                "azure": {
                    "connectionMode": settings.connection,
                    "location": settings.azure.location,
                    "resourceGroup": settings.azure.resource_group,
                    "subscription": settings.azure.subscription,
                },
                "controller": {"displayName": names.data_controller},
            },
        },
    });
    merge(&mut document, last);
    serde_json::from_value::<DataController>(document.clone())?;
    Ok(document)
}

/// What the stand-in starts from, whatever `CONTROLLER_PROFILE` says: K3s is near enough to Microsoft's kubeadm profile.
fn template() -> Value {
    json!({
        "apiVersion": "arcdata.microsoft.com/v5",
        "kind": "DataController",
        "metadata": {},
        "spec": {
            "credentials": {"dockerRegistry": "arc-private-registry", "serviceAccount": "sa-arc-controller"},
            "docker": {
                "registry": "mcr.microsoft.com", "repository": "arcdata", "imageTag": "standin", "imagePullPolicy": "Always",
            },
            "infrastructure": "other",
            "security": {"allowDumps": true, "allowNodeMetricsCollection": true, "allowPodMetricsCollection": true},
            "services": [{"name": "controller", "port": CONTROLLER_PORT, "serviceType": "NodePort"}],
            "settings": {
                "azure": {},
                "controller": {"enableBilling": true, "logs.rotation.days": "7", "logs.rotation.size": "5000"},
            },
            "storage": {
                "data": {"accessMode": "ReadWriteOnce", "size": "15Gi"},
                "logs": {"accessMode": "ReadWriteOnce", "size": "10Gi"},
            },
        },
    })
}

/// Puts `values` into `document`, object by object.
fn merge(document: &mut Value, values: Value) {
    match (document, values) {
        (Value::Object(document), Value::Object(values)) => {
            for (name, value) in values {
                merge(document.entry(name).or_insert(Value::Null), value);
            }
        }
        (document, value) => *document = value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::settings::tests::{USUAL, assignments};

    fn names() -> Names {
        Names { connected_cluster: "cc1".into(), data_controller: "dc1".into(), namespace: "ns1".into() }
    }

    fn made(more: &[(&str, &str)], patch: &str) -> Result<Value, ControlError> {
        let settings = Settings::read(&assignments(&[&USUAL, more].concat())).unwrap();
        document(&settings, &names(), &control_patch::parse(patch).unwrap())
    }

    #[test]
    fn without_a_patch_it_is_the_template_with_test_envs_values() {
        let document = made(&[("DOCKER_TAG", "v1.34.0_2024-10-08")], r#"{"patch": []}"#).unwrap();
        let spec = &document["spec"];
        assert_eq!(document["metadata"], json!({"name": "dc1", "namespace": "ns1"}));
        assert_eq!(spec["docker"]["imageTag"], "v1.34.0_2024-10-08");
        assert_eq!(spec["storage"]["logs"], json!({"accessMode": "ReadWriteOnce", "className": "local-path", "size": "10Gi"}));
        assert_eq!(
            spec["settings"]["azure"],
            json!({"connectionMode": "indirect", "location": "eastus", "resourceGroup": "g", "subscription": "s"})
        );
        assert_eq!(spec["infrastructure"], "onpremises");
        assert_eq!(spec["settings"]["controller"]["enableBilling"], true);
    }

    #[test]
    fn the_patch_has_the_last_word_on_storage_but_not_on_whose_it_is() {
        let patch = r#"{"patch": [
            {"op": "replace", "path": "spec.storage.data.className", "value": "fast"},
            {"op": "add", "path": "spec.monitoring", "value": {"enableOpenTelemetry": true}},
            {"op": "replace", "path": "spec.settings.azure", "value": {"subscription": "another"}}
        ]}"#;
        let spec = made(&[], patch).unwrap()["spec"].clone();
        assert_eq!(spec["storage"]["data"]["className"], "fast");
        assert_eq!(spec["storage"]["logs"]["className"], "local-path");
        assert_eq!(spec["monitoring"]["enableOpenTelemetry"], true);
        assert_eq!(spec["settings"]["azure"]["subscription"], "s");
    }

    #[test]
    fn what_is_no_data_controller_is_refused() {
        let patch = r#"{"patch": [{"op": "remove", "path": "spec.storage"}]}"#;
        assert!(matches!(made(&[], patch), Err(ControlError::NotOne(_))));
    }
}

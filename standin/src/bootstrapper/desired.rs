//! What a DataController asks for, as objects.

use k8s_openapi::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::{
    service,
    workload::{self, Site},
};
use crate::{
    arc::{
        COMPONENTS, Component, DataController,
        components::{CONTROLLER_PORT, Workload},
        data_controller::{Endpoint, ServiceType},
    },
    manifest::Manifest,
};

/// The components that the bootstrapper makes: all but itself.
pub(super) fn components() -> impl Iterator<Item = &'static Component> {
    COMPONENTS.iter().filter(|component| component.workload != Workload::Deployment)
}

/// Everything that a DataController asks for. Claims and Services come before the workloads that need them.
pub(super) fn objects(data_controller: &DataController, image: &str) -> serde_json::Result<Vec<Manifest>> {
    let spec = &data_controller.spec;
    let (namespace, name) = (data_controller.namespace().unwrap_or_default(), data_controller.name_any());
    let site = Site { namespace: &namespace, data_controller: &name, image, service_account: &spec.credentials.service_account };
    let mut objects = Vec::new();
    for component in components() {
        for claim in workload::claims(component, &site, &spec.storage) {
            objects.push(owned(claim, data_controller)?);
        }
        objects.push(owned(service::cluster_ip(component, &site), data_controller)?);
        if let Some(headless) = service::headless(component, &site) {
            objects.push(owned(headless, data_controller)?);
        }
        objects.push(match component.workload {
            Workload::Deployment => continue,
            Workload::ReplicaSet => owned(workload::replica_set(component, &site), data_controller)?,
            Workload::StatefulSet => owned(workload::stateful_set(component, &site, &spec.storage), data_controller)?,
            Workload::DaemonSet => owned(workload::daemon_set(component, &site), data_controller)?,
        });
    }
    if let Some(control) = Component::named("control") {
        objects.push(owned(service::external(control, &site, &controller_endpoint(data_controller)), data_controller)?);
    }
    Ok(objects)
}

/// How the controller is to be reached from outside.
fn controller_endpoint(data_controller: &DataController) -> Endpoint {
    let asked = data_controller.spec.services.iter().find(|endpoint| endpoint.name == "controller");
    asked.cloned().unwrap_or_else(|| Endpoint {
        name: "controller".into(),
        port: CONTROLLER_PORT,
        service_type: ServiceType::NodePort,
    })
}

/// The object, deleted with its DataController.
fn owned<K>(mut object: K, data_controller: &DataController) -> serde_json::Result<Manifest>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize,
{
    object.meta_mut().owner_references = data_controller.controller_owner_ref(&()).map(|owner| vec![owner]);
    Manifest::of(&object)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    pub(in super::super) fn data_controller(storage_class: Value, service_type: &str) -> DataController {
        serde_json::from_value(json!({
            "apiVersion": "arcdata.microsoft.com/v5", "kind": "DataController",
            "metadata": {"name": "dc1", "namespace": "ns1", "uid": "u", "generation": 1},
            "spec": {
                "credentials": {"serviceAccount": "sa-arc-controller"},
                "docker": {"registry": "r", "repository": "p", "imageTag": "t", "imagePullPolicy": "Always"},
                "infrastructure": "other",
                "services": [{"name": "controller", "port": 30080, "serviceType": service_type}],
                "settings": {
                    "azure": {"connectionMode": "indirect", "location": "l", "resourceGroup": "g", "subscription": "s"},
                    "controller": {"displayName": "dc1"}
                },
                "storage": {
                    "data": {"accessMode": "ReadWriteOnce", "className": storage_class, "size": "15Gi"},
                    "logs": {"accessMode": "ReadWriteOnce", "className": storage_class, "size": "10Gi"}
                }
            }
        }))
        .unwrap()
    }

    fn made(data_controller: &DataController) -> BTreeMap<String, Value> {
        let objects = objects(data_controller, "standin:1").unwrap();
        objects
            .iter()
            .map(|made| {
                (format!("{}/{}", made.resource.kind, made.object.name_any()), serde_json::to_value(&made.object).unwrap())
            })
            .collect()
    }

    #[test]
    fn every_component_is_the_tables() {
        let made = made(&data_controller(json!("local-path"), "NodePort"));
        for component in components() {
            let workload = &made[&format!("{}/{}", component.workload.kind(), component.name)];
            let pod = &workload["spec"]["template"]["spec"];
            assert_eq!(pod["containers"][0]["name"], component.name);
            assert_eq!(
                pod["containers"][0]["resources"],
                json!({
                    "requests": {"cpu": component.cpu_request, "memory": component.memory_request},
                    "limits": {"cpu": component.cpu_limit, "memory": component.memory_limit},
                }),
                "{}",
                component.name
            );
            assert_eq!(pod["containers"][1]["name"], "fluentbit");
            assert_eq!(pod["containers"][1]["resources"], Value::Null);
            assert_eq!(workload["metadata"]["ownerReferences"][0]["uid"], "u");
            assert_eq!(workload["spec"]["selector"]["matchLabels"], json!({"app": component.name, "arc-resource": "dc1"}));
            assert_eq!(workload["spec"]["selector"]["matchLabels"], workload["spec"]["template"]["metadata"]["labels"]);
            assert_eq!(made[&format!("Service/{}", component.name)]["spec"]["ports"][0]["port"], component.port);
        }
    }

    #[test]
    fn a_stateful_sets_claims_are_templates_and_a_replica_sets_are_not() {
        let made = made(&data_controller(json!("local-path"), "NodePort"));
        let templates = &made["StatefulSet/controldb"]["spec"]["volumeClaimTemplates"];
        assert_eq!(templates[0]["metadata"]["name"], "data");
        assert_eq!(templates[0]["spec"]["resources"]["requests"]["storage"], "15Gi");
        assert_eq!(templates[1]["spec"]["resources"]["requests"]["storage"], "10Gi");
        assert_eq!(templates[1]["spec"]["storageClassName"], "local-path");
        assert_eq!(made["PersistentVolumeClaim/data-control"]["spec"], templates[0]["spec"]);
        assert_eq!(
            made["ReplicaSet/control"]["spec"]["template"]["spec"]["volumes"][1]["persistentVolumeClaim"]["claimName"],
            "logs-control"
        );
        assert_eq!(made.keys().filter(|key| key.starts_with("PersistentVolumeClaim/")).count(), 2);
    }

    #[test]
    fn without_a_class_the_clusters_default_is_used() {
        let made = made(&data_controller(Value::Null, "NodePort"));
        let claim = made["PersistentVolumeClaim/data-control"]["spec"].as_object().unwrap();
        assert!(!claim.contains_key("storageClassName"), "{claim:?}");
    }

    #[test]
    fn a_stateful_set_has_a_headless_service_of_its_name() {
        let made = made(&data_controller(json!("local-path"), "NodePort"));
        assert_eq!(made["StatefulSet/logsdb"]["spec"]["serviceName"], "logsdb-svc");
        assert_eq!(made["Service/logsdb-svc"]["spec"]["clusterIP"], "None");
        assert_eq!(made.keys().filter(|key| key.ends_with("-svc")).count(), 3);
    }

    #[rstest]
    #[case("NodePort", json!(30080))]
    #[case("LoadBalancer", Value::Null)]
    fn the_controller_is_exposed_as_asked(#[case] service_type: &str, #[case] node_port: Value) {
        let made = made(&data_controller(json!("local-path"), service_type));
        let spec = &made["Service/controller-svc-external"]["spec"];
        assert_eq!(spec["type"], service_type);
        assert_eq!(spec["ports"][0]["port"], 30080);
        assert_eq!(spec["ports"][0]["nodePort"], node_port);
        assert_eq!(spec["selector"]["app"], "control");
    }
}

//! DataController `v5`, as the 1.34 release of Arc data services has it.
//!
//! Source of the fields: `arc_data_services/deploy/yaml/data-controller.yaml` in `microsoft/azure_arc`, and
//! the inventory examples of "Data collection and reporting" in the Azure Arc documentation for the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked of a data controller.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "arcdata.microsoft.com",
    version = "v5",
    kind = "DataController",
    plural = "datacontrollers",
    namespaced,
    status = "DataControllerStatus",
    doc = "The control plane of Arc data services in its namespace",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DataControllerSpec {
    /// Accounts the control plane runs under.
    pub credentials: Credentials,
    /// Where Microsoft's images are. The stand-in runs its own image instead.
    pub docker: Docker,
    /// Where the cluster runs.
    pub infrastructure: Infrastructure,
    /// What the control plane may do on the cluster.
    #[serde(default)]
    pub security: Security,
    /// How the control plane is reached from outside the cluster.
    pub services: Vec<Endpoint>,
    /// Settings of the control plane.
    pub settings: Settings,
    /// Storage that the components claim.
    pub storage: Storage,
    /// Settings of the monitoring stack, which some distributions' patches set. Kept, not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub monitoring: Option<serde_json::Value>,
}

/// Accounts the control plane runs under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The Secret with the registry's credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_registry: Option<String>,
    /// The components' service account: `sa-arc-controller`.
    pub service_account: String,
}

/// Where Microsoft's images are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Docker {
    /// The registry's host.
    pub registry: String,
    /// The repository within it.
    pub repository: String,
    /// The images' tag; also the version the control plane reports.
    pub image_tag: String,
    /// When images are pulled.
    pub image_pull_policy: PullPolicy,
}

/// When images are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the values of imagePullPolicy; with docs the schema would not be an enum any more")]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// Where the cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of clouds; with docs the schema would not be an enum any more")]
pub enum Infrastructure {
    Alibaba,
    Aws,
    Azure,
    Gcp,
    OnPremises,
    Other,
}

/// What the control plane may do on the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Security {
    /// Dump processes that crash.
    pub allow_dumps: bool,
    /// Read the nodes' metrics.
    pub allow_node_metrics_collection: bool,
    /// Read the pods' metrics.
    pub allow_pod_metrics_collection: bool,
}

/// How a service of the control plane is reached from outside the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Which service: `controller`.
    pub name: String,
    /// The port it is reached on.
    pub port: u16,
    /// How it is exposed.
    pub service_type: ServiceType,
}

/// How a service is exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "types of Service; with docs the schema would not be an enum any more")]
pub enum ServiceType {
    LoadBalancer,
    NodePort,
}

impl ServiceType {
    /// The type, as in manifests.
    pub fn name(self) -> &'static str {
        match self {
            ServiceType::LoadBalancer => "LoadBalancer",
            ServiceType::NodePort => "NodePort",
        }
    }
}

/// Settings of the control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// The Azure resource that the control plane belongs to.
    pub azure: AzureSettings,
    /// Settings of the controller.
    pub controller: ControllerSettings,
    /// Settings of logsdb. Kept, not read.
    #[serde(default, rename = "ElasticSearch", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub elastic_search: Option<serde_json::Value>,
}

/// The Azure resource that the control plane belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureSettings {
    /// Whether the control plane talks to Azure all the time.
    pub connection_mode: ConnectionMode,
    /// The Azure region.
    pub location: String,
    /// The resource group's name.
    pub resource_group: String,
    /// The subscription's ID.
    pub subscription: String,
}

/// Whether the control plane talks to Azure all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the two connectivity modes; with docs the schema would not be an enum any more")]
pub enum ConnectionMode {
    Direct,
    Indirect,
}

impl ConnectionMode {
    /// The mode's name.
    pub fn name(self) -> &'static str {
        match self {
            ConnectionMode::Direct => "direct",
            ConnectionMode::Indirect => "indirect",
        }
    }
}

/// Settings of the controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ControllerSettings {
    /// The name shown to people.
    #[serde(rename = "displayName")]
    pub display_name: String,
    /// Whether usage is billed.
    #[serde(rename = "enableBilling", default)]
    pub enable_billing: bool,
    /// After how many days logs are rotated.
    #[serde(rename = "logs.rotation.days", default, skip_serializing_if = "Option::is_none")]
    pub logs_rotation_days: Option<String>,
    /// At how many megabytes logs are rotated.
    #[serde(rename = "logs.rotation.size", default, skip_serializing_if = "Option::is_none")]
    pub logs_rotation_size: Option<String>,
}

/// Storage that the components claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Storage {
    /// For data.
    pub data: Claim,
    /// For logs.
    pub logs: Claim,
}

/// What each component claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// `ReadWriteOnce`, as a rule.
    pub access_mode: String,
    /// The StorageClass; none: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// A Kubernetes quantity.
    pub size: String,
}

/// How a data controller is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataControllerStatus {
    /// In a word; [`READY`] when every component is available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The generation of the spec that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The version that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_version: Option<String>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
    /// `Ready`, with the reason when it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The state of a data controller all of whose components are available.
pub const READY: &str = "Ready";

fn anything(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;

    // What https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
    // calls a structural schema has a type everywhere, and values only outside oneOf and its like.
    #[test]
    fn the_schema_is_structural() {
        let crd = serde_json::to_value(DataController::crd()).unwrap();
        let version = &crd["spec"]["versions"][0];
        let schema = version["schema"]["openAPIV3Schema"].to_string();
        for word in ["oneOf", "anyOf", "allOf", "$ref"] {
            assert!(!schema.contains(word), "{word} in {schema}");
        }
        assert_eq!(version["subresources"]["status"], serde_json::json!({}));
        assert_eq!(version["additionalPrinterColumns"][0]["jsonPath"], ".status.state");
        let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        assert_eq!(spec["infrastructure"]["enum"], serde_json::json!(["alibaba", "aws", "azure", "gcp", "onpremises", "other"]));
        assert_eq!(spec["monitoring"]["x-kubernetes-preserve-unknown-fields"], true);
    }
}

//! Objects as `kubectl get` shows them: `meta.k8s.io` tables, with the cells of Kubernetes' own printers
//! (`pkg/printers/internalversion/printers.go`).

mod cluster;
mod columns;
mod duration;
mod metrics;
mod network;
mod pod;
mod storage;
mod view;
mod workloads;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::quote;
use crate::status::Refusal;
use columns::Column;

/// The cells of a row.
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$(serde_json::Value::from($cell)),*] };
}
use cells;

/// What a row holds beside its cells (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    /// Nothing: null.
    None,
    /// A `PartialObjectMetadata`.
    Metadata,
    /// The object itself.
    Object,
}

impl Include {
    /// The query parameter; an absent one is empty.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "None" => Ok(Self::None),
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            _ => Err(Refusal::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
                quote(text)
            ))),
        }
    }
}

/// How a table is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// What rows hold.
    pub(crate) include: Include,
    /// Whether the columns are described: in a watch, the first event alone does so.
    pub(crate) headers: bool,
    /// `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`.
    pub(crate) api_version: &'a str,
}

/// How one kind is shown.
struct Printer {
    columns: &'static [Column],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

/// The printer of a resource; a subresource is written `deployments/scale`. None: name and time of creation.
fn printer(group: &str, resource: &str) -> Option<Printer> {
    let (columns, cells): (_, fn(&Value, Timestamp) -> Vec<Value>) = match (group, resource.trim_end_matches("/status")) {
        (_, subresource) if subresource.ends_with("/scale") => (columns::SCALE, workloads::scale),
        ("", "pods") => (columns::POD, pod::pod),
        ("", "podtemplates") => (columns::POD_TEMPLATE, workloads::pod_template),
        ("", "replicationcontrollers") => (columns::REPLICATION_CONTROLLER, workloads::replication_controller),
        ("", "services") => (columns::SERVICE, network::service),
        ("", "endpoints") => (columns::ENDPOINTS, network::endpoints),
        ("", "nodes") => (columns::NODE, cluster::node),
        ("", "namespaces") => (columns::NAMESPACE, cluster::namespace),
        ("", "secrets") => (columns::SECRET, cluster::secret),
        ("", "configmaps") => (columns::CONFIG_MAP, cluster::config_map),
        ("", "serviceaccounts") => (columns::SERVICE_ACCOUNT, cluster::service_account),
        ("", "persistentvolumes") => (columns::PERSISTENT_VOLUME, storage::persistent_volume),
        ("", "persistentvolumeclaims") => (columns::PERSISTENT_VOLUME_CLAIM, storage::persistent_volume_claim),
        ("", "componentstatuses") => (columns::COMPONENT_STATUS, cluster::component_status),
        ("", "resourcequotas") => (columns::RESOURCE_QUOTA, cluster::resource_quota),
        ("" | "events.k8s.io", "events") => (columns::EVENT, cluster::event),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations") => {
            (columns::MUTATING_WEBHOOK, cluster::webhook_configuration)
        }
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations") => {
            (columns::VALIDATING_WEBHOOK, cluster::webhook_configuration)
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => {
            (columns::VALIDATING_ADMISSION_POLICY, cluster::validating_admission_policy)
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            (columns::VALIDATING_ADMISSION_POLICY_BINDING, cluster::validating_admission_policy_binding)
        }
        ("apiregistration.k8s.io", "apiservices") => (columns::API_SERVICE, cluster::api_service),
        ("apps", "replicasets") => (columns::REPLICA_SET, workloads::replica_set),
        ("apps", "daemonsets") => (columns::DAEMON_SET, workloads::daemon_set),
        ("apps", "statefulsets") => (columns::STATEFUL_SET, workloads::stateful_set),
        ("apps", "deployments") => (columns::DEPLOYMENT, workloads::deployment),
        ("apps", "controllerrevisions") => (columns::CONTROLLER_REVISION, workloads::controller_revision),
        ("autoscaling", "horizontalpodautoscalers") => (columns::HORIZONTAL_POD_AUTOSCALER, workloads::horizontal_pod_autoscaler),
        ("batch", "jobs") => (columns::JOB, workloads::job),
        ("batch", "cronjobs") => (columns::CRON_JOB, workloads::cron_job),
        ("certificates.k8s.io", "certificatesigningrequests") => {
            (columns::CERTIFICATE_SIGNING_REQUEST, cluster::certificate_signing_request)
        }
        ("coordination.k8s.io", "leases") => (columns::LEASE, cluster::lease),
        ("discovery.k8s.io", "endpointslices") => (columns::ENDPOINT_SLICE, network::endpoint_slice),
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => (columns::FLOW_SCHEMA, cluster::flow_schema),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => {
            (columns::PRIORITY_LEVEL_CONFIGURATION, cluster::priority_level)
        }
        ("networking.k8s.io", "ingresses") => (columns::INGRESS, network::ingress),
        ("networking.k8s.io", "ingressclasses") => (columns::INGRESS_CLASS, network::ingress_class),
        ("networking.k8s.io", "networkpolicies") => (columns::NETWORK_POLICY, network::network_policy),
        ("networking.k8s.io", "servicecidrs") => (columns::SERVICE_CIDR, network::service_cidr),
        ("networking.k8s.io", "ipaddresses") => (columns::IP_ADDRESS, network::ip_address),
        ("node.k8s.io", "runtimeclasses") => (columns::RUNTIME_CLASS, cluster::runtime_class),
        ("policy", "poddisruptionbudgets") => (columns::POD_DISRUPTION_BUDGET, workloads::pod_disruption_budget),
        ("rbac.authorization.k8s.io", "rolebindings") => (columns::ROLE_BINDING, cluster::role_binding),
        ("rbac.authorization.k8s.io", "clusterrolebindings") => (columns::CLUSTER_ROLE_BINDING, cluster::role_binding),
        ("resource.k8s.io", "deviceclasses") => (columns::DEVICE_CLASS, cluster::name_and_age),
        ("resource.k8s.io", "resourceclaims") => (columns::RESOURCE_CLAIM, cluster::resource_claim),
        ("resource.k8s.io", "resourceclaimtemplates") => (columns::RESOURCE_CLAIM_TEMPLATE, cluster::name_and_age),
        ("resource.k8s.io", "resourceslices") => (columns::RESOURCE_SLICE, cluster::resource_slice),
        ("scheduling.k8s.io", "priorityclasses") => (columns::PRIORITY_CLASS, cluster::priority_class),
        ("storage.k8s.io", "storageclasses") => (columns::STORAGE_CLASS, storage::storage_class),
        ("storage.k8s.io", "volumeattributesclasses") => (columns::VOLUME_ATTRIBUTES_CLASS, storage::volume_attributes_class),
        ("storage.k8s.io", "volumeattachments") => (columns::VOLUME_ATTACHMENT, storage::volume_attachment),
        ("storage.k8s.io", "csinodes") => (columns::CSI_NODE, storage::csi_node),
        ("storage.k8s.io", "csidrivers") => (columns::CSI_DRIVER, storage::csi_driver),
        _ => return None,
    };
    Some(Printer { columns, cells })
}

/// Whether a resource can be had as a table: reviews and most subresources cannot, and such a request is not acceptable (406).
pub(crate) fn is_printable(group: &str, resource: &str) -> bool {
    let Some((parent, subresource)) = resource.split_once('/') else {
        return !matches!((group, resource), ("authentication.k8s.io" | "authorization.k8s.io", _) | ("", "bindings"));
    };
    match subresource {
        "scale" => true,
        "status" => !matches!(parent, "apiservices" | "customresourcedefinitions" | "resourceclaims"),
        _ => false,
    }
}

/// The table of some objects of a built-in resource, with `metadata` of the list that they come from (of a single object,
/// its resource version alone). `resource` may name a subresource: `deployments/scale`.
pub(crate) fn table(
    group: &str,
    resource: &str,
    objects: &[&Value],
    metadata: Value,
    options: Options<'_>,
    now: Timestamp,
) -> Value {
    if group == "metrics.k8s.io" {
        let rows = objects.iter().map(|object| row(resource, metrics::cells(object, objects[0]), object, options)).collect();
        return assemble(metrics::columns(objects), nil_if_empty(rows), metadata, options);
    }
    let Some(Printer { columns, cells }) = printer(group, resource) else {
        let rows = objects.iter().map(|object| row(resource, default_cells(object), object, options)).collect();
        return assemble(definitions(columns::DEFAULT), nil_if_empty(rows), metadata, options);
    };
    let mut objects = Cow::Borrowed(objects);
    if resource == "flowschemas" {
        objects.to_mut().sort_by_key(|schema| cluster::flow_schema_order(schema));
    }
    let rows = objects.iter().map(|object| {
        let mut row = row(resource, cells(&internal(resource, object), now), object, options);
        if let Some(conditions) = (resource == "pods").then(|| pod::row_conditions(object)).flatten() {
            row["conditions"] = conditions;
        }
        row
    });
    assemble(definitions(columns), rows.collect(), metadata, options)
}

fn definitions(columns: &[Column]) -> Value {
    columns.iter().map(Column::to_json).collect()
}

/// Where Go appends to a slice that it has not made.
fn nil_if_empty(rows: Vec<Value>) -> Value {
    if rows.is_empty() { Value::Null } else { rows.into() }
}

/// The row that `rest.NewDefaultTableConvertor` gives.
fn default_cells(object: &Value) -> Vec<Value> {
    cells![view::name(object), view::text_or(object, "/metadata/creationTimestamp", "0001-01-01T00:00:00Z")]
}

/// One row of some resource; custom resources have cells of their own.
pub(crate) fn row(resource: &str, cells: Vec<Value>, object: &Value, options: Options<'_>) -> Value {
    // What ends the initial events of a watch can only be told by its annotation.
    let is_end = || view::is_set(object, "/metadata/annotations/k8s.io~1initial-events-end");
    let object = match options.include {
        Include::Object => object.clone(),
        Include::None if !is_end() => Value::Null,
        _ => partial(resource, object, options.api_version),
    };
    json!({"cells": cells, "object": object})
}

/// The `Table` of columns and rows.
pub(crate) fn assemble(columns: Value, rows: Value, metadata: Value, options: Options<'_>) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": options.api_version,
        "metadata": metadata,
        "columnDefinitions": if options.headers { columns } else { Value::Null },
        "rows": rows,
    })
}

/// The `PartialObjectMetadata` of an object. `api_version` is `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`.
pub(crate) fn partial(resource: &str, object: &Value, api_version: &str) -> Value {
    let metadata = internal(resource, object).get("metadata").cloned().unwrap_or_else(|| json!({}));
    json!({"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": metadata})
}

/// An object in the version in which an API server has it in memory: what some versions put into annotations is a field there.
fn internal<'a>(resource: &str, object: &'a Value) -> Cow<'a, Value> {
    match resource {
        "horizontalpodautoscalers" if object["apiVersion"] == "autoscaling/v1" => {
            Cow::Owned(crate::kinds::inward("autoscaling", resource, object.clone()))
        }
        "daemonsets" => {
            let mut object = object.clone();
            let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
            let left = annotations.map(|annotations| {
                annotations.remove("deprecated.daemonset.template.generation");
                annotations.len()
            });
            if left == Some(0)
                && let Some(metadata) = object["metadata"].as_object_mut()
            {
                metadata.remove("annotations");
            }
            Cow::Owned(object)
        }
        _ => Cow::Borrowed(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objects of a K3s v1.34.1 and the cells that it printed of them.
    const RECORDED: &str = include_str!("recorded.jsonl");

    #[test]
    fn cells_are_those_of_a_real_one() {
        for line in RECORDED.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| case[key].as_str().unwrap();
            let options = Options { include: Include::None, headers: true, api_version: "meta.k8s.io/v1" };
            let now = text("now").parse().unwrap();
            let table = table(text("group"), text("resource"), &[&case["object"]], json!({}), options, now);
            assert_eq!(table["rows"][0]["cells"], case["cells"], "{} {}", text("resource"), case["object"]["metadata"]["name"]);
            assert_eq!(table["rows"][0].get("conditions"), case.get("conditions"));
            let columns = table["columnDefinitions"].as_array().unwrap();
            let names: Vec<&Value> = columns.iter().map(|column| &column["name"]).collect();
            assert_eq!(json!(names), case["columns"], "{}", text("resource"));
        }
    }

    #[test]
    fn rows_hold_what_is_asked_for() {
        let object = json!({"kind": "Namespace", "metadata": {"name": "a"}, "status": {"phase": "Active"}});
        let shown = |include| {
            let options = Options { include, headers: false, api_version: "meta.k8s.io/v1beta1" };
            table("", "namespaces", &[&object], json!({"resourceVersion": "1"}), options, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(
            shown(Include::None),
            json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1beta1",
                "metadata": {"resourceVersion": "1"},
                "columnDefinitions": null,
                "rows": [{"cells": ["a", "Active", "<unknown>"], "object": null}],
            })
        );
        assert_eq!(shown(Include::Object)["rows"][0]["object"], object);
        assert_eq!(
            shown(Include::Metadata)["rows"][0]["object"],
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1beta1", "metadata": {"name": "a"}})
        );
    }

    #[test]
    fn empty_tables_have_null_or_no_rows() {
        let options = Options { include: Include::None, headers: true, api_version: "meta.k8s.io/v1" };
        let rows = |group, resource| table(group, resource, &[], json!({}), options, Timestamp::UNIX_EPOCH).get("rows").cloned();
        assert_eq!(rows("", "pods"), Some(json!([])));
        assert_eq!(rows("", "limitranges"), Some(Value::Null));
    }

    #[test]
    fn an_unknown_include_is_refused() {
        let refusal = Include::parse("x").unwrap_err();
        assert_eq!(
            refusal.message,
            "Unable to convert to Table as requested: includeObject: Invalid value: \"x\": must be 'Metadata', 'Object', 'None', or empty"
        );
        assert_eq!(Include::parse(""), Ok(Include::Metadata));
    }
}

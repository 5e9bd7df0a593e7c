//! Where a service's pods are: its Endpoints and EndpointSlices (`pkg/controller/endpoint`, `k8s.io/endpointslice`).

use std::collections::HashMap;
use std::sync::Arc;

use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use super::desk::{Controller, Desk, NODES, PODS, Resource, SERVICES};
use super::pods;
use crate::admission::Objects;
use crate::kinds::meta::Part;
use crate::kinds::selector;
use crate::kinds::view::{entries, list, text};
use crate::status::Refusal;

pub(super) const ENDPOINTS: Resource = ("", "endpoints");
pub(super) const SLICES: Resource = ("discovery.k8s.io", "endpointslices");

pub(super) const CONTROLLER: Controller = Controller { watches: &[SERVICES, PODS, ENDPOINTS, SLICES], settle };

const HEADLESS: &str = "service.kubernetes.io/headless";
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const OF_ENDPOINTS: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const OF_SLICES: (&str, &str) = ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The most endpoints of one slice.
const PER_SLICE: usize = 100;

fn settle(desk: &Desk) {
    let mut slices: HashMap<(String, String), Vec<Arc<Value>>> = HashMap::new();
    for slice in desk.all(SLICES) {
        let (metadata, labels) = (&slice["metadata"], &slice["metadata"]["labels"]);
        if labels[OF_SLICES.0] == OF_SLICES.1 {
            let key = (text(&metadata["namespace"]).to_owned(), text(&labels[SERVICE_NAME]).to_owned());
            slices.entry(key).or_default().push(slice);
        }
    }
    for service in desk.all(SERVICES) {
        let spec = &service["spec"];
        if spec["selector"].is_null() || spec["type"] == "ExternalName" || !desk.may_try(&service) {
            continue;
        }
        let (namespace, name) = (text(&service["metadata"]["namespace"]), text(&service["metadata"]["name"]));
        let Ok(selector) = selector::compile(&json!({"matchLabels": spec["selector"]})) else { continue };
        let mut pods = desk.within(PODS, namespace);
        pods.retain(|pod| {
            !pods::is_over(pod) && !text(&pod["status"]["podIP"]).is_empty() && selector.matches(&pod["metadata"]["labels"])
        });
        let present = slices.remove(&(namespace.to_owned(), name.to_owned())).unwrap_or_default();
        let outcome = sync_endpoints(desk, &service, &pods).and_then(|()| sync_slices(desk, &service, &pods, &present));
        match outcome {
            Err(refusal) if !pods::is_ending(&refusal) => desk.failed(&service),
            _ => desk.succeeded(&service),
        }
    }
    for endpoints in desk.all(ENDPOINTS) {
        let metadata = &endpoints["metadata"];
        let service = || desk.get(SERVICES.0, SERVICES.1, text(&metadata["namespace"]), text(&metadata["name"]));
        if metadata["labels"][OF_ENDPOINTS.0] == OF_ENDPOINTS.1 && service().is_none() {
            let deleted = desk.delete(ENDPOINTS, &endpoints, None);
            desk.heard(&endpoints, deleted);
        }
    }
}

fn is_headless(service: &Value) -> bool {
    matches!(text(&service["spec"]["clusterIP"]), "None" | "")
}

/// The labels of a service with those of its endpoints.
fn labels(service: &Value, more: &[(&str, &str)]) -> Value {
    let own = entries(&service["metadata"]["labels"]).filter(|(key, _)| *key != HEADLESS);
    let mut labels: Map<String, Value> = own.map(|(key, value)| (key.to_owned(), value.clone())).collect();
    if is_headless(service) {
        labels.insert(HEADLESS.into(), "".into());
    }
    labels.extend(more.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))));
    labels.into()
}

/// When what changed the endpoints came about: the service itself, or the pods that became ready since.
fn trigger(service: &Value, pods: &[Arc<Value>], present: Option<&Value>) -> Option<String> {
    let Some(present) = present else { return service["metadata"]["creationTimestamp"].as_str().map(str::to_owned) };
    let last = text(&present["metadata"]["annotations"][TRIGGER]);
    let last = if last.is_empty() { text(&present["metadata"]["creationTimestamp"]) } else { last };
    let ready = pods.iter().filter_map(|pod| super::conditions::find(&pod["status"], "Ready"));
    ready.map(|condition| text(&condition["lastTransitionTime"])).filter(|at| *at >= last).min().map(str::to_owned)
}

/// The number that a service's port means on a pod.
fn port_of(pod: &Value, port: &Value) -> Option<i64> {
    let target = &port["targetPort"];
    if let Some(number) = target.as_i64() {
        return Some(number);
    }
    let sidecars = list(&pod["spec"]["initContainers"]).iter().filter(|container| container["restartPolicy"] == "Always");
    let all = list(&pod["spec"]["containers"]).iter().chain(sidecars).flat_map(|container| list(&container["ports"]));
    all.filter(|known| known["name"] == *target && known["protocol"] == port["protocol"])
        .find_map(|known| known["containerPort"].as_i64())
}

/// The ports of a service on a pod.
fn ports(service: &Value, pod: &Value, with_empty_name: bool) -> Vec<Value> {
    let known = list(&service["spec"]["ports"]).iter().filter_map(|port| Some((port, port_of(pod, port)?)));
    let ports = known.map(|(port, number)| {
        let mut one = json!({"port": number, "protocol": port["protocol"]});
        let name = text(&port["name"]);
        if with_empty_name || !name.is_empty() {
            one["name"] = name.into();
        }
        if port["appProtocol"].is_string() {
            one["appProtocol"] = port["appProtocol"].clone();
        }
        one
    });
    let mut ports: Vec<Value> = ports.collect();
    ports.sort_by_cached_key(|port| hash(port, with_empty_name));
    ports
}

/// What a port is sorted by: the hash of what go-spew prints of the Go struct, `EndpointPort` of either API (`DeepHashObject`).
fn hash(port: &Value, of_slice: bool) -> Vec<u8> {
    let (name, protocol, number) = (text(&port["name"]), text(&port["protocol"]), &port["port"]);
    let app = port["appProtocol"].as_str().unwrap_or("<nil>");
    let printed = if of_slice {
        format!(
            "(v1.EndpointPort){{Name:(*string){name} Protocol:(*v1.Protocol){protocol} Port:(*int32){number} \
             AppProtocol:(*string){app}}}"
        )
    } else {
        format!(
            "(v1.EndpointPort){{Name:(string){name} Port:(int32){number} Protocol:(v1.Protocol){protocol} \
             AppProtocol:(*string){app}}}"
        )
    };
    Md5::digest(printed).to_vec()
}

fn reference(pod: &Value) -> Value {
    let metadata = &pod["metadata"];
    json!({"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]})
}

/// The name that a pod has below its headless service.
fn hostname<'p>(service: &Value, pod: &'p Value) -> Option<&'p Value> {
    let spec = &pod["spec"];
    let named = spec["hostname"].is_string() && spec["subdomain"] == service["metadata"]["name"];
    named.then_some(&spec["hostname"])
}

fn sync_endpoints(desk: &Desk, service: &Value, pods: &[Arc<Value>]) -> Result<(), Refusal> {
    let (namespace, name) = (text(&service["metadata"]["namespace"]), text(&service["metadata"]["name"]));
    let mut subsets: Vec<Value> = Vec::new();
    let publish = service["spec"]["publishNotReadyAddresses"] == true;
    let mut sorted: Vec<&Arc<Value>> = pods.iter().filter(|pod| publish || !pods::is_going(pod)).collect();
    sorted.sort_by_key(|pod| (text(&pod["status"]["podIP"]).to_owned(), text(&pod["metadata"]["uid"]).to_owned()));
    for pod in sorted {
        let ports = ports(service, pod, false);
        if ports.is_empty() && !(is_headless(service) && list(&service["spec"]["ports"]).is_empty()) {
            continue;
        }
        let mut address = json!({"ip": pod["status"]["podIP"], "targetRef": reference(pod)});
        if pod["spec"]["nodeName"].is_string() {
            address["nodeName"] = pod["spec"]["nodeName"].clone();
        }
        if let Some(hostname) = hostname(service, pod) {
            address["hostname"] = hostname.clone();
        }
        let field = if publish || pods::is_ready(pod) { "addresses" } else { "notReadyAddresses" };
        let ports = if ports.is_empty() { Value::Null } else { ports.into() };
        let at = subsets.iter().position(|subset| subset["ports"] == ports).unwrap_or(subsets.len());
        if at == subsets.len() {
            subsets.push(if ports.is_null() { json!({}) } else { json!({"ports": ports}) });
        }
        match subsets[at][field].as_array_mut() {
            Some(all) => all.push(address),
            None => subsets[at][field] = json!([address]),
        }
    }
    let labels = labels(service, &[OF_ENDPOINTS]);
    let present = desk.get(ENDPOINTS.0, ENDPOINTS.1, namespace, name);
    if present.as_ref().is_some_and(|p| list(&p["subsets"]) == subsets && p["metadata"]["labels"] == labels) {
        return Ok(());
    }
    let trigger = trigger(service, pods, present.as_deref());
    let fill = |object: &mut Value| {
        object["metadata"]["labels"] = labels.clone();
        set_trigger(object, trigger.as_deref());
        object["subsets"] = json!(subsets);
    };
    if let Some(present) = present {
        return desk.update(ENDPOINTS, &present, Part::Whole, &fill).map(drop);
    }
    let mut endpoints = json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {"name": name}});
    fill(&mut endpoints);
    desk.create(ENDPOINTS, namespace, endpoints).map(drop)
}

fn set_trigger(object: &mut Value, trigger: Option<&str>) {
    match trigger {
        Some(trigger) => object["metadata"]["annotations"][TRIGGER] = trigger.into(),
        None => {
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.remove(TRIGGER);
            }
        }
    }
}

fn endpoint(desk: &Desk, service: &Value, pod: &Value) -> Value {
    let (serving, terminating) = (pods::is_ready(pod), pods::is_going(pod));
    let publish = service["spec"]["publishNotReadyAddresses"] == true;
    let mut endpoint = json!({
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": publish || (serving && !terminating), "serving": serving, "terminating": terminating},
        "targetRef": reference(pod),
    });
    let node = text(&pod["spec"]["nodeName"]);
    if !node.is_empty() {
        endpoint["nodeName"] = node.into();
        let node = desk.get(NODES.0, NODES.1, "", node);
        let zone = node.as_ref().map(|node| &node["metadata"]["labels"]["topology.kubernetes.io/zone"]);
        if let Some(zone) = zone.filter(|zone| zone.is_string()) {
            endpoint["zone"] = zone.clone();
        }
    }
    if let Some(hostname) = hostname(service, pod) {
        endpoint["hostname"] = hostname.clone();
    }
    endpoint
}

fn sync_slices(desk: &Desk, service: &Value, pods: &[Arc<Value>], present: &[Arc<Value>]) -> Result<(), Refusal> {
    let namespace = text(&service["metadata"]["namespace"]);
    // Slices have one set of ports each.
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for pod in pods {
        let ports = Value::from(ports(service, pod, true));
        let endpoint = endpoint(desk, service, pod);
        match groups.iter_mut().find(|(known, _)| *known == ports) {
            Some((_, all)) => all.push(endpoint),
            None => groups.push((ports, vec![endpoint])),
        }
    }
    let ports_or_none = |ports: &Value| if list(ports).is_empty() { Value::Null } else { ports.clone() };
    let mut wanted: Vec<(Value, Value)> = groups
        .iter()
        .flat_map(|(ports, all)| all.chunks(PER_SLICE).map(move |some| (ports_or_none(ports), Value::from(some.to_vec()))))
        .collect();
    if wanted.is_empty() {
        wanted.push((Value::Null, Value::Null));
    }
    let labels = labels(service, &[OF_SLICES, (SERVICE_NAME, text(&service["metadata"]["name"]))]);
    let trigger = trigger(service, pods, present.first().map(AsRef::as_ref));
    let mut left: Vec<&Arc<Value>> = present.iter().filter(|slice| !pods::is_going(slice)).collect();
    let all_ports: Vec<Value> = wanted.iter().map(|(ports, _)| ports.clone()).collect();
    for (ports, endpoints) in wanted {
        // One of other ports that would go becomes this one (`finalize`).
        let kept = |slice: &&Arc<Value>| all_ports.contains(&slice["ports"]);
        let same = left.iter().position(|slice| slice["ports"] == ports);
        let Some(at) = same.or_else(|| left.iter().position(|slice| !kept(slice))) else {
            let mut slice = json!({
                "kind": "EndpointSlice",
                "apiVersion": "discovery.k8s.io/v1",
                "metadata": {
                    "generateName": format!("{}-", text(&service["metadata"]["name"])),
                    "labels": labels,
                    "ownerReferences": [pods::reference(service)],
                },
                "addressType": list(&service["spec"]["ipFamilies"]).first().cloned().unwrap_or_else(|| "IPv4".into()),
                "endpoints": endpoints,
                "ports": ports,
            });
            set_trigger(&mut slice, trigger.as_deref());
            desk.create(SLICES, namespace, slice)?;
            continue;
        };
        let slice = left.remove(at);
        if slice["endpoints"] == endpoints && slice["ports"] == ports && slice["metadata"]["labels"] == labels {
            continue;
        }
        desk.update(SLICES, slice, Part::Whole, &|live| {
            live["endpoints"] = endpoints.clone();
            live["ports"] = ports.clone();
            live["metadata"]["labels"] = labels.clone();
            set_trigger(live, trigger.as_deref());
        })?;
    }
    left.into_iter()
        .try_for_each(|slice| desk.delete(SLICES, slice, None).or_else(|r| if r.reason == "NotFound" { Ok(()) } else { Err(r) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_in_the_order_of_their_hashes() {
        let service = json!({"spec": {"ports": [
            {"name": "dns", "targetPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "targetPort": 53, "protocol": "TCP"},
            {"name": "metrics", "targetPort": 9153, "protocol": "TCP"},
        ]}});
        let names = |of_slice: bool| -> Vec<String> {
            ports(&service, &Value::Null, of_slice).iter().map(|port| text(&port["name"]).to_owned()).collect()
        };
        assert_eq!(names(false), ["dns-tcp", "dns", "metrics"]);
        assert_eq!(names(true), ["metrics", "dns", "dns-tcp"]);
    }
}

//! EndpointSlices of Endpoints that somebody wrote by hand, for a Service without a selector
//! (`pkg/controller/endpointslicemirroring`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::{Controller, Desk, SERVICES};
use super::endpoints::{ENDPOINTS, SERVICE_NAME, SLICES};
use super::pods;
use crate::admission::Objects;
use crate::kinds::meta::Part;
use crate::kinds::view::{list, text};
use crate::status::Refusal;

pub(super) const CONTROLLER: Controller = Controller { watches: &[SERVICES, ENDPOINTS, SLICES], settle };

const MANAGED_BY: (&str, &str) = ("endpointslice.kubernetes.io/managed-by", "endpointslicemirroring-controller.k8s.io");
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that are not passed on.
const NOT_PASSED: [&str; 2] =
    ["kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time"];
/// The most addresses of a subset that are mirrored.
const PER_SUBSET: usize = 1000;

fn settle(desk: &Desk) {
    let slices = desk.all(SLICES);
    let mirrors: Vec<_> = slices.iter().filter(|slice| slice["metadata"]["labels"][MANAGED_BY.0] == MANAGED_BY.1).collect();
    let all = desk.all(ENDPOINTS);
    let of = |endpoints: &Value, slice: &Value| {
        let (metadata, own) = (&slice["metadata"], &endpoints["metadata"]);
        metadata["namespace"] == own["namespace"] && metadata["labels"][SERVICE_NAME] == own["name"]
    };
    for slice in mirrors.iter().filter(|slice| !all.iter().any(|endpoints| of(endpoints, slice))) {
        let deleted = desk.delete(SLICES, slice, None);
        desk.heard(slice, deleted);
    }
    for endpoints in &all {
        let present: Vec<_> = mirrors.iter().filter(|slice| of(endpoints, slice)).copied().collect();
        let wanted = if is_mirrored(desk, endpoints) { mirror(endpoints) } else { Vec::new() };
        if (wanted.is_empty() && present.is_empty()) || !desk.may_try(endpoints) {
            continue;
        }
        match sync(desk, endpoints, wanted, present) {
            Err(refusal) if refusal.reason != "NotFound" && !pods::is_ending(&refusal) => desk.failed(endpoints),
            _ => desk.succeeded(endpoints),
        }
    }
}

fn is_mirrored(desk: &Desk, endpoints: &Value) -> bool {
    let metadata = &endpoints["metadata"];
    let service = desk.get(SERVICES.0, SERVICES.1, text(&metadata["namespace"]), text(&metadata["name"]));
    metadata["labels"][SKIP] != "true"
        && metadata["annotations"][LEADER].is_null()
        && service.is_some_and(|service| service["spec"]["selector"].is_null())
}

/// The slices of some endpoints: one for each set of ports and each family of addresses.
fn mirror(endpoints: &Value) -> Vec<Value> {
    let mut metadata = json!({"labels": endpoints["metadata"]["labels"]});
    metadata["labels"][SERVICE_NAME] = endpoints["metadata"]["name"].clone();
    metadata["labels"][MANAGED_BY.0] = MANAGED_BY.1.into();
    let mut annotations = endpoints["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.retain(|key, _| !NOT_PASSED.contains(&key.as_str()));
    if !annotations.is_empty() {
        metadata["annotations"] = annotations.into();
    }
    let mut slices: Vec<Value> = Vec::new();
    for subset in list(&endpoints["subsets"]) {
        let ports: Vec<Value> = list(&subset["ports"]).iter().map(port).collect();
        let ready = list(&subset["addresses"]).iter().map(|address| (address, true));
        let others = list(&subset["notReadyAddresses"]).iter().map(|address| (address, false));
        for (address, is_ready) in ready.chain(others).take(PER_SUBSET) {
            let family = if text(&address["ip"]).contains(':') { "IPv6" } else { "IPv4" };
            let of_it = |slice: &Value| slice["addressType"] == family && *list(&slice["ports"]) == ports[..];
            let at = slices.iter().position(of_it).unwrap_or(slices.len());
            if at == slices.len() {
                slices.push(json!({"metadata": metadata, "addressType": family, "endpoints": [], "ports": ports}));
            }
            if let Some(all) = slices[at]["endpoints"].as_array_mut() {
                all.push(endpoint(address, is_ready));
            }
        }
    }
    slices
}

fn port(port: &Value) -> Value {
    let mut one = json!({"name": text(&port["name"]), "port": port["port"], "protocol": port["protocol"]});
    if port["appProtocol"].is_string() {
        one["appProtocol"] = port["appProtocol"].clone();
    }
    one
}

fn endpoint(address: &Value, is_ready: bool) -> Value {
    let mut endpoint = json!({"addresses": [address["ip"]], "conditions": {"ready": is_ready}});
    for field in ["hostname", "nodeName", "targetRef"] {
        if !address[field].is_null() {
            endpoint[field] = address[field].clone();
        }
    }
    endpoint
}

fn sync(desk: &Desk, endpoints: &Value, wanted: Vec<Value>, mut present: Vec<&Arc<Value>>) -> Result<(), Refusal> {
    let metadata = &endpoints["metadata"];
    for mut slice in wanted {
        let fits = |known: &&Arc<Value>| known["addressType"] == slice["addressType"] && known["ports"] == slice["ports"];
        let Some(at) = present.iter().position(fits) else {
            slice["kind"] = "EndpointSlice".into();
            slice["apiVersion"] = "discovery.k8s.io/v1".into();
            slice["metadata"]["generateName"] = format!("{}-", text(&metadata["name"])).into();
            slice["metadata"]["ownerReferences"] = json!([pods::reference(endpoints)]);
            desk.create(SLICES, text(&metadata["namespace"]), slice)?;
            continue;
        };
        let known = present.remove(at);
        let same = |field: &str| known["metadata"][field] == slice["metadata"][field];
        if known["endpoints"] != slice["endpoints"] || !same("labels") || !same("annotations") {
            desk.update(SLICES, known, Part::Whole, &|live| {
                live["endpoints"] = slice["endpoints"].clone();
                for field in ["labels", "annotations"] {
                    crate::kinds::view::put(&mut live["metadata"], field, slice["metadata"][field].clone());
                }
            })?;
        }
    }
    present.into_iter().try_for_each(|slice| desk.delete(SLICES, slice, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_of_ports_and_family_has_a_slice() {
        let endpoints = json!({
            "metadata": {"name": "e", "labels": {"l": "m"}, "annotations": {NOT_PASSED[0]: "x", "a": "b"}},
            "subsets": [
                {"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "ports": [{"port": 80, "protocol": "TCP"}]},
                {"notReadyAddresses": [{"ip": "192.0.2.2", "hostname": "h"}], "ports": [{"port": 80, "protocol": "TCP"}]},
                {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"name": "n", "port": 81, "protocol": "TCP"}]},
            ],
        });
        let slices = mirror(&endpoints);
        assert_eq!(slices.len(), 3);
        assert_eq!(slices[0]["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
        let both = json!([
            {"addresses": ["192.0.2.1"], "conditions": {"ready": true}},
            {"addresses": ["192.0.2.2"], "conditions": {"ready": false}, "hostname": "h"},
        ]);
        assert_eq!(slices[0]["endpoints"], both);
        assert_eq!(slices[1]["addressType"], "IPv6");
        assert_eq!(slices[2]["metadata"]["annotations"], json!({"a": "b"}));
        assert_eq!(slices[2]["metadata"]["labels"], json!({"l": "m", SERVICE_NAME: "e", MANAGED_BY.0: MANAGED_BY.1}));
    }
}

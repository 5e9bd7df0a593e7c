//! Where the API server is: the endpoints of Service `default/kubernetes`, which it tells itself (`pkg/controlplane/reconcilers`).

use serde_json::{Value, json};

use super::desk::{Controller, Desk};
use super::endpoints::{ENDPOINTS, SLICES};
use crate::admission::Objects;
use crate::kinds::meta::Part;
use crate::net::API_PORT;
use crate::node::address_of;

pub(super) const CONTROLLER: Controller = Controller { watches: &[ENDPOINTS, SLICES], settle };

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

fn settle(desk: &Desk) {
    let address = address_of(0).to_string();
    let ports = json!([{"name": "https", "port": API_PORT, "protocol": "TCP"}]);
    let subsets = json!([{"addresses": [{"ip": address}], "ports": ports}]);
    let found = desk.get(ENDPOINTS.0, ENDPOINTS.1, NAMESPACE, NAME);
    let written = match found.as_deref() {
        Some(present) if present["subsets"] == subsets => Ok(Value::Null),
        Some(present) => desk.update(ENDPOINTS, present, Part::Whole, &|live| live["subsets"] = subsets.clone()),
        None => {
            let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
            let metadata = json!({"name": NAME, "labels": labels});
            let endpoints = json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": metadata, "subsets": subsets});
            desk.create(ENDPOINTS, NAMESPACE, endpoints)
        }
    };
    desk.heard(&Value::Null, written);
    let endpoints = json!([{"addresses": [address], "conditions": {"ready": true}}]);
    let found = desk.get(SLICES.0, SLICES.1, NAMESPACE, NAME);
    let written = match found.as_deref() {
        Some(present) if present["endpoints"] == endpoints && present["ports"] == ports => return,
        Some(present) => desk.update(SLICES, present, Part::Whole, &|live| {
            live["endpoints"] = endpoints.clone();
            live["ports"] = ports.clone();
        }),
        None => {
            let labels = json!({"kubernetes.io/service-name": NAME});
            let slice = json!({
                "kind": "EndpointSlice",
                "apiVersion": "discovery.k8s.io/v1",
                "metadata": {"name": NAME, "labels": labels},
                "addressType": "IPv4",
                "endpoints": endpoints,
                "ports": ports,
            });
            desk.create(SLICES, NAMESPACE, slice)
        }
    };
    desk.heard(&Value::Null, written);
}

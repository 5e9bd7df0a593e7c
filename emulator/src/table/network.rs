//! Services, endpoints, ingresses, network policies and addresses.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::cells;
use super::view::{
    age, at, count, few, formatted_selector, integer, is_set, joined, labels, list, name, none_if_empty, optional, text,
};

pub(super) fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(service, "/spec/ports")
        .iter()
        .map(|port| match (integer(port, "/port"), integer(port, "/nodePort"), text(port, "/protocol")) {
            (port, node_port @ 1.., protocol) => format!("{port}:{node_port}/{protocol}"),
            (port, _, protocol) => format!("{port}/{protocol}"),
        })
        .collect();
    cells![
        name(service),
        text(service, "/spec/type"),
        optional(service, "/spec/clusterIPs/0", "<none>"),
        external_address(service),
        none_if_empty(ports.join(",")),
        age(service, now),
        labels(service, "/spec/selector"),
    ]
}

fn external_address(service: &Value) -> String {
    let addresses = joined(service, "/spec/externalIPs");
    match text(service, "/spec/type") {
        "ClusterIP" | "NodePort" => none_if_empty(addresses),
        "LoadBalancer" => match (load_balancer(service), addresses) {
            (own, addresses) if own.is_empty() && addresses.is_empty() => "<pending>".into(),
            (own, addresses) if own.is_empty() => addresses,
            (own, addresses) if addresses.is_empty() => own,
            (own, addresses) => format!("{own},{addresses}"),
        },
        "ExternalName" => text(service, "/spec/externalName").into(),
        _ => "<unknown>".into(),
    }
}

/// The addresses, or else names, that a load balancer has given, sorted.
fn load_balancer(object: &Value) -> String {
    let points: BTreeSet<&str> = list(object, "/status/loadBalancer/ingress")
        .iter()
        .map(|point| match text(point, "/ip") {
            "" => text(point, "/hostname"),
            address => address,
        })
        .filter(|point| !point.is_empty())
        .collect();
    points.into_iter().collect::<Vec<_>>().join(",")
}

pub(super) fn ingress(ingress: &Value, now: Timestamp) -> Vec<Value> {
    cells![
        name(ingress),
        optional(ingress, "/spec/ingressClassName", "<none>"),
        hosts(list(ingress, "/spec/rules")),
        load_balancer(ingress),
        if count(ingress, "/spec/tls") == 0 { "80" } else { "80, 443" },
        age(ingress, now),
    ]
}

/// Three hosts at most; the count of those left out is, oddly, that of all rules but three (`formatHosts`).
fn hosts(rules: &[Value]) -> String {
    const MAX: usize = 3;
    let mut hosts = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= hosts.len() == MAX;
        let host = text(rule, "/host");
        if !more && !host.is_empty() {
            hosts.push(host);
        }
    }
    match hosts.join(",") {
        none if none.is_empty() => "*".into(),
        some if more => format!("{some} + {} more...", rules.len() - MAX),
        all => all,
    }
}

pub(super) fn ingress_class(class: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = at(class, "/spec/parameters");
    let shown = if parameters.is_null() {
        "<none>".into()
    } else {
        let group = at(parameters, "/apiGroup").as_str().map_or_else(String::new, |group| format!(".{group}"));
        format!("{}{group}/{}", text(parameters, "/kind"), text(parameters, "/name"))
    };
    cells![name(class), text(class, "/spec/controller"), shown, age(class, now)]
}

pub(super) fn network_policy(policy: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(policy), pod_selector(policy), age(policy, now)]
}

/// The selector is no pointer there: an absent one is empty and so selects everything.
fn pod_selector(policy: &Value) -> String {
    formatted_selector(policy, "/spec/podSelector")
}

pub(super) fn endpoints(endpoints: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(endpoints), addresses(list(endpoints, "/subsets")), age(endpoints, now)]
}

/// `formatEndpoints`: every address with every port.
fn addresses(subsets: &[Value]) -> String {
    if subsets.is_empty() {
        return "<none>".into();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = list(subset, "/addresses").iter().map(|address| text(address, "/ip"));
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            all.extend(addresses.clone().map(str::to_owned));
        }
        for port in ports {
            let port = integer(port, "/port");
            all.extend(
                addresses.clone().map(|address| {
                    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
                }),
            );
        }
    }
    few(all, 3, ",")
}

pub(super) fn endpoint_slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let ports = list(slice, "/ports").iter().map(|port| match at(port, "/port").as_i64() {
        Some(number) => number.to_string(),
        None => optional(port, "/name", "*").to_owned(),
    });
    let addresses = list(slice, "/endpoints").iter().flat_map(|endpoint| list(endpoint, "/addresses"));
    cells![
        name(slice),
        text(slice, "/addressType"),
        few_or_unset(ports.collect()),
        few_or_unset(addresses.filter_map(|address| address.as_str().map(str::to_owned)).collect()),
        age(slice, now),
    ]
}

fn few_or_unset(items: Vec<String>) -> String {
    match few(items, 3, ",") {
        none if none.is_empty() => "<unset>".into(),
        some => some,
    }
}

pub(super) fn service_cidr(cidr: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(cidr), joined(cidr, "/spec/cidrs"), age(cidr, now)]
}

/// The age is printed although no column is defined for it.
pub(super) fn ip_address(address: &Value, now: Timestamp) -> Vec<Value> {
    let parent = if is_set(address, "/spec/parentRef") {
        let mut parent = text(address, "/spec/parentRef/resource").to_lowercase();
        let group = text(address, "/spec/parentRef/group");
        if !group.is_empty() {
            parent = format!("{parent}.{}", group.to_lowercase());
        }
        for part in [text(address, "/spec/parentRef/namespace"), text(address, "/spec/parentRef/name")] {
            if !part.is_empty() {
                parent = format!("{parent}/{part}");
            }
        }
        parent
    } else {
        "<none>".into()
    };
    cells![name(address), parent, age(address, now)]
}

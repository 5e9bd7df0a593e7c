//! What a Service is given when it is created or changed: cluster IPs, IP families, node ports (`pkg/registry/core/service/storage`).
//! What is in use is read from the Services themselves. The cluster is K3s's: IPv4 only, 10.43.0.0/16, node ports 30000-32767.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::service::{allocates_node_ports, needs_health_check, validate_cluster_ips};
use crate::admission::Objects;
use crate::field::{Errors, Path};
use crate::kinds::ip::{Cidr, parse_sloppy};
use crate::kinds::meta::random_number;
use crate::kinds::view::{count, int, items, list, object, put, remove, text};
use crate::status::Refusal;

const CIDR: Cidr = Cidr { address: IpAddr::V4(Ipv4Addr::new(10, 43, 0, 0)), length: 16 };
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;
/// The lower part of each range is left to those who ask for a certain address or port.
const STATIC_ADDRESSES: u32 = 256;
const STATIC_NODE_PORTS: i64 = 86;
const FAMILY: &str = "IPv4";

/// The addresses and ports that Services use, but for one Service that is being changed.
struct InUse {
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<i64>,
    dry_run: bool,
}

impl InUse {
    fn new(objects: &dyn Objects, dry_run: bool) -> Self {
        let mut used = Self { addresses: BTreeSet::new(), ports: BTreeSet::new(), dry_run };
        for service in objects.list("", "services", None) {
            let spec = &service["spec"];
            used.addresses.extend(list(&spec["clusterIPs"]).iter().filter_map(|ip| parse_sloppy(text(ip))));
            used.ports.extend(list(&spec["ports"]).iter().map(|port| int(&port["nodePort"])));
            used.ports.insert(int(&spec["healthCheckNodePort"]));
        }
        used
    }

    fn next_address(&mut self) -> Result<IpAddr, Refusal> {
        let IpAddr::V4(first) = CIDR.network() else { return Err(Refusal::internal("range is full")) };
        let (first, all) = (u32::from(first), 1u32 << (32 - u32::from(CIDR.length)));
        // Neither the range's own address nor the broadcast one.
        let (low, span) = (STATIC_ADDRESSES, all - 1 - STATIC_ADDRESSES);
        let start = random_number(span);
        let free = (0..span)
            .map(|i| low + (start + i) % span)
            .chain(1..low)
            .map(|offset| IpAddr::V4(Ipv4Addr::from(first + offset)))
            .find(|address| !self.addresses.contains(address));
        let address = free.ok_or_else(|| Refusal::internal("failed to allocate a serviceIP: range is full"))?;
        self.addresses.insert(address);
        Ok(address)
    }

    fn take_address(&mut self, text: &str) -> Result<(), String> {
        let address = parse_sloppy(text).ok_or("invalid address")?;
        // Neither the range's own address nor the broadcast one.
        let usable =
            CIDR.contains(address) && matches!(address, IpAddr::V4(v4) if !matches!(v4.octets()[2..], [0, 0] | [255, 255]));
        if !usable && self.dry_run {
            let range = CIDR.canonical();
            return Err(format!("the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}"));
        }
        if !usable {
            return Err("the provided network does not match the current range".to_owned());
        }
        // A dry run does not look what is in use.
        if self.dry_run {
            return Ok(());
        }
        if self.addresses.insert(address) { Ok(()) } else { Err("provided IP is already allocated".to_owned()) }
    }

    fn next_port(&mut self) -> Option<i64> {
        let (first, last) = (*NODE_PORTS.start(), *NODE_PORTS.end());
        let low = first + STATIC_NODE_PORTS;
        let span = last - low + 1;
        let start = i64::from(random_number(u32::try_from(span).ok()?));
        let port = (0..span).map(|i| low + (start + i) % span).chain(first..low).find(|port| !self.ports.contains(port))?;
        self.ports.insert(port);
        Some(port)
    }

    fn take_port(&mut self, port: i64) -> Result<(), String> {
        // A dry run takes any.
        if self.dry_run {
            return Ok(());
        }
        if !NODE_PORTS.contains(&port) {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                NODE_PORTS.start(),
                NODE_PORTS.end()
            ));
        }
        if self.ports.insert(port) { Ok(()) } else { Err("provided port is already allocated".to_owned()) }
    }
}

fn kind(service: &Value) -> &str {
    text(&service["spec"]["type"])
}

fn invalid(service: &Value, errors: &Errors) -> Refusal {
    Refusal::invalid("", "Service", text(&service["metadata"]["name"]), errors)
}

fn one_invalid(service: &Value, path: &Path, value: Value, detail: &str) -> Refusal {
    let mut errors = Errors::new();
    errors.invalid(path, value, detail);
    invalid(service, &errors)
}

/// Before a new Service is prepared and validated.
pub(crate) fn create(service: &mut Value, objects: &dyn Objects, dry_run: bool) -> Result<(), Refusal> {
    let single = service["spec"]["clusterIP"].clone();
    if !text(&single).is_empty() && count(&service["spec"]["clusterIPs"]) == 0 {
        set(service, "clusterIPs", json!([single]));
    }
    families(service, None)?;
    let mut used = InUse::new(objects, dry_run);
    cluster_ips(service, &mut used)?;
    if matches!(kind(service), "NodePort" | "LoadBalancer") {
        new_node_ports(service, &mut used)?;
    }
    if needs_health_check(service) {
        health_check_port(service, &mut used)?;
    }
    Ok(())
}

/// Before a changed Service is prepared and validated.
pub(crate) fn update(old: &Value, new: &mut Value, objects: &dyn Objects, dry_run: bool) -> Result<(), Refusal> {
    keep_allocated(old, new);
    sync_cluster_ips(old, new);
    families(new, Some(old))?;
    let mut used = InUse::new(objects, dry_run);
    if kind(old) == "ExternalName" && kind(new) != "ExternalName" {
        cluster_ips(new, &mut used)?;
    }
    if matches!(kind(new), "NodePort" | "LoadBalancer") {
        changed_node_ports(old, new, &mut used)?;
    }
    if needs_health_check(new) && !needs_health_check(old) {
        health_check_port(new, &mut used)?;
    }
    Ok(())
}

fn set(service: &mut Value, field: &str, value: Value) {
    if let Some(spec) = object(service, "spec") {
        spec.insert(field.to_owned(), value);
    }
}

/// Values that the client left out stay (`patchAllocatedValues`).
fn keep_allocated(old: &Value, new: &mut Value) {
    if kind(old) != "ExternalName" && kind(new) != "ExternalName" {
        for field in ["clusterIP", "clusterIPs"] {
            if count(&new["spec"][field]) == 0 && count(&old["spec"][field]) > 0 {
                set(new, field, old["spec"][field].clone());
            }
        }
    }
    let ported = |service: &Value| match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    };
    if ported(old) && ported(new) {
        let ports = |service: &Value| -> BTreeSet<i64> {
            list(&service["spec"]["ports"]).iter().map(|p| int(&p["nodePort"])).filter(|&p| p != 0).collect()
        };
        let used: BTreeSet<_> = ports(old).intersection(&ports(new)).copied().collect();
        let by_name: BTreeMap<_, _> =
            list(&old["spec"]["ports"]).iter().map(|p| (text(&p["name"]), int(&p["nodePort"]))).collect();
        if let Some(spec) = new.get_mut("spec") {
            for port in items(spec, "ports").filter(|port| int(&port["nodePort"]) == 0) {
                let kept = by_name.get(text(&port["name"])).copied().unwrap_or_default();
                if kept != 0 && !used.contains(&kept) {
                    put(port, "nodePort", kept.into());
                }
            }
        }
    }
    if needs_health_check(old) && needs_health_check(new) && int(&new["spec"]["healthCheckNodePort"]) == 0 {
        set(new, "healthCheckNodePort", old["spec"]["healthCheckNodePort"].clone());
    }
}

fn same_ips(old: &Value, new: &Value) -> bool {
    list(&old["spec"]["clusterIPs"]) == list(&new["spec"]["clusterIPs"])
}

/// Old clients know `clusterIP` only (`normalizeClusterIPs`).
fn sync_cluster_ips(old: &Value, new: &mut Value) {
    let (was, is) = (text(&old["spec"]["clusterIP"]).to_owned(), text(&new["spec"]["clusterIP"]).to_owned());
    if count(&old["spec"]["clusterIPs"]) > 0 && count(&new["spec"]["clusterIPs"]) == 0 && was == is {
        set(new, "clusterIPs", old["spec"]["clusterIPs"].clone());
    }
    if was != is && same_ips(old, new) {
        if !was.is_empty() && is.is_empty() {
            if let Some(spec) = new.get_mut("spec") {
                remove(spec, "clusterIPs");
            }
        } else {
            set(new, "clusterIPs", json!([is]));
        }
    }
}

/// `initIPFamilyFields`.
fn families(service: &mut Value, old: Option<&Value>) -> Result<(), Refusal> {
    if kind(service) == "ExternalName" {
        return Ok(());
    }
    if old.is_some_and(|old| is_settled(old, service)) {
        return Ok(());
    }
    let plain_headless = service["spec"]["clusterIP"] == "None" && count(&service["spec"]["selector"]) == 0;
    if service["spec"]["ipFamilyPolicy"].is_null() {
        let policy = match old.map(|old| &old["spec"]["ipFamilyPolicy"]) {
            Some(policy) if !policy.is_null() => policy.clone(),
            _ if plain_headless => "RequireDualStack".into(),
            _ => "SingleStack".into(),
        };
        set(service, "ipFamilyPolicy", policy);
    }
    let mut errors = Errors::new();
    validate_cluster_ips(service, old, &mut errors);
    if !errors.is_empty() {
        return Err(invalid(service, &errors));
    }
    let policy = service["spec"]["ipFamilyPolicy"].clone();
    let (path, single) = (Path::new("spec").child("ipFamilyPolicy"), policy == "SingleStack");
    if let Some(old) = old {
        release_second(old, service, single, &path, &mut errors);
    }
    if single {
        for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
            if count(&service["spec"][field]) == 2 {
                let detail = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                errors.invalid(&path, policy.clone(), &detail);
            }
        }
    }
    let mut families: Vec<Value> = list(&service["spec"]["ipFamilies"]).to_vec();
    for (i, address) in list(&service["spec"]["clusterIPs"]).iter().map(text).enumerate() {
        if address == "None" {
            break;
        }
        if i >= families.len() {
            if parse_sloppy(address).is_some_and(|a| a.is_ipv6()) {
                let at = Path::new("spec").child("clusterIPs").index(i);
                errors.invalid(&at, service["spec"]["clusterIPs"].clone(), "IPv6 is not configured on this cluster");
            } else {
                families.push(FAMILY.into());
            }
        }
    }
    if !errors.is_empty() {
        return Err(invalid(service, &errors));
    }
    if plain_headless {
        if families.is_empty() {
            families.push(FAMILY.into());
        }
        if families.len() < 2 && !single {
            families.push(if families[0] == FAMILY { "IPv6" } else { FAMILY }.into());
        }
        set(service, "ipFamilies", families.into());
        return Ok(());
    }
    if policy == "RequireDualStack" {
        errors.invalid(&path, policy, "this cluster is not configured for dual-stack services");
    }
    for (i, family) in families.iter().enumerate().filter(|(_, family)| **family != FAMILY) {
        errors.invalid(&Path::new("spec").child("ipFamilies").index(i), family.clone(), "not configured on this cluster");
    }
    if !errors.is_empty() {
        return Err(invalid(service, &errors));
    }
    if families.is_empty() {
        families.push(FAMILY.into());
    }
    set(service, "ipFamilies", families.into());
    Ok(())
}

/// Nothing changes for a PreferDualStack service that keeps its addresses (`isMatchingPreferDualStackClusterIPFields`).
fn is_settled(old: &Value, new: &Value) -> bool {
    let (was, is) = (&old["spec"], &new["spec"]);
    is["ipFamilyPolicy"] == "PreferDualStack"
        && (was["ipFamilyPolicy"].is_null() || was["ipFamilyPolicy"] == "PreferDualStack")
        && was["type"] == is["type"]
        && same_ips(old, new)
        && list(&was["ipFamilies"]) == list(&is["ipFamilies"])
}

/// A second address or family goes only when the policy says that there is to be one.
fn release_second(old: &Value, new: &mut Value, single: bool, path: &Path, errors: &mut Errors) {
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (was, is) = (list(&old["spec"][field]).to_vec(), list(&new["spec"][field]).to_vec());
        if single {
            if was == is && is.len() > 1 {
                set(new, field, json!([is[0]]));
            }
        } else if was.len() == 2 && is.len() == 1 && was[0] == is[0] {
            let detail = format!("must be 'SingleStack' to release the secondary {what}");
            errors.invalid(path, new["spec"]["ipFamilyPolicy"].clone(), &detail);
        }
    }
}

fn cluster_ips(service: &mut Value, used: &mut InUse) -> Result<(), Refusal> {
    if kind(service) == "ExternalName" || list(&service["spec"]["clusterIPs"]).first().is_some_and(|ip| ip == "None") {
        return Ok(());
    }
    let mut ips = list(&service["spec"]["clusterIPs"]).to_vec();
    ips.resize(count(&service["spec"]["ipFamilies"]).max(ips.len()), "".into());
    for i in 0..ips.len() {
        if text(&ips[i]).is_empty() {
            ips[i] = used.next_address()?.to_string().into();
        } else if let Err(why) = used.take_address(text(&ips[i])) {
            let detail = format!("failed to allocate IP {}: {why}", text(&ips[i]));
            return Err(one_invalid(service, &Path::new("spec").child("clusterIPs"), ips.into(), &detail));
        }
    }
    if let Some(first) = ips.first() {
        set(service, "clusterIP", first.clone());
    }
    set(service, "clusterIPs", ips.into());
    Ok(())
}

fn port_path(i: usize) -> Path {
    Path::new("spec").child("ports").index(i).child("nodePort")
}

fn no_port() -> Refusal {
    Refusal::internal("failed to allocate a nodePort: range is full")
}

fn set_node_port(service: &mut Value, i: usize, port: i64) {
    if let Some(port_value) = service.pointer_mut(&format!("/spec/ports/{i}")) {
        put(port_value, "nodePort", port.into());
    }
}

/// Ports of the same number (of several protocols) share a node port (`initNodePorts`).
fn new_node_ports(service: &mut Value, used: &mut InUse) -> Result<(), Refusal> {
    let ports = list(&service["spec"]["ports"]).to_vec();
    let mut by_port: BTreeMap<i64, i64> = BTreeMap::new();
    for (i, port) in ports.iter().enumerate() {
        let (number, asked) = (int(&port["port"]), int(&port["nodePort"]));
        if asked == 0 && !allocates_node_ports(service) {
            continue;
        }
        match by_port.get(&number) {
            None => {
                let wanted = ports.iter().find(|p| int(&p["port"]) == number && int(&p["nodePort"]) != 0);
                let given = match wanted.map(|p| int(&p["nodePort"])) {
                    Some(wanted) => {
                        used.take_port(wanted).map_err(|why| one_invalid(service, &port_path(i), wanted.into(), &why))?;
                        wanted
                    }
                    None => used.next_port().ok_or_else(no_port)?,
                };
                by_port.insert(number, given);
                set_node_port(service, i, given);
            }
            Some(&given) if asked == 0 => set_node_port(service, i, given),
            Some(&given) if asked != given => {
                used.take_port(asked).map_err(|why| one_invalid(service, &port_path(i), asked.into(), &why))?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// `updateNodePorts`.
fn changed_node_ports(old: &Value, new: &mut Value, used: &mut InUse) -> Result<(), Refusal> {
    let had: BTreeSet<_> = list(&old["spec"]["ports"]).iter().map(|p| int(&p["nodePort"])).collect();
    let mut taken = BTreeSet::new();
    for (i, port) in list(&new["spec"]["ports"]).to_vec().iter().enumerate() {
        let asked = int(&port["nodePort"]);
        if asked != 0 {
            if !had.contains(&asked) && taken.insert(asked) {
                used.take_port(asked).map_err(|why| one_invalid(new, &port_path(i), asked.into(), &why))?;
            }
        } else if allocates_node_ports(new) {
            let given = used.next_port().ok_or_else(no_port)?;
            set_node_port(new, i, given);
        }
    }
    Ok(())
}

fn health_check_port(service: &mut Value, used: &mut InUse) -> Result<(), Refusal> {
    let asked = int(&service["spec"]["healthCheckNodePort"]);
    if asked != 0 {
        return used
            .take_port(asked)
            .map_err(|why| Refusal::internal(&format!("failed to allocate requested HealthCheck NodePort {asked}: {why}")));
    }
    let port = used.next_port();
    let port = port.ok_or_else(|| Refusal::internal("failed to allocate a HealthCheck NodePort 0: range is full"))?;
    set(service, "healthCheckNodePort", port.into());
    Ok(())
}

/// The IPAddress objects that stand for a Service's addresses while it lives.
pub(crate) fn ip_addresses(service: &Value) -> Vec<Value> {
    let [name, namespace] = ["name", "namespace"].map(|field| text(&service["metadata"][field]));
    let addresses = list(&service["spec"]["clusterIPs"]).iter().map(text).filter(|ip| *ip != "None");
    addresses
        .map(|address| {
            let family = if address.contains(':') { "IPv6" } else { FAMILY };
            json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IPAddress",
                "metadata": {
                    "name": address,
                    "labels": {
                        "ipaddress.kubernetes.io/ip-family": family,
                        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                    },
                },
                "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Fixed(Vec<Value>);

    impl Objects for Fixed {
        fn get(&self, _: &str, _: &str, _: &str, _: &str) -> Option<Arc<Value>> {
            None
        }

        fn list(&self, _: &str, resource: &str, _: Option<&str>) -> Vec<Arc<Value>> {
            if resource == "services" { self.0.iter().cloned().map(Arc::new).collect() } else { Vec::new() }
        }
    }

    fn service(spec: Value) -> Value {
        let mut service = json!({"metadata": {"name": "a", "namespace": "d"}, "spec": spec});
        (super::super::service::SERVICE.default)(&mut service);
        service
    }

    #[test]
    fn a_new_service_gets_an_address_and_ports() {
        let mut new = service(json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]}));
        create(&mut new, &Fixed(vec![]), false).unwrap();
        let spec = &new["spec"];
        assert!(text(&spec["clusterIP"]).starts_with("10.43."));
        assert_eq!(spec["clusterIPs"], json!([spec["clusterIP"]]));
        assert_eq!(spec["ipFamilies"], json!(["IPv4"]));
        assert_eq!(spec["ipFamilyPolicy"], "SingleStack");
        assert_eq!(spec["ports"][0]["nodePort"], spec["ports"][1]["nodePort"]);
        let errors = crate::kinds::meta::before_create(&super::super::service::SERVICE, &mut new, true);
        assert_eq!(errors.unwrap_err().aggregate().unwrap().matches("Required").count(), 2);
    }

    #[test]
    fn a_taken_address_is_refused() {
        let other = json!({"spec": {"clusterIPs": ["10.43.0.9"]}});
        let mut new = service(json!({"clusterIP": "10.43.0.9", "ports": [{"port": 80}]}));
        assert_eq!(
            create(&mut new, &Fixed(vec![other]), false).unwrap_err().message,
            "Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"10.43.0.9\"]: failed to allocate IP 10.43.0.9: provided IP is \
             already allocated"
        );
    }

    #[test]
    fn headless_without_a_selector_is_dual() {
        let mut new = service(json!({"clusterIP": "None"}));
        create(&mut new, &Fixed(vec![]), false).unwrap();
        assert_eq!(new["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
        assert_eq!(new["spec"]["ipFamilyPolicy"], "RequireDualStack");
    }
}

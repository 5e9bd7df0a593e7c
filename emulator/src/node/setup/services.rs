//! Variables that tell a container where the services of its namespace are (`pkg/kubelet/envvars`): in the form that Docker's
//! links had.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::Node;
use super::metadata;
use crate::admission::Objects;
use crate::kinds::view::{int, list, text};

/// The service that every container is told of, links or not.
const MASTER: (&str, &str) = ("default", "kubernetes");

/// The variables for a container in a namespace (`getServiceEnvVarMap`).
pub(super) fn variables(node: &Node, namespace: &str, links: bool) -> BTreeMap<String, String> {
    let mut services = BTreeMap::new();
    for service in node.cluster.list("", "services", None) {
        let place = (metadata(&service, "namespace"), metadata(&service, "name"));
        if matches!(text(&service["spec"]["clusterIP"]), "" | "None") {
            continue;
        }
        let name = place.1.to_owned();
        // A namespace's own service of that name comes before the master's.
        if place == MASTER {
            services.entry(name).or_insert(service);
        } else if links && place.0 == namespace {
            services.insert(name, service);
        }
    }
    services.iter().flat_map(|(name, service)| of_service(name, &service["spec"])).collect()
}

fn of_service(name: &str, spec: &Value) -> Vec<(String, String)> {
    let prefix = variable(name);
    let address = text(&spec["clusterIP"]);
    let ports = list(&spec["ports"]);
    let mut all = vec![(format!("{prefix}_SERVICE_HOST"), address.to_owned())];
    for (index, port) in ports.iter().enumerate() {
        let number = int(&port["port"]).to_string();
        if index == 0 {
            all.push((format!("{prefix}_SERVICE_PORT"), number.clone()));
        }
        let port_name = text(&port["name"]);
        if !port_name.is_empty() {
            all.push((format!("{prefix}_SERVICE_PORT_{}", variable(port_name)), number.clone()));
        }
        let protocol = Some(text(&port["protocol"])).filter(|p| !p.is_empty()).unwrap_or("TCP").to_lowercase();
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let url = format!("{protocol}://{host}:{number}");
        if index == 0 {
            all.push((format!("{prefix}_PORT"), url.clone()));
        }
        let link = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        all.push((format!("{link}_PROTO"), protocol));
        all.push((format!("{link}_PORT"), number));
        all.push((format!("{link}_ADDR"), address.to_owned()));
        all.push((link, url));
    }
    all
}

fn variable(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_told_as_a_link() {
        let spec = json!({"clusterIP": "10.43.0.7", "ports": [
            {"name": "http-web", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]});
        let told: BTreeMap<_, _> = of_service("my-app", &spec).into_iter().collect();
        let expected = [
            ("MY_APP_PORT", "tcp://10.43.0.7:80"),
            ("MY_APP_PORT_53_UDP", "udp://10.43.0.7:53"),
            ("MY_APP_PORT_53_UDP_ADDR", "10.43.0.7"),
            ("MY_APP_PORT_53_UDP_PORT", "53"),
            ("MY_APP_PORT_53_UDP_PROTO", "udp"),
            ("MY_APP_PORT_80_TCP", "tcp://10.43.0.7:80"),
            ("MY_APP_PORT_80_TCP_ADDR", "10.43.0.7"),
            ("MY_APP_PORT_80_TCP_PORT", "80"),
            ("MY_APP_PORT_80_TCP_PROTO", "tcp"),
            ("MY_APP_SERVICE_HOST", "10.43.0.7"),
            ("MY_APP_SERVICE_PORT", "80"),
            ("MY_APP_SERVICE_PORT_DNS", "53"),
            ("MY_APP_SERVICE_PORT_HTTP_WEB", "80"),
        ];
        assert_eq!(told.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    }
}

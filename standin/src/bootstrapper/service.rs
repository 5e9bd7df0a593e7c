//! The components' Services.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::workload::{Site, labels, metadata};
use crate::arc::{
    Component,
    components::{CONTROLLER_EXTERNAL_SERVICE, PORT_NAME},
    data_controller::{Endpoint, ServiceType},
};

/// Where Kubernetes may put a node port unless it is configured otherwise (`--service-node-port-range`).
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// The Service by which other pods reach a component; it has the component's name.
pub(crate) fn cluster_ip(component: &Component, site: &Site<'_>) -> Service {
    service(component.name, component, site, ServiceSpec { type_: Some("ClusterIP".into()), ..Default::default() })
}

/// The Service that names the pods of a StatefulSet.
pub(super) fn headless(component: &Component, site: &Site<'_>) -> Option<Service> {
    let name = component.headless_service()?;
    let spec = ServiceSpec { type_: Some("ClusterIP".into()), cluster_ip: Some("None".into()), ..Default::default() };
    Some(service(&name, component, site, spec))
}

/// The Service that exposes the controller outside the cluster.
pub(super) fn external(control: &Component, site: &Site<'_>, endpoint: &Endpoint) -> Service {
    let node_port = endpoint.service_type == ServiceType::NodePort && NODE_PORTS.contains(&endpoint.port);
    let port = ServicePort { port: endpoint.port.into(), node_port: node_port.then(|| endpoint.port.into()), ..port(control) };
    let spec = ServiceSpec { type_: Some(endpoint.service_type.name().into()), ports: Some(vec![port]), ..Default::default() };
    service(CONTROLLER_EXTERNAL_SERVICE, control, site, spec)
}

fn service(name: &str, component: &Component, site: &Site<'_>, spec: ServiceSpec) -> Service {
    Service {
        metadata: metadata(name, component, site),
        spec: Some(ServiceSpec {
            selector: Some(labels(component, site.data_controller)),
            ports: spec.ports.or_else(|| Some(vec![port(component)])),
            ..spec
        }),
        status: None,
    }
}

fn port(component: &Component) -> ServicePort {
    ServicePort {
        name: Some(PORT_NAME.into()),
        port: component.port.into(),
        target_port: Some(IntOrString::String(PORT_NAME.into())),
        protocol: Some("TCP".into()),
        ..Default::default()
    }
}

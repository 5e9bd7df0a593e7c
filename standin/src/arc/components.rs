//! The table of the control plane's components: the one place of its facts.
//!
//! Requests and limits are those of "Sizing guidance" in the Azure Arc documentation
//! (`azure-arc/data/sizing-guidance.md`, "Data controller sizing details"). Ports other than the
//! controller's are the stand-in's own choice: the ones on which the programs of those names listen.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// One component of the control plane: a workload with one main container of the component's name, and a
/// sidecar beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its name: of the workload, of the main container, of the Service that reaches it, and of its label `app`.
    pub name: &'static str,
    /// What runs it.
    pub workload: Workload,
    /// The main container's CPU request, as a Kubernetes quantity.
    pub cpu_request: &'static str,
    /// The main container's memory request, as a Kubernetes quantity.
    pub memory_request: &'static str,
    /// The main container's CPU limit, as a Kubernetes quantity.
    pub cpu_limit: &'static str,
    /// The main container's memory limit, as a Kubernetes quantity.
    pub memory_limit: &'static str,
    /// The volumes for which it claims storage.
    pub volumes: &'static [Volume],
    /// The TCP port it answers HTTP on, also its Service's port, named [`PORT_NAME`].
    pub port: u16,
}

/// A kind of workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` ReplicaSet, without a Deployment over it.
    ReplicaSet,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
}

impl Workload {
    /// The kind, as in manifests.
    pub fn kind(self) -> &'static str {
        match self {
            Workload::Deployment => "Deployment",
            Workload::ReplicaSet => "ReplicaSet",
            Workload::StatefulSet => "StatefulSet",
            Workload::DaemonSet => "DaemonSet",
        }
    }
}

/// A volume of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// What the component keeps.
    Data,
    /// What it logs; the sidecar reads it.
    Logs,
}

impl Volume {
    /// The volume's name in the pod, and its claim's name up to the component's.
    pub fn name(self) -> &'static str {
        match self {
            Volume::Data => "data",
            Volume::Logs => "logs",
        }
    }

    /// Where containers mount it.
    pub fn path(self) -> &'static str {
        match self {
            Volume::Data => "/data",
            Volume::Logs => "/logs",
        }
    }
}

/// The name of every component's port, in its containers and Services.
pub const PORT_NAME: &str = "http";

/// The sidecar beside each main container: without requests or limits of its own.
pub const SIDECAR: &str = "fluentbit";

/// The port on which the controller answers (`spec.services` of a DataController).
pub const CONTROLLER_PORT: u16 = 30080;

/// The Service that exposes the controller outside the cluster, of the type that `spec.services` asks for.
pub const CONTROLLER_EXTERNAL_SERVICE: &str = "controller-svc-external";

const DATA_AND_LOGS: &[Volume] = &[Volume::Data, Volume::Logs];

/// The control plane's eight components.
pub const COMPONENTS: [Component; 8] = [
    Component {
        name: "bootstrapper",
        workload: Workload::Deployment,
        cpu_request: "100m",
        memory_request: "100Mi",
        cpu_limit: "200m",
        memory_limit: "200Mi",
        volumes: &[],
        port: 8080,
    },
    Component {
        name: "control",
        workload: Workload::ReplicaSet,
        cpu_request: "400m",
        memory_request: "2Gi",
        cpu_limit: "1800m",
        memory_limit: "2Gi",
        volumes: DATA_AND_LOGS,
        port: CONTROLLER_PORT,
    },
    Component {
        name: "controldb",
        workload: Workload::StatefulSet,
        cpu_request: "200m",
        memory_request: "4Gi",
        cpu_limit: "800m",
        memory_limit: "6Gi",
        volumes: DATA_AND_LOGS,
        port: 1433,
    },
    Component {
        name: "logsdb",
        workload: Workload::StatefulSet,
        cpu_request: "200m",
        memory_request: "1600Mi",
        cpu_limit: "2",
        memory_limit: "1600Mi",
        volumes: DATA_AND_LOGS,
        port: 9200,
    },
    Component {
        name: "logsui",
        workload: Workload::ReplicaSet,
        cpu_request: "100m",
        memory_request: "500Mi",
        cpu_limit: "2",
        memory_limit: "2Gi",
        volumes: &[],
        port: 5601,
    },
    Component {
        name: "metricsdb",
        workload: Workload::StatefulSet,
        cpu_request: "200m",
        memory_request: "800Mi",
        cpu_limit: "400m",
        memory_limit: "2Gi",
        volumes: DATA_AND_LOGS,
        port: 8086,
    },
    Component {
        name: "metricsdc",
        workload: Workload::DaemonSet,
        cpu_request: "100m",
        memory_request: "200Mi",
        cpu_limit: "200m",
        memory_limit: "300Mi",
        volumes: &[],
        port: 8125,
    },
    Component {
        name: "metricsui",
        workload: Workload::ReplicaSet,
        cpu_request: "20m",
        memory_request: "200Mi",
        cpu_limit: "500m",
        memory_limit: "200Mi",
        volumes: &[],
        port: 3000,
    },
];

impl Component {
    /// The component of this name.
    pub fn named(name: &str) -> Option<&'static Component> {
        COMPONENTS.iter().find(|component| component.name == name)
    }

    /// The component whose pod this is, by its label `app`.
    pub fn of_pod(pod: &Pod) -> Option<&'static Component> {
        Component::named(pod.labels().get("app")?)
    }

    /// The headless Service that names its pods, if it is a StatefulSet.
    pub fn headless_service(&self) -> Option<String> {
        (self.workload == Workload::StatefulSet).then(|| format!("{}-svc", self.name))
    }

    /// The claims of its (first) pod: `data-control`, `logs-controldb-0`, ...
    pub fn claims(&self) -> Vec<String> {
        let suffix = if self.workload == Workload::StatefulSet { "-0" } else { "" };
        self.volumes.iter().map(|volume| format!("{}-{}{suffix}", volume.name(), self.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_component_is_found_by_its_name() {
        assert_eq!(Component::named("controldb").unwrap().workload, Workload::StatefulSet);
        assert_eq!(Component::named("control-db"), None);
    }

    #[test]
    fn names_and_ports_are_unique() {
        assert_eq!(COMPONENTS.iter().map(|component| component.name).collect::<BTreeSet<_>>().len(), COMPONENTS.len());
        assert_eq!(COMPONENTS.iter().map(|component| component.port).collect::<BTreeSet<_>>().len(), COMPONENTS.len());
    }

    // The documentation adds the control plane's requests up to these.
    #[test]
    fn requests_add_up_to_the_documented_sum() {
        let millicores = |quantity: &str| quantity.strip_suffix('m').unwrap().parse::<u32>().unwrap();
        let mebibytes = |quantity: &str| match quantity.strip_suffix("Gi") {
            Some(gibibytes) => gibibytes.parse::<u32>().unwrap() * 1024,
            None => quantity.strip_suffix("Mi").unwrap().parse().unwrap(),
        };
        assert_eq!(COMPONENTS.iter().map(|component| millicores(component.cpu_request)).sum::<u32>(), 1320);
        assert_eq!(COMPONENTS.iter().map(|component| mebibytes(component.memory_request)).sum::<u32>(), 9544);
    }

    #[test]
    fn claims_are_named_as_kubernetes_names_them() {
        assert_eq!(Component::named("control").unwrap().claims(), ["data-control", "logs-control"]);
        assert_eq!(Component::named("logsdb").unwrap().claims(), ["data-logsdb-0", "logs-logsdb-0"]);
        assert!(Component::named("logsui").unwrap().claims().is_empty());
    }
}

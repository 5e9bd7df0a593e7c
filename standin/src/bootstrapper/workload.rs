//! The components' workloads, pods and claims, as the stand-in runs them.

use k8s_openapi::{
    api::{
        apps::v1::{
            DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, ReplicaSetSpec, StatefulSet,
            StatefulSetSpec,
        },
        core::v1::{
            Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
            ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource,
            PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext,
            Volume as PodVolume, VolumeMount, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use std::collections::BTreeMap;

use crate::arc::{
    Component,
    components::{PORT_NAME, SIDECAR, Volume, Workload},
    data_controller::{Claim, Storage},
};

/// The label that names the DataController a thing belongs to.
pub(crate) const RESOURCE_LABEL: &str = "arc-resource";

/// Set in every pod to the stand-in's image.
pub(crate) const IMAGE_VARIABLE: &str = "STANDIN_IMAGE";

/// The user that components run as: the one of Microsoft's manifests (`bootstrapper.yaml` in `microsoft/azure_arc`).
const USER: i64 = 1_000_700_001;

/// The components stop at once when told to.
const GRACE_SECONDS: i64 = 10;

/// Where a component is to run, and as part of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    /// The namespace.
    pub(crate) namespace: &'a str,
    /// The DataController's name.
    pub(crate) data_controller: &'a str,
    /// The stand-in's image.
    pub(crate) image: &'a str,
    /// The pod's service account.
    pub(crate) service_account: &'a str,
}

/// The labels of everything that belongs to a component; they also select its pods.
pub(crate) fn labels(component: &Component, data_controller: &str) -> BTreeMap<String, String> {
    [("app".to_owned(), component.name.to_owned()), (RESOURCE_LABEL.to_owned(), data_controller.to_owned())].into()
}

/// The metadata of something named `name` that belongs to a component.
pub(crate) fn metadata(name: &str, component: &Component, site: &Site<'_>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(site.namespace.to_owned()),
        labels: Some(labels(component, site.data_controller)),
        ..Default::default()
    }
}

/// The bootstrapper's own Deployment, which the launcher creates.
pub(crate) fn deployment(component: &Component, site: &Site<'_>) -> Deployment {
    let mut template = template(component, site, vec![component.name.to_owned()]);
    if let Some(pod) = template.spec.as_mut() {
        pod.automount_service_account_token = Some(true);
    }
    Deployment {
        metadata: metadata(component.name, component, site),
        spec: Some(DeploymentSpec {
            replicas: Some(1),
            selector: selector(component, site),
            template,
            // Two would reconcile the same objects.
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None }),
            ..Default::default()
        }),
        status: None,
    }
}

/// A ReplicaSet of one pod; its claims are [`claims`].
pub(crate) fn replica_set(component: &Component, site: &Site<'_>) -> ReplicaSet {
    ReplicaSet {
        metadata: metadata(component.name, component, site),
        spec: Some(ReplicaSetSpec {
            replicas: Some(1),
            selector: selector(component, site),
            template: Some(template(component, site, component_role(component))),
            ..Default::default()
        }),
        status: None,
    }
}

/// A StatefulSet of one pod, with templates of its claims.
pub(crate) fn stateful_set(component: &Component, site: &Site<'_>, storage: &Storage) -> StatefulSet {
    let templates = component.volumes.iter().map(|&volume| claim(volume.name(), volume, component, site, storage)).collect();
    StatefulSet {
        metadata: metadata(component.name, component, site),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: component.headless_service(),
            selector: selector(component, site),
            template: template(component, site, component_role(component)),
            volume_claim_templates: Some(templates),
            ..Default::default()
        }),
        status: None,
    }
}

/// A DaemonSet.
pub(crate) fn daemon_set(component: &Component, site: &Site<'_>) -> DaemonSet {
    DaemonSet {
        metadata: metadata(component.name, component, site),
        spec: Some(DaemonSetSpec {
            selector: selector(component, site),
            template: template(component, site, component_role(component)),
            ..Default::default()
        }),
        status: None,
    }
}

/// The claims that no template makes.
pub(crate) fn claims(component: &Component, site: &Site<'_>, storage: &Storage) -> Vec<PersistentVolumeClaim> {
    if component.workload == Workload::StatefulSet {
        return Vec::new();
    }
    let named = component.volumes.iter().zip(component.claims());
    named.map(|(&volume, name)| claim(&name, volume, component, site, storage)).collect()
}

fn claim(name: &str, volume: Volume, component: &Component, site: &Site<'_>, storage: &Storage) -> PersistentVolumeClaim {
    let Claim { access_mode, class_name, size } = match volume {
        Volume::Data => &storage.data,
        Volume::Logs => &storage.logs,
    };
    // A template's claims are put into the StatefulSet's namespace; saying so again would differ from what is stored.
    let mut metadata = metadata(name, component, site);
    metadata.namespace = metadata.namespace.filter(|_| component.workload != Workload::StatefulSet);
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![access_mode.clone()]),
            storage_class_name: class_name.clone(),
            resources: Some(VolumeResourceRequirements { requests: Some(quantities(&[("storage", size)])), limits: None }),
            ..Default::default()
        }),
        status: None,
    }
}

fn selector(component: &Component, site: &Site<'_>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels(component, site.data_controller)), match_expressions: None }
}

/// The arguments with which the stand-in plays a component.
fn component_role(component: &Component) -> Vec<String> {
    let mut arguments = vec!["component".to_owned(), "--name".into(), component.name.into()];
    if component.volumes.contains(&Volume::Data) {
        arguments.extend(["--data".into(), Volume::Data.path().into()]);
    }
    arguments
}

/// The pod of a component: a main container in the given role, and the sidecar, which reads its logs.
fn template(component: &Component, site: &Site<'_>, mut role: Vec<String>) -> PodTemplateSpec {
    let logs = ["--logs".to_owned(), Volume::Logs.path().to_owned()];
    role.extend(["--port".to_owned(), component.port.to_string()]);
    role.extend(logs.clone());
    let sidecar: Vec<String> = [SIDECAR.to_owned()].into_iter().chain(logs).collect();
    let main = Container {
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&[("cpu", component.cpu_request), ("memory", component.memory_request)])),
            limits: Some(quantities(&[("cpu", component.cpu_limit), ("memory", component.memory_limit)])),
            ..Default::default()
        }),
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.into()),
            container_port: component.port.into(),
            protocol: Some("TCP".into()),
            ..Default::default()
        }]),
        readiness_probe: Some(probe("/readyz", 1)),
        liveness_probe: Some(probe("/healthz", 10)),
        volume_mounts: Some(mounts(component)),
        ..container(component.name, site.image, role)
    };
    let sidecar = Container { volume_mounts: Some(vec![mount(Volume::Logs, true)]), ..container(SIDECAR, site.image, sidecar) };
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels(component, site.data_controller)), ..Default::default() }),
        spec: Some(PodSpec {
            containers: vec![main, sidecar],
            volumes: Some(volumes(component)).filter(|volumes| !volumes.is_empty()),
            service_account_name: Some(site.service_account.to_owned()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                fs_group: Some(USER),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
                ..Default::default()
            }),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            ..Default::default()
        }),
    }
}

/// A container of the stand-in's image in one of its roles.
fn container(name: &str, image: &str, role: Vec<String>) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        // It is on the node already, and may be in no registry.
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(role),
        env: Some(vec![
            EnvVar { name: IMAGE_VARIABLE.into(), value: Some(image.to_owned()), value_from: None },
            from_field("POD_NAME", "metadata.name"),
            from_field("POD_NAMESPACE", "metadata.namespace"),
        ]),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { api_version: Some("v1".into()), field_path: path.into() };
    EnvVar { name: name.into(), value: None, value_from: Some(EnvVarSource { field_ref: Some(field), ..Default::default() }) }
}

fn probe(path: &str, period_seconds: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(PORT_NAME.into()),
            ..Default::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        ..Default::default()
    }
}

fn mounts(component: &Component) -> Vec<VolumeMount> {
    let data = component.volumes.contains(&Volume::Data).then(|| mount(Volume::Data, false));
    data.into_iter().chain([mount(Volume::Logs, false)]).collect()
}

fn mount(volume: Volume, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.name().into(),
        mount_path: volume.path().into(),
        read_only: read_only.then_some(true),
        ..Default::default()
    }
}

/// The pod's volumes that no template of a claim makes: its claims, or where it has none a directory for its logs.
fn volumes(component: &Component) -> Vec<PodVolume> {
    if component.workload == Workload::StatefulSet {
        return Vec::new();
    }
    if component.volumes.is_empty() {
        let empty = Some(EmptyDirVolumeSource::default());
        return vec![PodVolume { name: Volume::Logs.name().into(), empty_dir: empty, ..Default::default() }];
    }
    let named = component.volumes.iter().zip(component.claims());
    named
        .map(|(volume, claim_name)| PodVolume {
            name: volume.name().into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name, read_only: None }),
            ..Default::default()
        })
        .collect()
}

fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    pairs.iter().map(|&(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned()))).collect()
}

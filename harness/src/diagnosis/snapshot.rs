//! What the cluster says of a namespace at one moment.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use futures::future::join_all;
use k8s_openapi::{
    api::{
        core::v1::{Container, ContainerStatus, Event, Namespace, Node, PersistentVolumeClaim, Pod, PodSpec},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::{Held, held};

/// What the cluster says of a namespace at one moment: all that a diagnosis reads.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The namespace itself; none, if it is gone or was not to be read.
    pub namespace: Option<Namespace>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// Its events.
    pub events: Vec<Event>,
    /// Its claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// The cluster's storage classes; none, if they were not to be read.
    pub classes: Option<Vec<StorageClass>>,
    /// The cluster's nodes.
    pub nodes: Vec<Node>,
    /// The pods of all namespaces that are on a node: what the nodes' resources are requested by.
    pub scheduled: Vec<Pod>,
    /// The last lines of the logs of containers that failed, by `pod/container`.
    pub logs: BTreeMap<String, String>,
    /// What in it waits for finalizers, if the namespace is to go.
    pub held: Vec<Held>,
}

/// How many lines of a failed container's log are kept.
const LOG_TAIL_LINES: i64 = 15;

/// Of how many failed containers logs are read; after so many alike, more say nothing new.
const LOGS_READ: usize = 8;

impl Snapshot {
    /// Takes one; what the API does not give within `budget` is left empty.
    pub async fn take(client: Client, namespace: &str, budget: Duration) -> Self {
        let ends = Instant::now() + budget;
        let namespaces = Api::<Namespace>::all(client.clone());
        let pods_api = Api::<Pod>::namespaced(client.clone(), namespace);
        let on_a_node = ListParams::default().fields("spec.nodeName!=");
        let everything = ListParams::default();
        let (own, pods, events, claims, classes, nodes, scheduled) = tokio::join!(
            timeout_at(ends, namespaces.get_opt(namespace)),
            list(ends, pods_api.clone(), &everything),
            list(ends, Api::<Event>::namespaced(client.clone(), namespace), &everything),
            list(ends, Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace), &everything),
            list(ends, Api::<StorageClass>::all(client.clone()), &everything),
            list(ends, Api::<Node>::all(client.clone()), &everything),
            list(ends, Api::<Pod>::all(client.clone()), &on_a_node),
        );
        let pods = pods.unwrap_or_default();
        let own = own.ok().and_then(Result::ok).flatten();
        let held = async {
            match own.as_ref().filter(|own| own.metadata.deletion_timestamp.is_some()) {
                Some(own) => timeout_at(ends, held::objects(&client, own)).await.unwrap_or_default(),
                None => Vec::new(),
            }
        };
        Self {
            held: held.await,
            namespace: own,
            logs: logs_of_failed(ends, &pods_api, &pods).await,
            pods,
            events: events.unwrap_or_default(),
            claims: claims.unwrap_or_default(),
            classes,
            nodes: nodes.unwrap_or_default(),
            scheduled: scheduled.unwrap_or_default(),
        }
    }

    /// The events about an object, newest first.
    pub(super) fn events_about(&self, kind: &str, name: &str) -> Vec<&Event> {
        let about = |event: &&Event| {
            event.involved_object.kind.as_deref() == Some(kind) && event.involved_object.name.as_deref() == Some(name)
        };
        let mut events: Vec<&Event> = self.events.iter().filter(about).collect();
        events.sort_by_key(|event| std::cmp::Reverse(last_seen(event).map(|time| time.0)));
        events
    }

    /// The newest event about an object with one of these reasons.
    pub(super) fn newest_event(&self, kind: &str, name: &str, reasons: &[&str]) -> Option<&Event> {
        self.events_about(kind, name).into_iter().find(|event| reasons.contains(&reason(event)))
    }

    /// The tail of a failed container's log as evidence; empty, if there is none.
    pub(super) fn log_tail(&self, pod: &str, container: &str) -> Vec<String> {
        let log = self.logs.get(&format!("{pod}/{container}"));
        log.map(|log| log.trim_end().lines().map(|line| format!("log: {line}")).collect()).unwrap_or_default()
    }
}

async fn list<K>(ends: Instant, api: Api<K>, which: &ListParams) -> Option<Vec<K>>
where
    K: Clone + Debug + DeserializeOwned,
{
    match timeout_at(ends, api.list(which)).await {
        Ok(Ok(list)) => Some(list.items),
        Ok(Err(error)) => {
            tracing::debug!(error = crate::chain(&error), "a diagnosis goes without a list");
            None
        }
        Err(_) => None,
    }
}

async fn logs_of_failed(ends: Instant, api: &Api<Pod>, pods: &[Pod]) -> BTreeMap<String, String> {
    let failed = pods.iter().flat_map(|pod| {
        let failed = containers(pod).into_iter().filter_map(|container| {
            let state = container.status.state.as_ref();
            let ended = state.and_then(|state| state.terminated.as_ref()).is_some_and(|ended| ended.exit_code != 0);
            let ended_before = container.last_ended().is_some_and(|ended| ended.exit_code != 0);
            (ended || ended_before).then(|| (container.status.name.clone(), !ended))
        });
        failed.map(|(container, previous)| (pod.name_any(), container, previous)).collect::<Vec<_>>()
    });
    let reads = failed.take(LOGS_READ).map(|(pod, container, previous)| async move {
        let which =
            LogParams { container: Some(container.clone()), previous, tail_lines: Some(LOG_TAIL_LINES), ..LogParams::default() };
        let log = timeout_at(ends, api.logs(&pod, &which)).await.ok()?.ok()?;
        Some((format!("{pod}/{container}"), log))
    });
    join_all(reads).await.into_iter().flatten().collect()
}

/// A container of a pod: its status, and what was asked for.
pub(super) struct ContainerView<'a> {
    pub(super) status: &'a ContainerStatus,
    pub(super) spec: Option<&'a Container>,
}

impl ContainerView<'_> {
    /// Why it waits, if it does: reason and message.
    pub(super) fn waits(&self) -> Option<(&str, &str)> {
        let waiting = self.status.state.as_ref()?.waiting.as_ref()?;
        Some((waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref().unwrap_or_default()))
    }

    /// How it ended, if it is at an end now.
    pub(super) fn ended(&self) -> Option<&k8s_openapi::api::core::v1::ContainerStateTerminated> {
        self.status.state.as_ref()?.terminated.as_ref()
    }

    /// How it ended the last time before now.
    pub(super) fn last_ended(&self) -> Option<&k8s_openapi::api::core::v1::ContainerStateTerminated> {
        self.status.last_state.as_ref()?.terminated.as_ref()
    }

    /// Whether it is still before its first start for a reason outside of it: sandbox, volumes, images.
    pub(super) fn is_being_created(&self) -> bool {
        self.waits().is_some_and(|(reason, _)| matches!(reason, "ContainerCreating" | "PodInitializing"))
    }
}

/// A pod's containers that have a status, init containers first.
pub(super) fn containers(pod: &Pod) -> Vec<ContainerView<'_>> {
    let spec_of = |name: &str| -> Option<&Container> {
        let spec: &PodSpec = pod.spec.as_ref()?;
        spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
    };
    let Some(status) = &pod.status else { return Vec::new() };
    let statuses = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    statuses.map(|status| ContainerView { status, spec: spec_of(&status.name) }).collect()
}

/// Whether no container of a scheduled pod has come so far as to have its image pulled.
pub(super) fn is_before_its_containers(pod: &Pod) -> bool {
    let containers = containers(pod);
    !containers.is_empty()
        && containers.iter().all(|container| container.is_being_created() && container.status.restart_count == 0)
}

/// An event's reason.
pub(super) fn reason(event: &Event) -> &str {
    event.reason.as_deref().unwrap_or_default()
}

/// An event's message.
pub(super) fn message(event: &Event) -> &str {
    event.message.as_deref().unwrap_or_default()
}

/// How often it was seen.
pub(super) fn times(event: &Event) -> i32 {
    let in_series = event.series.as_ref().and_then(|series| series.count);
    in_series.or(event.count).unwrap_or(1).max(1)
}

/// When it was seen last.
pub(super) fn last_seen(event: &Event) -> Option<Time> {
    let in_series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let micro = in_series.or(event.event_time.as_ref()).map(|time| Time(time.0));
    event.last_timestamp.clone().or(micro).or_else(|| event.first_timestamp.clone())
}

/// An event as evidence: `FailedMount (x7): MountVolume.SetUp failed ...`.
pub(super) fn told(event: &Event) -> String {
    match times(event) {
        1 => format!("{}: {}", reason(event), message(event).trim_end()),
        times => format!("{} (x{times}): {}", reason(event), message(event).trim_end()),
    }
}

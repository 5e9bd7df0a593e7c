//! Pods that a node gets rid of because they use too much, or because it has too little (`pkg/kubelet/eviction`).

use std::cmp::Reverse;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Context;
use super::heartbeat;
use super::node_status::{DISK, Pressure};
use super::pod::{Evicted, Pod};
use super::starting::folder_of;
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{int, list, text};

/// How often a node looks (`monitoringInterval`).
const INTERVAL: Duration = Duration::from_secs(10);
/// Pods of this priority are never evicted (`SystemCriticalPriority`).
const CRITICAL: i64 = 2_000_000_000;
/// With less memory than this a node is short of it, as its kubelet is configured by default (`memory.available<100Mi`).
const LEAST_MEMORY: &str = "100Mi";

/// Whether a pod has to stay whatever happens.
pub(super) fn is_critical(pod: &Value) -> bool {
    int(&pod["spec"]["priority"]) >= CRITICAL
}

/// Looks after a node's resources, while it is not silent.
pub(super) async fn run(context: Arc<Context>, mut silent: watch::Receiver<bool>) {
    let mut ticks = interval(context.outside(INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if silent.wait_for(|silent| !silent).await.is_err() {
            return;
        }
        look(&context);
    }
}

fn look(context: &Context) {
    let pods: Vec<Arc<Pod>> = context.pods().all().filter(|pod| is_active(pod)).cloned().collect();
    let mut has_evicted = false;
    for pod in &pods {
        if let Some(why) = exceeded(context, &pod.object(), &pod.uid) {
            has_evicted |= evict(context, pod, why, false);
        }
    }
    let short = [(Pressure::Memory, "memory"), (Pressure::Disk, "ephemeral-storage")];
    let short = short.into_iter().find(|(pressure, _)| context.pressures.get(*pressure));
    let Some((pressure, resource)) = short.filter(|_| !has_evicted) else { return };
    let about = heartbeat::about(context.node.name());
    let message = format!("Attempting to reclaim {resource}");
    context.recorder.warning(&about, "", "EvictionThresholdMet", message);
    let mut ranked: Vec<&Arc<Pod>> = pods.iter().filter(|pod| !is_critical(&pod.object())).collect();
    ranked.sort_by_key(|pod| rank(&pod.object()));
    // One at a time: the next look shows whether that was enough.
    if let Some(pod) = ranked.first() {
        let threshold = if pressure == Pressure::Memory { LEAST_MEMORY.to_owned() } else { (DISK / 20).to_string() };
        let mut why = format!("The node was low on resource: {resource}. Threshold quantity: {threshold}, available: 0. ");
        for (container, used, request) in usage(context, pod, pressure, resource) {
            why.push_str(&format!(
                "Container {container} was using {}, request is {request}, has larger consumption of {resource}. ",
                binary(used)
            ));
        }
        evict(context, pod, why, true);
    }
}

/// The containers of a pod that use more of a resource than they asked for: what, and what they asked for.
fn usage(context: &Context, pod: &Pod, pressure: Pressure, resource: &str) -> Vec<(String, u64, Quantity)> {
    let folder = folder_of(&context.node.root, &pod.uid);
    let object = pod.object();
    let one = |container: &Value| {
        let name = text(&container["name"]);
        let used = match pressure {
            Pressure::Memory => pod.runtime().newest(name).map_or(0, |attempt| attempt.recipe.container.memory.used()),
            _ => used(&folder.join(name)),
        };
        let request = Quantity::of(&container["resources"]["requests"][resource]);
        let is_more = used > u64::try_from(request.value()).unwrap_or(0);
        is_more.then(|| (name.to_owned(), used, request))
    };
    list(&object["spec"]["containers"]).iter().filter_map(one).collect()
}

/// Bytes as Kubernetes writes them (`resource.BinarySI`).
fn binary(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        whole if whole % (1 << 20) == 0 => format!("{}Mi", whole >> 20),
        whole if whole % (1 << 10) == 0 => format!("{}Ki", whole >> 10),
        other => other.to_string(),
    }
}

fn is_active(pod: &Pod) -> bool {
    pod.is_admitted.load(Ordering::Relaxed) && pod.wanted.borrow().evicted.is_none()
}

/// Those come first that are less important, and of these the ones that have asked for less: they use more than they asked for.
fn rank(pod: &Value) -> (i64, bool, Reverse<String>) {
    let asks = text(&pod["status"]["qosClass"]) != "BestEffort";
    (int(&pod["spec"]["priority"]), asks, Reverse(text(&pod["metadata"]["creationTimestamp"]).to_owned()))
}

/// Lets a pod go. `disrupts`: it is not its own fault.
fn evict(context: &Context, pod: &Arc<Pod>, message: String, disrupts: bool) -> bool {
    let object = pod.object();
    if is_critical(&object) {
        return false;
    }
    context.recorder.warning(&object, "", "Evicted", &message);
    pod.wanted.send_modify(|wanted| wanted.evicted = Some(Arc::new(Evicted { message, disrupts })));
    true
}

/// What a pod uses too much of (`localStorageEviction`).
fn exceeded(context: &Context, pod: &Value, uid: &str) -> Option<String> {
    let limit = |quantity: &Value| u64::try_from(Quantity::of(quantity).value()).ok().filter(|bytes| *bytes > 0);
    let root = &context.node.root;
    let volumes = root.join("var/lib/kubelet/pods").join(uid).join("volumes/kubernetes.io~empty-dir");
    for volume in list(&pod["spec"]["volumes"]) {
        let (name, size) = (text(&volume["name"]), &volume["emptyDir"]["sizeLimit"]);
        if limit(size).is_some_and(|most| used(&volumes.join(name)) > most) {
            return Some(format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{}\". ", Quantity::of(size)));
        }
    }
    let containers = list(&pod["spec"]["containers"]);
    let most = |container: &Value| limit(&container["resources"]["limits"]["ephemeral-storage"]);
    let folder = folder_of(root, uid);
    let own = |container: &Value| used(&folder.join(text(&container["name"])));
    if !containers.is_empty() && containers.iter().all(|container| most(container).is_some()) {
        let all: u64 = containers.iter().map(own).sum::<u64>() + used(&volumes);
        let most = containers.iter().filter_map(most).fold(0, u64::saturating_add);
        if all > most {
            let mut limit = Quantity::integer(0);
            for container in containers {
                limit.add(&Quantity::of(&container["resources"]["limits"]["ephemeral-storage"]));
            }
            return Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "));
        }
    }
    let greedy = containers.iter().find(|container| most(container).is_some_and(|most| own(container) > most))?;
    let limit = Quantity::of(&greedy["resources"]["limits"]["ephemeral-storage"]);
    Some(format!("Container {} exceeded its local ephemeral storage limit \"{limit}\". ", text(&greedy["name"])))
}

/// The bytes below a folder, a path without links; those that a program has put there lead nowhere.
fn used(folder: &Path) -> u64 {
    let mut left: Vec<PathBuf> = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = left.pop() {
        let is_there = fs::canonicalize(&folder).is_ok_and(|real| real == folder);
        let Some(entries) = is_there.then(|| fs::read_dir(folder).ok()).flatten() else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => left.push(entry.path()),
                // Of what it takes on the disk, as `du` counts it.
                _ => bytes += entry.metadata().map_or(0, |found| found.blocks() * 512),
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_links_lead_to_is_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(at("own/in")).unwrap();
        fs::create_dir(at("else")).unwrap();
        fs::write(at("own/in/file"), [b'x'; 10_000]).unwrap();
        fs::write(at("else/file"), [b'x'; 100_000]).unwrap();
        let own = used(&at("own"));
        assert!((10_000..100_000).contains(&own), "{own}");
        symlink(at("else"), at("own/link")).unwrap();
        assert_eq!(used(&at("own")), own);
        symlink(at("else"), at("volume")).unwrap();
        assert_eq!(used(&at("volume")), 0);
    }
}

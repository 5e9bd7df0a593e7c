//! local-path-provisioner: a folder on the node for each claim of class `local-path`, made and removed by a helper pod
//! (`rancher/local-path-provisioner`, `sig-storage-lib-external-provisioner`).
//!
//! The real one looks at its helper pod every second; this one is woken by it.

mod config;
mod helper;

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::sync::{Arc, Weak};

use jiff::{SignedDuration, Timestamp};
use k3s_arc_container::{Files, Image, Output, Process};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::Client;
use crate::admission::Objects;
use crate::cluster::Cluster;
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{list, text};
use config::Config;
use helper::{Action, Volume};

const NAME: &str = "rancher.io/local-path";
const ACCOUNT: &str = "local-path-provisioner-service-account";
const MANAGER: &str = "local-path-provisioner";
const CLASSES: &str = "storageclasses";
const PROVISIONER: [&str; 2] = ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The wait after a failure; it doubles with each further one (`controller.DefaultExponentialBackOff…`).
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(15);
const LAST_RETRY: SignedDuration = SignedDuration::from_secs(1000);

pub(super) fn image(cluster: Weak<Cluster>) -> Image {
    let run = move |process: Process| run(cluster.clone(), process);
    Image::new().program("/usr/bin/local-path-provisioner", run).entrypoint(["local-path-provisioner"])
}

/// What is shared by the work on all claims and volumes.
struct Provisioner {
    client: Client,
    /// As events name it.
    identity: String,
    namespace: String,
    log: Output,
    files: Files,
}

/// What one piece of work was about, and how it ended.
struct Done {
    uid: String,
    failed: bool,
}

async fn run(cluster: Weak<Cluster>, mut process: Process) -> i32 {
    let Some(cluster) = cluster.upgrade() else { return 1 };
    let namespace = process.var("POD_NAMESPACE").unwrap_or("local-path-storage").to_owned();
    let identity = format!("{NAME}_{}_{}", process.container.hostname, uuid::Uuid::new_v4());
    let log = process.stdout.clone();
    let (config, files) = (config::path(&process.args), process.container.files.clone());
    if let Err(why) = Config::read(&files, &config) {
        // Where nobody reads there is nobody to tell.
        let _ = writeln!(process.stderr, "{}", line(&cluster, "fatal", &format!("Error starting daemon: {why}")));
        return 1;
    }
    let client = Client::new(cluster.clone(), &namespace, ACCOUNT, MANAGER);
    let signals = process.signals.clone();
    let provisioner = Arc::new(Provisioner { client, identity, namespace, log, files });
    provisioner.say("info", "Provisioner started");
    tokio::select! {
        () = work(&provisioner, &config) => 0,
        () = signals.terminated() => {
            provisioner.say("info", "Receive terminated to exit");
            0
        }
    }
}

/// A line as logrus writes it.
fn line(cluster: &Cluster, level: &str, message: &str) -> String {
    format!("time=\"{}\" level={level} msg={}", cluster.now(), crate::field::quote(message))
}

/// Looks at claims and volumes whenever some have changed, for ever.
async fn work(provisioner: &Arc<Provisioner>, config: &str) {
    let cluster = &provisioner.client.cluster;
    let mut follow = cluster.store.follow();
    let mut under_way: HashSet<String> = HashSet::new();
    // By uid: how often in a row it failed, and when it may be tried again.
    let mut failures: HashMap<String, (u32, Timestamp)> = HashMap::new();
    let mut tasks: JoinSet<Done> = JoinSet::new();
    let mut seen = None;
    loop {
        follow.mark_unchanged();
        let changed = ["persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"];
        let changed = changed.map(|table| cluster.store.changed_at(table));
        let now = cluster.clock();
        let is_due = |uid: &String, next: Timestamp| next <= now && !under_way.contains(uid);
        if seen != Some(changed) || failures.iter().any(|(uid, (_, next))| is_due(uid, *next)) {
            seen = Some(changed);
            for task in wanted(cluster) {
                let uid = task.uid().to_owned();
                let waits = failures.get(&uid).is_some_and(|(_, next)| *next > now);
                if waits || !under_way.insert(uid) {
                    continue;
                }
                tasks.spawn(task.run(provisioner.clone(), config.to_owned()));
            }
            failures.retain(|uid, (_, next)| under_way.contains(uid) || *next > now);
        }
        let next = failures.iter().filter(|(uid, _)| !under_way.contains(*uid)).map(|(_, (_, next))| *next).min();
        tokio::select! {
            Some(done) = tasks.join_next() => {
                let Ok(Done { uid, failed }) = done else { continue };
                under_way.remove(&uid);
                seen = None;
                if failed {
                    let (times, at) = failures.entry(uid).or_insert((0, now));
                    let wait = FIRST_RETRY.checked_mul(1 << (*times).min(10)).unwrap_or(LAST_RETRY).min(LAST_RETRY);
                    (*times, *at) = (*times + 1, cluster.clock().checked_add(wait).unwrap_or(Timestamp::MAX));
                } else {
                    failures.remove(&uid);
                }
            }
            gone = follow.changed() => if gone.is_err() { return },
            () = sleep_until(cluster, next) => {}
        }
    }
}

async fn sleep_until(cluster: &Cluster, at: Option<Timestamp>) {
    match at {
        Some(at) => cluster.time.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A claim to provide for, or a volume to remove.
enum Task {
    Provision(Arc<Value>),
    Delete(Arc<Value>),
}

impl Task {
    fn uid(&self) -> &str {
        let (Self::Provision(object) | Self::Delete(object)) = self;
        text(&object["metadata"]["uid"])
    }

    async fn run(self, provisioner: Arc<Provisioner>, config: String) -> Done {
        let uid = self.uid().to_owned();
        let done = match &self {
            Self::Provision(claim) => provisioner.provision(claim, &config).await,
            Self::Delete(volume) => provisioner.delete(volume, &config).await,
        };
        Done { uid, failed: done.is_err() }
    }
}

/// What is to be done (`shouldProvision`, `shouldDelete`).
fn wanted(cluster: &Cluster) -> Vec<Task> {
    // In this order, so that a volume that is made meanwhile is seen.
    let claims = cluster.list("", "persistentvolumeclaims", None);
    let volumes = cluster.list("", "persistentvolumes", None);
    // It then waits to be bound.
    let has_volume = |claim: &Value| volumes.iter().any(|volume| volume["metadata"]["name"] == *volume_of(claim));
    let is_wanted = |claim: &Value| {
        let annotations = &claim["metadata"]["annotations"];
        let asked = PROVISIONER.iter().find_map(|key| annotations[*key].as_str());
        if !text(&claim["spec"]["volumeName"]).is_empty() || asked != Some(NAME) || has_volume(claim) {
            return false;
        }
        let waits = |class: Arc<Value>| class["volumeBindingMode"] == "WaitForFirstConsumer";
        let class = cluster.get("storage.k8s.io", CLASSES, "", text(&claim["spec"]["storageClassName"]));
        class.is_some_and(|class| !waits(class) || !text(&annotations[SELECTED_NODE]).is_empty())
    };
    let is_unwanted = |volume: &Value| {
        volume["metadata"]["annotations"][PROVISIONED_BY] == NAME
            && volume["metadata"]["deletionTimestamp"].is_null()
            && volume["status"]["phase"] == "Released"
            && volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    };
    let provision = claims.into_iter().filter(|claim| is_wanted(claim)).map(Task::Provision);
    let delete = volumes.iter().filter(|volume| is_unwanted(volume)).cloned().map(Task::Delete);
    provision.chain(delete).collect()
}

impl Provisioner {
    fn say(&self, level: &str, message: &str) {
        let _ = writeln!(self.log.clone(), "{}", line(&self.client.cluster, level, message));
    }

    /// Gives a claim its volume.
    async fn provision(&self, claim: &Value, config: &str) -> Result<(), ()> {
        let metadata = &claim["metadata"];
        let name = volume_of(claim);
        let cluster = &self.client.cluster;
        let class_name = text(&claim["spec"]["storageClassName"]);
        let of = format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]));
        if claim["spec"]["volumeMode"] == "Block" {
            // Said before it begins (`canProvision`).
            let message = format!("{NAME} does not support block volume provisioning");
            self.client.tell(claim, &self.identity, true, "ProvisioningFailed", &message);
            return Err(());
        }
        let message = format!("External provisioner is provisioning volume for claim {}", crate::field::quote(&of));
        self.client.tell(claim, &self.identity, false, "Provisioning", &message);
        let made = match cluster.get("storage.k8s.io", CLASSES, "", class_name) {
            Some(class) => self.make(claim, &class, &name, config).await,
            None => Err(format!("storageclass.storage.k8s.io {} not found", crate::field::quote(class_name))),
        };
        match made {
            Ok(volume) => {
                let created = self.client.create("persistentvolumes", "", volume);
                match created {
                    Ok(_) => {}
                    Err(refusal) if refusal.reason == "AlreadyExists" => {}
                    Err(refusal) => {
                        self.say("error", &format!("volume {name} could not be saved: {}", refusal.message));
                        return Err(());
                    }
                }
                let message = format!("Successfully provisioned volume {name}");
                self.client.tell(claim, &self.identity, false, "ProvisioningSucceeded", &message);
                Ok(())
            }
            Err(why) => {
                let message = format!("failed to provision volume with StorageClass {}: {why}", crate::field::quote(class_name));
                self.client.tell(claim, &self.identity, true, "ProvisioningFailed", &message);
                Err(())
            }
        }
    }

    /// Has the folder made, and describes the volume (`provisionFor`).
    async fn make(&self, claim: &Value, class: &Value, name: &str, config: &str) -> Result<Value, String> {
        let config = Config::read(&self.files, config)?;
        let spec = &claim["spec"];
        if !spec["selector"].is_null() {
            return Err("claim.Spec.Selector is not supported".into());
        }
        if list(&spec["accessModes"]).iter().any(|mode| !matches!(text(mode), "ReadWriteOnce" | "ReadWriteOncePod")) {
            return Err("NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes".into());
        }
        let node = text(&claim["metadata"]["annotations"][SELECTED_NODE]);
        if node.is_empty() {
            return Err("configuration error, no node was specified".into());
        }
        let base = config.path_on(node, text(&class["parameters"]["nodePath"]))?;
        if !class["parameters"]["pathPattern"].is_null() {
            return Err("failed to create path from pattern: the class parameter pathPattern is not emulated".into());
        }
        let (namespace, claim_name) = (text(&claim["metadata"]["namespace"]), text(&claim["metadata"]["name"]));
        let path = format!("{}/{name}_{namespace}_{claim_name}", base.trim_end_matches('/'));
        self.say("info", &format!("Creating volume {name} at {node}:{path}"));
        let storage = &spec["resources"]["requests"]["storage"];
        let volume = Volume { name, path: &path, node, bytes: bytes(storage) };
        self.help(Action::Create, &volume, &config).await?;
        let kind = claim["metadata"]["annotations"]["volumeType"].as_str();
        let kind = kind.or_else(|| class["metadata"]["annotations"]["defaultVolumeType"].as_str()).unwrap_or("hostPath");
        let (field, source) = match kind.to_ascii_lowercase().as_str() {
            "local" => ("local", json!({"path": path})),
            "hostpath" => ("hostPath", json!({"path": path, "type": "DirectoryOrCreate"})),
            _ => {
                let why = format!("{} is not a recognised volume type", crate::field::quote(kind));
                return Err(format!("failed to create persistent volume source: {why}"));
            }
        };
        let hostname = self.client.cluster.object("", "nodes", "", node);
        let hostname = hostname.as_ref().and_then(|found| found["metadata"]["labels"]["kubernetes.io/hostname"].as_str());
        let mut volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": name,
                "annotations": {"local.path.provisioner/selected-node": node, PROVISIONED_BY: NAME},
            },
            "spec": {
                "persistentVolumeReclaimPolicy": class["reclaimPolicy"],
                "accessModes": spec["accessModes"],
                "volumeMode": "Filesystem",
                "capacity": {"storage": storage},
                "claimRef": {
                    "kind": "PersistentVolumeClaim",
                    "apiVersion": "v1",
                    "namespace": namespace,
                    "name": claim_name,
                    "uid": claim["metadata"]["uid"],
                    "resourceVersion": claim["metadata"]["resourceVersion"],
                },
                "storageClassName": text(&spec["storageClassName"]),
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [hostname.unwrap_or(node)]},
                ]}]}},
            },
        });
        volume["spec"][field] = source;
        Ok(volume)
    }

    /// Has a released volume's folder removed, and then the volume (`deleteVolumeOperation`).
    async fn delete(&self, volume: &Value, config: &str) -> Result<(), ()> {
        let name = text(&volume["metadata"]["name"]);
        if let Err(why) = self.unmake(volume, name, config).await {
            let message = format!("failed to delete volume {name}: {why}");
            self.client.tell(volume, &self.identity, true, "VolumeFailedDelete", &message);
            return Err(());
        }
        match self.client.delete("persistentvolumes", "", name) {
            Ok(()) => Ok(()),
            Err(refusal) if refusal.reason == "NotFound" => Ok(()),
            Err(refusal) => {
                self.say("error", &format!("volume {name} could not be deleted: {}", refusal.message));
                Err(())
            }
        }
    }

    async fn unmake(&self, volume: &Value, name: &str, config: &str) -> Result<(), String> {
        let config = Config::read(&self.files, config)?;
        let spec = &volume["spec"];
        let path = spec["local"]["path"].as_str().or_else(|| spec["hostPath"]["path"].as_str());
        let path = path.ok_or_else(|| format!("failed to delete volume {name}: no path set"))?;
        let terms = list(&spec["nodeAffinity"]["required"]["nodeSelectorTerms"]);
        let on =
            terms.iter().flat_map(|term| list(&term["matchExpressions"])).find(|rule| rule["key"] == "kubernetes.io/hostname");
        let node = on.and_then(|rule| list(&rule["values"]).first()).map(text).unwrap_or_default();
        if node.is_empty() {
            return Err(format!("failed to delete volume {name}: cannot find affinited node"));
        }
        self.say("info", &format!("Deleting volume {name} at {node}:{path}"));
        let volume = Volume { name, path, node, bytes: bytes(&spec["capacity"]["storage"]) };
        self.help(Action::Delete, &volume, &config).await
    }
}

/// The name of the volume that a claim is given.
fn volume_of(claim: &Value) -> String {
    format!("pvc-{}", text(&claim["metadata"]["uid"]))
}

/// A quantity in whole bytes.
fn bytes(quantity: &Value) -> i64 {
    Quantity::of(quantity).value()
}

/// When a wait that began now is over.
fn deadline(cluster: &Cluster, seconds: i64) -> Timestamp {
    cluster.clock().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;

    fn create(cluster: &Cluster, group: &str, resource: &str, object: Value) {
        let served = cluster.registry().any_version(group, resource).unwrap();
        let key = Key::new(&served.table, text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        cluster.store.create(&key, object).unwrap();
    }

    fn create_claim(cluster: &Cluster, name: &str, selected_node: Option<&str>) {
        let annotations = json!({PROVISIONER[0]: NAME, SELECTED_NODE: selected_node});
        let metadata = json!({"name": name, "namespace": "default", "uid": name, "annotations": annotations});
        let claim = json!({"metadata": metadata, "spec": {"storageClassName": "of-the-test"}});
        create(cluster, "", "persistentvolumeclaims", claim);
    }

    #[test]
    fn a_claim_is_wanted_until_its_volume_is_there() {
        let cluster = Cluster::new_in_memory();
        let wanted = || wanted(&cluster).iter().map(|task| task.uid().to_owned()).collect::<Vec<_>>();
        let class = json!({"metadata": {"name": "of-the-test"}, "volumeBindingMode": "WaitForFirstConsumer"});
        create(&cluster, "storage.k8s.io", CLASSES, class);
        create_claim(&cluster, "nobody-waits-for-it", None);
        create_claim(&cluster, "a-pod-waits-for-it", Some("k3s-arc-server-0"));
        assert_eq!(wanted(), ["a-pod-waits-for-it"]);

        // The claim is as it was, until somebody binds it: to want it still would be work without end, which keeps him from it.
        create(&cluster, "", "persistentvolumes", json!({"metadata": {"name": "pvc-a-pod-waits-for-it"}}));
        assert_eq!(wanted(), [""; 0]);
    }
}

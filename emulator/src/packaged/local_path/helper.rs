//! The helper pod, which makes and removes a volume's folder on its node (`createHelperPod`).

use serde_json::{Value, json};

use super::config::Config;
use super::{ACCOUNT, Provisioner, deadline};
use crate::kinds::view::text;

/// Its name's limit: the real one's, not that of pods.
const LONGEST_NAME: usize = 128;
/// Where the scripts are, and where the manifest of the pod is.
const CONFIG_MAP: &str = "local-path-config";

/// What the pod is to do.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Create,
    Delete,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Create => "setup",
            Self::Delete => "teardown",
        }
    }
}

/// A volume to be made or removed.
pub(super) struct Volume<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    pub(super) node: &'a str,
    pub(super) bytes: i64,
}

impl Provisioner {
    /// Runs a helper pod to its end.
    pub(super) async fn help(&self, action: Action, volume: &Volume<'_>, config: &Config) -> Result<(), String> {
        let failed = |why: String| format!("failed to {} volume {}: {why}", action.word(), volume.name);
        let pod = self.pod(action, volume).map_err(failed)?;
        let name = text(&pod["metadata"]["name"]).to_owned();
        self.say("info", &format!("create the helper pod {name} into {}", self.namespace));
        match self.client.create("pods", &self.namespace, pod) {
            Ok(_) => {}
            // One that an earlier try left.
            Err(refusal) if refusal.reason == "AlreadyExists" => {}
            Err(refusal) => return Err(failed(refusal.message)),
        }
        let ended = self.succeeded(&name, config.patience).await;
        if let Err(refusal) = self.client.delete("pods", &self.namespace, &name) {
            self.say("error", &format!("unable to delete the helper pod: {}", refusal.message));
        }
        ended.map_err(failed)?;
        self.say("info", &format!("Volume {} has been {}d on {}:{}", volume.name, action.word(), volume.node, volume.path));
        Ok(())
    }

    fn pod(&self, action: Action, volume: &Volume<'_>) -> Result<Value, String> {
        let cluster = &self.client.cluster;
        let scripts = cluster.object("", "configmaps", &self.namespace, CONFIG_MAP);
        let manifest = scripts.as_ref().and_then(|map| map["data"]["helperPod.yaml"].as_str());
        let manifest = manifest.ok_or("invalid empty flag helper-pod-file and it also does not exist at ConfigMap")?;
        let mut pod: Value = serde_saphyr::from_str(manifest).map_err(|error| format!("invalid helper pod: {error}"))?;
        if ![&pod, &pod["metadata"], &pod["spec"]].iter().all(|part| part.is_object()) {
            return Err("invalid helper pod: it has no metadata or no spec".into());
        }
        let (parent, folder) = volume.path.rsplit_once('/').unwrap_or_default();
        if parent.is_empty() || folder.is_empty() {
            return Err(format!(
                "invalid path {} for {}: cannot find parent dir or volume dir or parent dir is relative",
                action.word(),
                volume.path
            ));
        }
        let mut name = format!("{}-{}-{}", text(&pod["metadata"]["name"]), action.word(), volume.name);
        name.truncate(LONGEST_NAME);
        let items = json!([{"key": "setup", "path": "setup"}, {"key": "teardown", "path": "teardown"}]);
        let volumes = json!([
            {"name": "data", "hostPath": {"path": format!("{parent}/"), "type": "DirectoryOrCreate"}},
            {"name": "script", "configMap": {"name": CONFIG_MAP, "items": items}},
        ]);
        let mounts = json!([
            {"name": "script", "mountPath": "/script"},
            {"name": "data", "mountPath": format!("{parent}/")},
        ]);
        let (path, bytes) = (volume.path, volume.bytes.to_string());
        pod["metadata"]["name"] = name.into();
        pod["metadata"]["namespace"] = self.namespace.clone().into();
        let spec = &mut pod["spec"];
        spec["nodeName"] = volume.node.into();
        spec["serviceAccountName"] = ACCOUNT.into();
        spec["restartPolicy"] = "Never".into();
        if spec["tolerations"].is_null() {
            let toleration = json!({"key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": "NoSchedule"});
            spec["tolerations"] = json!([toleration]);
        }
        append(&mut spec["volumes"], volumes);
        let Some(container) = spec["containers"].get_mut(0) else { return Err("helper pod has no containers".into()) };
        append(&mut container["volumeMounts"], mounts);
        let env = json!([
            {"name": "VOL_DIR", "value": path},
            {"name": "VOL_MODE", "value": "Filesystem"},
            {"name": "VOL_SIZE_BYTES", "value": bytes},
        ]);
        append(&mut container["env"], env);
        container["command"] = json!(["/bin/sh", format!("/script/{}", action.script())]);
        container["args"] = json!(["-p", path, "-s", bytes, "-m", "Filesystem", "-a", action.word()]);
        Ok(pod)
    }

    /// Waits until the pod has succeeded.
    async fn succeeded(&self, name: &str, patience: i64) -> Result<(), String> {
        let cluster = &self.client.cluster;
        let mut follow = cluster.store.follow();
        let end = deadline(cluster, patience);
        let mut seen = None;
        loop {
            follow.mark_unchanged();
            let changed = cluster.store.changed_at("pods");
            if seen != Some(changed) {
                seen = Some(changed);
                let pod = cluster.object("", "pods", &self.namespace, name);
                let pod = pod.ok_or_else(|| format!("pods {} not found", crate::field::quote(name)))?;
                if pod["status"]["phase"] == "Succeeded" {
                    return Ok(());
                }
            }
            let left = end.duration_since(cluster.clock());
            let Ok(left) = std::time::Duration::try_from(left) else {
                return Err(format!("create process timeout after {patience} seconds"));
            };
            tokio::select! {
                gone = follow.changed() => if gone.is_err() { return Err("the cluster has ended".into()) },
                () = cluster.time.sleep(left) => {}
            }
        }
    }
}

/// Adds elements to a list that may not be there yet.
fn append(to: &mut Value, more: Value) {
    let Value::Array(more) = more else { return };
    match to {
        Value::Array(present) => present.extend(more),
        other => *other = Value::Array(more),
    }
}

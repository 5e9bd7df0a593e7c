//! Volumes that nobody provides for, and that are to be deleted when they are released: those of a path on the server's node
//! (`pkg/volume/hostpath`, `deleteVolumeOperation`).

use serde_json::Value;

use super::{COMPONENT, VOLUMES};
use crate::controllers::desk::{Desk, NODES};
use crate::kinds::meta::Part;
use crate::kinds::view::text;

/// What a provisioner made is that one's to delete.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// What the controller deletes is in here.
const FOLDER: &str = "/tmp/";

/// Whether the controller itself deletes a volume.
pub(super) fn is_ours(volume: &Value) -> bool {
    let (spec, metadata) = (&volume["spec"], &volume["metadata"]);
    spec["persistentVolumeReclaimPolicy"] == "Delete"
        && spec["hostPath"].is_object()
        && metadata["annotations"][PROVISIONED_BY].is_null()
        && metadata["deletionTimestamp"].is_null()
}

/// Deletes a volume and what is in it. Returns it as it is, if that cannot be done.
pub(super) fn delete(desk: &Desk, volume: &Value) -> Option<Value> {
    match remove_files(desk, text(&volume["spec"]["hostPath"]["path"])) {
        Ok(()) => {
            let deleted = desk.delete(VOLUMES, volume, None);
            desk.heard(volume, deleted);
            None
        }
        Err(why) => {
            let failed = desk.update(VOLUMES, volume, Part::Status, &|live| {
                live["status"]["phase"] = "Failed".into();
                live["status"]["message"] = why.as_str().into();
            });
            let failed = desk.heard(volume, failed)?;
            desk.tell(&failed, COMPONENT, true, "VolumeFailedDelete", &why);
            Some(failed)
        }
    }
}

fn remove_files(desk: &Desk, path: &str) -> Result<(), String> {
    if path.strip_prefix(FOLDER).is_none_or(str::is_empty) {
        return Err(format!("host_path deleter only supports /tmp/.+ but received provided {path}"));
    }
    let nodes = desk.all(NODES);
    let server = nodes.iter().find(|node| node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] == "true");
    let server = server.and_then(|node| desk.cluster.nodes.get(text(&node["metadata"]["name"])));
    let Some(server) = server else { return Ok(()) };
    match server.node().files().remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
        _ => Ok(()),
    }
}

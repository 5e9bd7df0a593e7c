//! Volumes on a node's disk, each kind. What is expected was seen on a real K3s v1.34.1, but for what is not emulated.

use rstest::rstest;
use serde_json::json;

use super::super::testing::{NAMESPACE, UID, World};
use super::*;

impl World {
    /// Sets up the one volume of a pod. Returns where it is on the node.
    fn volume(&self, pod: &Value) -> PathBuf {
        set_up(&self.node, pod).unwrap().get("v").unwrap().path.clone()
    }

    fn refusal(&self, pod: &Value) -> SetupError {
        set_up(&self.node, pod).unwrap_err()
    }

    /// Mode, user and group of a path of the node, links not followed.
    fn seen(&self, path: &Path) -> (String, u32, u32) {
        let found = self.node.files().symlink_metadata(path).unwrap();
        (format!("{:o}", found.mode), found.uid, found.gid)
    }

    fn read(&self, path: &Path) -> String {
        self.node.files().read_to_string(path).unwrap()
    }

    /// A claim, and the volume that it is bound to.
    fn claim(&self, phase: &str, mut source: Value) {
        source["claimRef"] = json!({"name": "c", "namespace": NAMESPACE, "uid": "pvc"});
        let volume = json!({"metadata": {"uid": "pv"}, "spec": source});
        self.put("persistentvolumes", "pv1", volume);
        let spec = json!({"volumeName": "pv1"});
        self.put("persistentvolumeclaims", "c", json!({"metadata": {"uid": "pvc"}, "spec": spec, "status": {"phase": phase}}));
    }
}

fn pods_folder() -> PathBuf {
    Path::new("/var/lib/kubelet/pods").join(UID).join("volumes")
}

fn mounts_claim() -> Value {
    json!({"persistentVolumeClaim": {"claimName": "c"}})
}

#[rstest]
#[case::on_disk(json!({}), json!({}), ("777", 0, 0))]
#[case::in_memory(json!({"medium": "Memory", "sizeLimit": "1Mi"}), json!({}), ("1777", 0, 0))]
#[case::of_a_group(json!({}), json!({"securityContext": {"fsGroup": 2000}}), ("2777", 0, 2000))]
fn an_empty_dir(#[case] source: Value, #[case] spec: Value, #[case] (mode, uid, gid): (&str, u32, u32)) {
    let world = World::new();
    let pod = world.pod_with(json!({"emptyDir": source}), spec);
    let volumes = set_up(&world.node, &pod).unwrap();
    let volume = volumes.get("v").unwrap();
    assert_eq!(volume.path, pods_folder().join("kubernetes.io~empty-dir/v"));
    assert_eq!(world.seen(&volume.path), (mode.to_owned(), uid, gid));
    assert_eq!((volume.read_only, volume.size_limit), (false, source.get("sizeLimit").map(|_| 1 << 20)));
    world.node.files().write(volume.path.join("kept"), "x").unwrap();
    assert_eq!(world.read(&world.volume(&pod).join("kept")), "x");
}

#[test]
fn a_config_map() {
    let world = World::new();
    let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AP8="}});
    world.put("configmaps", "x", map);
    let at = world.volume(&world.pod_with(json!({"configMap": {"name": "x"}}), json!({})));
    assert_eq!(at, pods_folder().join("kubernetes.io~configmap/v"));
    assert_eq!(world.seen(&at), ("777".to_owned(), 0, 0));
    assert_eq!(world.read(&at.join("a")), "1");
    assert_eq!(world.node.files().read(at.join("c")).unwrap(), [0, 0xff]);
    assert_eq!(world.seen(&at.join("..data/b")), ("644".to_owned(), 0, 0));
    assert_eq!(world.seen(&world.node.files().canonicalize(at.join("..data")).unwrap()), ("755".to_owned(), 0, 0));

    let items = json!([{"key": "a", "path": "d/one", "mode": 0o400}, {"key": "b", "path": "two"}]);
    let source = json!({"configMap": {"name": "x", "defaultMode": 0o440, "items": items}});
    let at = world.volume(&world.pod_with(source, json!({"securityContext": {"fsGroup": 2000}})));
    let names = world.node.files().read_dir(&at).unwrap();
    assert_eq!(names[2..], ["d", "two"]);
    assert_eq!(world.seen(&at.join("d/one")), ("440".to_owned(), 0, 2000));
    assert_eq!(world.seen(&at.join("..data/d")), ("2755".to_owned(), 0, 2000));
    assert_eq!(world.seen(&at.join("two")), ("777".to_owned(), 0, 2000));
    assert_eq!(world.seen(&at), ("2777".to_owned(), 0, 2000));
}

#[test]
fn a_secret() {
    let world = World::new();
    world.put("secrets", "x", json!({"data": {"k": "c2VjcmV0"}}));
    let source = json!({"secret": {"secretName": "x", "defaultMode": 0o400}});
    let at = world.volume(&world.pod_with(source, json!({"securityContext": {"fsGroup": 2000}})));
    assert_eq!(at, pods_folder().join("kubernetes.io~secret/v"));
    assert_eq!(world.read(&at.join("k")), "secret");
    assert_eq!(world.seen(&at.join("..data/k")), ("440".to_owned(), 0, 2000));
    assert_eq!(world.seen(&at), ("3777".to_owned(), 0, 2000));
}

#[test]
fn the_downward_api() {
    let world = World::new();
    let items = json!([
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "d/note", "fieldRef": {"fieldPath": "metadata.annotations['note']"}, "mode": 0o600},
        {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
        {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Gi"}},
    ]);
    let mut pod = world.pod_with(json!({"downwardAPI": {"items": items}}), json!({}));
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "250m"}});
    let volumes = set_up(&world.node, &pod).unwrap();
    let at = pods_folder().join("kubernetes.io~downward-api/v");
    let read = || ["labels", "d/note", "cpu", "memory"].map(|name| world.read(&at.join(name)));
    // What has no limit is told the node's amount.
    assert_eq!(read(), ["app=\"a\"", "n", "250", "32"]);
    assert_eq!(world.seen(&at.join("..data/d/note")).0, "600");
    // The kubelet has its own.
    let annotations = world.read(&at.join("annotations"));
    let lines: Vec<_> = annotations.lines().collect();
    assert!(lines[0].starts_with("kubernetes.io/config.seen=\"2") && lines[0].ends_with("Z\""), "{annotations}");
    assert_eq!(lines[1..], ["kubernetes.io/config.source=\"api\"", "note=\"n\""]);
    assert_eq!(volumes.refresh(&world.node, &pod), Ok(false));
    pod["metadata"]["labels"]["tier"] = "b".into();
    assert_eq!(volumes.refresh(&world.node, &pod), Ok(true));
    assert_eq!(read()[0], "app=\"a\"\ntier=\"b\"");
}

#[rstest]
#[case::for_everybody(json!({}), ("644", 0, 0))]
#[case::for_the_one_user(json!({"securityContext": {"runAsUser": 1000}}), ("600", 1000, 0))]
#[case::for_the_group(json!({"securityContext": {"fsGroup": 2000}}), ("640", 0, 2000))]
#[case::for_both(json!({"securityContext": {"fsGroup": 2000, "runAsUser": 1000}}), ("640", 1000, 2000))]
fn access_to_the_api(#[case] spec: Value, #[case] (mode, uid, gid): (&str, u32, u32)) {
    let world = World::new();
    world.put("configmaps", "kube-root-ca.crt", json!({"data": {"ca.crt": "CA"}}));
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]);
    let pod = world.pod_with(json!({"projected": {"sources": sources}}), spec);
    let volumes = set_up(&world.node, &pod).unwrap();
    let at = &volumes.get("v").unwrap().path;
    assert_eq!(at, &pods_folder().join("kubernetes.io~projected/v"));
    assert_eq!((world.read(&at.join("ca.crt")).as_str(), world.read(&at.join("namespace")).as_str()), ("CA", NAMESPACE));
    assert_eq!(world.seen(&at.join("..data/token")), (mode.to_owned(), uid, gid));
    let cluster = &world.node.cluster;
    let token = world.read(&at.join("token"));
    let now = cluster.clock().as_second();
    let claims = crate::access::tokens::verify(&cluster.authority.tokens, &token, &["k3s"], now).unwrap();
    assert_eq!(claims.user().name, "system:serviceaccount:default:default");
    assert_eq!(claims.bound(), Some(("pods", "p", UID)));
    assert_eq!(volumes.refresh(&world.node, &pod), Ok(false));
}

#[rstest]
#[case(json!({"configMap": {"name": "x"}}), "configmap \"x\" not found")]
#[case(json!({"secret": {"secretName": "x"}}), "secret \"x\" not found")]
#[case(
    json!({"configMap": {"name": "map", "items": [{"key": "none", "path": "p"}]}}),
    "configmap references non-existent config key: none"
)]
#[case(
    json!({"secret": {"secretName": "s", "items": [{"key": "none", "path": "p"}]}}),
    "references non-existent secret key: none"
)]
#[case(
    json!({"projected": {"sources": [{"configMap": {"name": "x"}}, {"secret": {"name": "y"}}, {"secret": {"name": "y"}}]}}),
    "[configmap \"x\" not found, secret \"y\" not found]"
)]
#[case(json!({"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}}), "projected sources of kind clusterTrustBundle are not emulated")]
#[case(json!({"hostPath": {"path": "/x", "type": "Directory"}}), "hostPath type check failed: /x is not a directory")]
#[case(json!({"nfs": {"server": "s", "path": "/"}}), "volumes of kind nfs are not emulated")]
#[case(json!({"csi": {"driver": "d"}}), "volumes of kind csi are not emulated")]
#[case(json!({"image": {"reference": "i"}}), "volumes of kind image are not emulated")]
#[case(json!({"emptyDir": {"medium": "HugePages"}}), "storage medium \"HugePages\" is not emulated")]
#[case(
    json!({"downwardAPI": {"items": [{"path": "x", "resourceFieldRef": {"containerName": "no", "resource": "limits.cpu"}}]}}),
    "container no not found"
)]
fn what_cannot_be_set_up(#[case] source: Value, #[case] why: &str) {
    let world = World::new();
    world.put("configmaps", "map", json!({"data": {"a": "1"}}));
    world.put("secrets", "s", json!({"data": {"a": "MQ=="}}));
    let refusal = world.refusal(&world.pod_with(source, json!({})));
    assert_eq!((refusal.volume.as_str(), refusal.reason), ("v", "FailedMount"));
    assert_eq!(refusal.message, format!("MountVolume.SetUp failed for volume \"v\" : {why}"));
}

#[rstest]
#[case(json!({"configMap": {"name": "x", "optional": true}}))]
#[case(json!({"secret": {"secretName": "x", "optional": true}}))]
#[case(json!({"secret": {"secretName": "s", "optional": true, "items": [{"key": "none", "path": "p"}]}}))]
#[case(json!({"projected": {"sources": [{"secret": {"name": "x", "optional": true}}]}}))]
fn what_is_optional_may_be_missing(#[case] source: Value) {
    let world = World::new();
    world.put("secrets", "s", json!({"data": {"a": "MQ=="}}));
    let at = world.volume(&world.pod_with(source, json!({})));
    let names = world.node.files().read_dir(&at).unwrap();
    assert!(names.iter().all(|name| name.starts_with("..")), "{names:?}");
}

#[test]
fn what_nobody_mounts_is_not_set_up() {
    let world = World::new();
    let pod = world.pod(json!({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}), json!({}));
    assert!(set_up(&world.node, &pod).unwrap().get("v").is_none());
}

#[rstest]
#[case::host_path(json!({"hostPath": {"path": "/data", "type": "DirectoryOrCreate"}}), ("755", 0, 0))]
#[case::local(json!({"local": {"path": "/disk"}}), ("2770", 0, 2000))]
fn a_claim(#[case] source: Value, #[case] (mode, uid, gid): (&str, u32, u32)) {
    let world = World::new();
    world.node.files().create_dir_all("/disk").unwrap();
    world.node.files().set_mode("/disk", 0o700).unwrap();
    world.claim("Bound", source);
    let pod = world.pod_with(mounts_claim(), json!({"securityContext": {"fsGroup": 2000}}));
    let volumes = set_up(&world.node, &pod).unwrap();
    let at = volumes.get("v").unwrap().path.clone();
    assert_eq!(world.seen(&at), (mode.to_owned(), uid, gid));
    world.node.files().write(at.join("kept"), "x").unwrap();
    volumes.tear_down(&world.node).unwrap();
    assert_eq!(world.read(&at.join("kept")), "x");
}

#[test]
fn a_group_is_not_changed_where_the_root_is_right() {
    let world = World::new();
    let files = world.node.files();
    files.create_dir_all("/disk").unwrap();
    world.claim("Bound", json!({"local": {"path": "/disk"}}));
    let context = json!({"securityContext": {"fsGroup": 2000, "fsGroupChangePolicy": "OnRootMismatch"}});
    let pod = world.pod_with(mounts_claim(), context);
    let at = world.volume(&pod);
    files.write(at.join("x"), "").unwrap();
    files.set_owner(at.join("x"), 7, 7).unwrap();
    world.volume(&pod);
    assert_eq!(world.seen(&at.join("x")).2, 7);
    let mut pod = pod;
    pod["spec"]["securityContext"]["fsGroupChangePolicy"] = "Always".into();
    world.volume(&pod);
    assert_eq!(world.seen(&at.join("x")), ("664".to_owned(), 7, 2000));
}

#[rstest]
#[case("Pending", json!({"hostPath": {"path": "/x"}}), "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], \
    failed to process volumes=[v]: error processing PVC default/c: PVC is not bound")]
#[case("Bound", json!({"local": {"path": "/none"}}),
    "MountVolume.NewMounter initialization failed for volume \"pv1\" : path \"/none\" does not exist")]
#[case("Bound", json!({"nfs": {"server": "s", "path": "/"}}),
    "MountVolume.SetUp failed for volume \"pv1\" : volumes of kind nfs are not emulated")]
#[case("Bound", json!({"hostPath": {"path": "/x"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
    {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}]}}}),
    "MountVolume.NodeAffinity check failed for volume \"pv1\" : no matching NodeSelectorTerms")]
#[case("Bound", json!({"hostPath": {"path": "/x"}, "volumeMode": "Block"}), "Unable to attach or mount volumes: unmounted volumes=[v], \
    unattached volumes=[], failed to process volumes=[v]: volume v has volumeMode Block, but is specified in volumeMounts")]
fn claims_that_cannot_be_used(#[case] phase: &str, #[case] source: Value, #[case] expected: &str) {
    let world = World::new();
    world.put("nodes", "n1", json!({"metadata": {"labels": {"kubernetes.io/hostname": "n1"}}}));
    world.claim(phase, source);
    assert_eq!(world.refusal(&world.pod_with(mounts_claim(), json!({}))).message, expected);
}

#[test]
fn missing_claims_are_told_together() {
    let world = World::new();
    let ephemeral = json!({"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}});
    let spec = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}, ephemeral]});
    let mounts = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "e", "mountPath": "/e"}]});
    let pod = world.pod(spec, mounts);
    let missing = |claim: &str| {
        format!(
            "error processing PVC default/{claim}: failed to fetch PVC from API server: persistentvolumeclaims \"{claim}\" not found"
        )
    };
    let expected = format!(
        "Unable to attach or mount volumes: unmounted volumes=[e v], unattached volumes=[], failed to process volumes=[e v]: {}; {}",
        missing("c"),
        missing("p-e")
    );
    assert_eq!(world.refusal(&pod).message, expected);
}

#[test]
fn an_ephemeral_claim_is_its_pods() {
    let world = World::new();
    world.claim("Bound", json!({"hostPath": {"path": "/x"}}));
    let claim = |owner: &str| {
        let owners = json!([{"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": owner, "controller": true}]);
        let metadata = json!({"uid": "pvc", "ownerReferences": owners});
        world.put(
            "persistentvolumeclaims",
            "p-v",
            json!({"metadata": metadata, "spec": {"volumeName": "pv1"}, "status": {"phase": "Bound"}}),
        );
    };
    let pod = world.pod_with(json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}), json!({}));
    claim("another");
    let refusal = world.refusal(&pod).message;
    assert!(refusal.ends_with("PVC default/p-v was not created for pod default/p (pod is not owner)"), "{refusal}");
    claim(UID);
    assert_eq!(world.volume(&pod), Path::new("/x"));
}

#[test]
fn what_changes_is_written() {
    let world = World::new();
    world.put("configmaps", "x", json!({"data": {"a": "1"}}));
    let pod = world.pod_with(json!({"configMap": {"name": "x"}}), json!({}));
    let volumes = set_up(&world.node, &pod).unwrap();
    let at = volumes.get("v").unwrap().path.clone();
    assert_eq!(volumes.refresh(&world.node, &pod), Ok(false));
    world.put("configmaps", "x", json!({"data": {"a": "2", "b": "3"}}));
    assert_eq!(volumes.refresh(&world.node, &pod), Ok(true));
    assert_eq!((world.read(&at.join("a")).as_str(), world.read(&at.join("b")).as_str()), ("2", "3"));
}

#[test]
fn nothing_of_a_pod_stays() {
    let world = World::new();
    let pod = world.pod_with(json!({"emptyDir": {}}), json!({"securityContext": {"fsGroup": 2000}}));
    let volumes = set_up(&world.node, &pod).unwrap();
    let closed = real(&world.node, &volumes.get("v").unwrap().path).join("closed");
    fs::create_dir_all(closed.join("deep")).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    volumes.tear_down(&world.node).unwrap();
    assert!(world.node.files().read_dir("/var/lib/kubelet/pods").unwrap().is_empty());
    assert_eq!(world.node.disk.owner(closed.parent().unwrap()), (0, 0));
    volumes.tear_down(&world.node).unwrap();
}

mod recorded;

//! What containers see, by the mounts that they are given.

use std::fs;
use std::sync::Arc;

use k3s_arc_container::User;
use rstest::rstest;
use serde_json::json;

use super::super::testing::{UID, World, container};
use super::super::volumes::set_up;
use super::*;

impl World {
    fn mounts(&self, pod: &Value) -> Result<Vec<Mount>, ConfigError> {
        mounts(&self.node, pod, container(pod), &set_up(&self.node, pod).unwrap())
    }

    /// The files that the pod's container sees, as root.
    fn files_of(&self, pod: &Value) -> Files {
        let root = Mount { at: "/".into(), source: self.node.root.join("container"), lower: None, read_only: false };
        fs::create_dir_all(&root.source).unwrap();
        let mut all = self.mounts(pod).unwrap();
        all.push(root);
        Files::new(all, User::default(), Arc::clone(&self.node.disk))
    }

    fn mounts_refusal(&self, pod: &Value) -> String {
        self.mounts(pod).unwrap_err().message
    }

    /// A pod whose container mounts an emptyDir `v` as `mount` says.
    fn pod_mounting(&self, mount: Value) -> Value {
        let mut own = json!({"name": "v", "mountPath": "/v"});
        own.as_object_mut().unwrap().extend(mount.as_object().unwrap().clone());
        let env = json!([{"name": "N", "value": "x"}]);
        self.pod(json!({"volumes": [{"name": "v", "emptyDir": {}}]}), json!({"volumeMounts": [own], "env": env}))
    }

    fn empty_dir(&self) -> PathBuf {
        self.node.root.join(format!("var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir/v"))
    }
}

#[test]
fn what_every_container_has() {
    let world = World::new();
    let pod = world.pod(json!({"hostname": "h"}), json!({}));
    let files = world.files_of(&pod);
    assert!(files.read_to_string("/etc/hosts").unwrap().ends_with("10.42.0.7\th\n"));
    assert_eq!(files.read_to_string("/etc/hostname").unwrap(), "h\n");
    assert!(files.read_to_string("/etc/resolv.conf").unwrap().contains("nameserver 10.43.0.10\noptions ndots:5\n"));
    assert_eq!(files.metadata("/dev/shm").unwrap().mode, 0o1777);
    assert_eq!(files.metadata("/dev/termination-log").unwrap().mode, 0o666);
    files.write("/dev/termination-log", "why").unwrap();
    assert_eq!(files.read_to_string("/sys/fs/cgroup/cpu.max").unwrap(), "max 100000\n");
    assert_eq!(files.write("/sys/fs/cgroup/cpu.max", "1").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    files.write("/etc/hosts", "").unwrap();
    files.write("/etc/resolv.conf", "mine").unwrap();
    // The kubelet writes its file anew; containerd's is the pod's.
    let again = world.files_of(&pod);
    assert!(again.read_to_string("/etc/hosts").unwrap().ends_with("\th\n"));
    assert_eq!(again.read_to_string("/etc/resolv.conf").unwrap(), "mine");
    assert_eq!(again.read_to_string("/dev/termination-log").unwrap(), "");
}

#[test]
fn a_read_only_root_is_read_only_in_etc_too() {
    let world = World::new();
    let pod = world.pod(json!({}), json!({"securityContext": {"readOnlyRootFilesystem": true}}));
    assert!(root_is_read_only(container(&pod)));
    let files = world.files_of(&pod);
    assert_eq!(files.write("/etc/resolv.conf", "").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    files.write("/etc/hosts", "").unwrap();
    files.write("/dev/shm/x", "").unwrap();
}

#[test]
fn a_pod_without_addresses_has_the_images_hosts() {
    let world = World::new();
    let mut pod = world.pod(json!({}), json!({}));
    pod["status"] = json!({});
    assert!(world.mounts(&pod).unwrap().iter().all(|mount| mount.at != Path::new("/etc/hosts")));
}

#[test]
fn a_containers_own_mount_comes_first() {
    let world = World::new();
    world.put("configmaps", "x", json!({"data": {"hosts": "mine", "resolv.conf": "mine too"}}));
    let mounts = json!({"volumeMounts": [
        {"name": "v", "mountPath": "/etc/hosts", "subPath": "hosts"}, {"name": "v", "mountPath": "/etc/resolv.conf", "subPath": "resolv.conf"}]});
    let pod = world.pod(json!({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}), mounts);
    let files = world.files_of(&pod);
    assert_eq!(files.read_to_string("/etc/hosts").unwrap(), "mine");
    assert_eq!(files.read_to_string("/etc/resolv.conf").unwrap(), "mine too");
}

#[rstest]
#[case::all(json!({}), "x", "x")]
#[case::part(json!({"subPath": "a/b"}), "x", "a/b/x")]
#[case::expression(json!({"subPathExpr": "$(N)-$(N)"}), "y", "x-x/y")]
#[case::detour(json!({"mountPath": "/w/../v/."}), "x", "x")]
fn volumes_are_mounted(#[case] mount: Value, #[case] name: &str, #[case] at: &str) {
    let world = World::new();
    let files = world.files_of(&world.pod_mounting(mount));
    files.write(Path::new("/v").join(name), "content").unwrap();
    assert_eq!(fs::read_to_string(world.empty_dir().join(at)).unwrap(), "content");
}

#[test]
fn what_is_read_only_is_not_written() {
    let world = World::new();
    let files = world.files_of(&world.pod_mounting(json!({"readOnly": true})));
    assert_eq!(files.write("/v/x", "").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    world.put("secrets", "s", json!({"data": {"a": "MQ=="}}));
    let files = world.files_of(&world.pod_with(json!({"secret": {"secretName": "s"}}), json!({})));
    assert_eq!(files.write("/v/x", "").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(files.read_to_string("/v/a").unwrap(), "1");
}

#[rstest]
#[case(json!({"subPath": "/a"}), "error SubPath `/a` must not be an absolute path")]
#[case(json!({"subPath": "a/../../b"}), "unable to provision SubPath `a/../../b`: must not contain '..'")]
#[case(json!({"subPathExpr": "$(NO)/$(NONE)"}), "missing value for NO, NONE")]
#[case(json!({"subPath": "out"}), "failed to prepare subPath for volumeMount \"v\" of container \"c\"")]
#[case(json!({"subPath": "up/etc"}), "failed to prepare subPath for volumeMount \"v\" of container \"c\"")]
#[case(json!({"subPath": "out/new"}), "failed to create subPath directory for volumeMount \"v\" of container \"c\"")]
#[case(json!({"subPath": "dangling"}), "failed to create subPath directory for volumeMount \"v\" of container \"c\"")]
#[case(json!({"subPath": "file/x"}), "failed to prepare subPath for volumeMount \"v\" of container \"c\"")]
#[case(json!({"name": "w"}), "cannot find volume \"w\" to mount into container \"c\"")]
fn nobody_leaves_a_volume(#[case] mount: Value, #[case] expected: &str) {
    let world = World::new();
    world.node.files().create_dir_all("/etc").unwrap();
    set_up(&world.node, &world.pod_mounting(json!({}))).unwrap();
    let link = |name: &str, target: &str| std::os::unix::fs::symlink(target, world.empty_dir().join(name)).unwrap();
    link("out", "/etc");
    link("up", "../../../../../../../..");
    link("dangling", "/none");
    fs::write(world.empty_dir().join("file"), "").unwrap();
    assert_eq!(world.mounts_refusal(&world.pod_mounting(mount)), expected);
}

#[test]
fn links_inside_a_volume_are_followed() {
    let world = World::new();
    set_up(&world.node, &world.pod_mounting(json!({}))).unwrap();
    fs::create_dir(world.empty_dir().join("real")).unwrap();
    std::os::unix::fs::symlink("real", world.empty_dir().join("link")).unwrap();
    world.files_of(&world.pod_mounting(json!({"subPath": "link"}))).write("/v/x", "1").unwrap();
    assert_eq!(fs::read_to_string(world.empty_dir().join("real/x")).unwrap(), "1");
}

#[test]
fn new_parts_are_the_groups() {
    let world = World::new();
    let mut pod = world.pod_mounting(json!({"subPath": "a/b"}));
    pod["spec"]["securityContext"] = json!({"fsGroup": 2000});
    let seen = world.files_of(&pod).metadata("/v").unwrap();
    assert_eq!((format!("{:o}", seen.mode), seen.gid), ("2777".to_owned(), 2000));
}

#[test]
fn a_file_that_is_mounted_alone_stays_what_it_was() {
    let world = World::new();
    world.put("configmaps", "x", json!({"data": {"a": "1"}}));
    let mount = json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "a"}, {"name": "v", "mountPath": "/v"}]});
    let pod = world.pod(json!({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}), mount);
    let files = world.files_of(&pod);
    world.put("configmaps", "x", json!({"data": {"a": "2"}}));
    set_up(&world.node, &pod).unwrap();
    assert_eq!((files.read_to_string("/a").unwrap(), files.read_to_string("/v/a").unwrap()), ("1".to_owned(), "2".to_owned()));
}

#[test]
fn what_is_missing_on_the_node_is_made() {
    let world = World::new();
    let pod = world.pod_with(json!({"hostPath": {"path": "/new/dir"}}), json!({}));
    world.files_of(&pod).write("/v/x", "1").unwrap();
    assert_eq!(world.node.files().read_to_string("/new/dir/x").unwrap(), "1");
}

#[test]
fn links_of_the_node_stay_on_the_node() {
    let world = World::new();
    let files = world.node.files();
    files.create_dir_all("/real/etc").unwrap();
    files.write("/real/etc/x", "the node's").unwrap();
    files.symlink("/real", "/link").unwrap();
    let pod = world.pod_with(json!({"hostPath": {"path": "/link/etc"}}), json!({}));
    assert_eq!(world.files_of(&pod).read_to_string("/v/x").unwrap(), "the node's");
}

#[test]
fn devices_are_refused() {
    let world = World::new();
    let mut pod = world.pod(json!({}), json!({}));
    pod["spec"]["containers"][0]["volumeDevices"] = json!([{"name": "v", "devicePath": "/dev/x"}]);
    assert_eq!(world.mounts_refusal(&pod), "volumeDevices are not emulated: a node has no block devices");
}

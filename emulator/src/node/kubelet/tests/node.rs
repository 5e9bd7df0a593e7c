//! The node itself.

use super::*;
use crate::node::kubelet::Pressure;
use crate::node::kubelet::client::LEASES;
use crate::node::kubelet::dispatch::Dispatcher;
use crate::node::kubelet::pod::Pod;

#[tokio::test]
async fn a_node_is_registered_as_k3s_does_it() {
    let world = World::new();
    let found = node(&world);
    let metadata = &found["metadata"];
    assert_eq!(metadata["labels"]["node-role.kubernetes.io/control-plane"], "true");
    assert_eq!(metadata["labels"]["kubernetes.io/hostname"], "n");
    assert_eq!(metadata["annotations"]["k3s.io/internal-ip"], "198.18.0.1");
    assert_eq!(metadata["finalizers"], json!(["wrangler.cattle.io/node"]));
    assert_eq!((&found["spec"]["podCIDR"], &found["spec"]["providerID"]), (&json!("10.42.0.0/24"), &json!("k3s://n")));
    let status = &found["status"];
    assert_eq!(status["capacity"]["cpu"], "2");
    assert_eq!(status["nodeInfo"]["kubeletVersion"], "v1.34.1+k3s1");
    let kinds: Vec<&str> = list(&status["conditions"]).iter().map(|condition| text(&condition["type"])).collect();
    assert_eq!(kinds, ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]);
    assert_eq!(list(&status["conditions"])[3]["message"], "kubelet is posting ready status");
    assert!(list(&status["images"]).iter().any(|image| image["names"][0] == "docker.io/test/tool:1"));
    let lease = world.client.get(LEASES, "kube-node-lease", "n").unwrap();
    assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseDurationSeconds"]), (&json!("n"), &json!(40)));
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], metadata["uid"]);
    world.told("n", "NodeReady: Node n status is now: NodeReady").await;
    world.told("n", "Starting: Starting kubelet.").await;
}

#[tokio::test]
async fn scripts_on_a_node_are_commands() {
    let world = World::new();
    let files = world.kubelet.node().files();
    files.write("/run.sh", "#!/bin/sh\necho $0 $1\n").unwrap();
    files.set_mode("/run.sh", 0o755).unwrap();
    let output = crate::node::command::run(world.kubelet.node(), &["/run.sh".to_owned(), "x".to_owned()]).await;
    assert_eq!((output.code, output.stdout.as_slice()), (0, b"/run.sh x\n".as_slice()));
    let output = crate::node::command::run(world.kubelet.node(), &["/none".to_owned()]).await;
    assert_eq!(output.code, 127);
}

/// A list that comes late may name a pod of which the node knows only one that had the same name.
#[tokio::test]
async fn a_pod_of_the_same_name_is_another() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({}));
    let mut object = world.running("p").await;
    let context = &world.kubelet.context;
    let known = context.pod(NS, "p").unwrap();
    object["metadata"]["uid"] = "before".into();
    let before = Arc::new(Pod::new(Arc::new(object)));
    context.pods().add(before.clone());
    let served = context.client.cluster.registry().any_version(PODS.0, PODS.1).unwrap();
    Dispatcher::new(context.clone(), served).list();
    assert!(before.wanted.borrow().is_removed && !known.wanted.borrow().is_removed);
}

#[tokio::test]
async fn a_node_says_what_it_is_short_of() {
    let world = World::new();
    world.kubelet.set_pressure(Pressure::Disk, true);
    world.told("n", "NodeHasDiskPressure: Node n status is now: NodeHasDiskPressure").await;
    assert_eq!(condition(&node(&world), "DiskPressure"), "True");
    world.kubelet.set_pressure(Pressure::Disk, false);
    world.told("n", "NodeHasNoDiskPressure").await;
}

#[tokio::test]
async fn a_silent_node_tells_nothing_until_it_speaks_again() {
    let world = World::at_speed(100.0);
    world.run("p", &["pause"], json!({}), json!({}));
    world.running("p").await;
    world.kubelet.pause();
    let renewed = || world.client.get(LEASES, "kube-node-lease", "n").unwrap()["spec"]["renewTime"].clone();
    let before = renewed();
    world.run("q", &["pause"], json!({}), json!({}));
    // Three renewals later.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(renewed(), before);
    assert_eq!(world.pod("q").unwrap()["status"]["phase"], "Pending");
    world.kubelet.resume();
    world.running("q").await;
}

#[tokio::test]
async fn a_node_that_starts_anew_starts_its_pods_anew() {
    let world = World::at_speed(20.0);
    world.run("p", &["pause"], json!({}), json!({}));
    let before = world.running("p").await;
    world.kubelet.reboot();
    let after = world.when("p", |pod| is_ready(pod) && first(pod)["restartCount"] == 1).await;
    assert_ne!(first(&before)["containerID"], first(&after)["containerID"]);
    let last = &first(&after)["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(255), &json!("Unknown")));
    world.told("p", "SandboxChanged: Pod sandbox changed, it will be killed and re-created.").await;
}

#[tokio::test]
async fn a_stopped_kubelet_leaves_nothing_running() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({}));
    world.running("p").await;
    world.kubelet.stop().await;
    assert!(world.client.cluster.nodes.get("n").is_none());
    assert!(world.kubelet.context.pods().all().all(|pod| Arc::strong_count(pod) == 1));
}

#[tokio::test]
async fn a_new_kubelet_takes_over_what_it_finds() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({}));
    world.run("q", &["pause"], json!({}), json!({"restartPolicy": "Never"}));
    let (before, _) = (world.running("p").await, world.running("q").await);
    world.kubelet.stop().await;
    let mut tasks = JoinSet::new();
    let old = &world.kubelet.context.node;
    let node = Node {
        spec: old.spec.clone(),
        number: 0,
        root: old.root.clone(),
        disk: Arc::default(),
        images: old.images.clone(),
        network: old.network.clone(),
        cluster: old.cluster.clone(),
    };
    let _kubelet = start(node, &mut tasks);
    let after = world.when("p", |pod| is_ready(pod) && first(pod)["restartCount"] == 1).await;
    assert_ne!(first(&before)["containerID"], first(&after)["containerID"]);
    assert_eq!(first(&after)["lastState"]["terminated"]["reason"], "ContainerStatusUnknown");
    assert_eq!(world.over("q").await["status"]["phase"], "Failed");
}

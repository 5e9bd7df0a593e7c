//! Claims that pods wait for, and that wait for pods.

use super::*;

const LOCAL: &str = "local-path";

fn on(node: &str) -> Value {
    let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]});
    json!({"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}, "storageClassName": LOCAL})
}

fn selected_node(world: &World, claim: &str) -> Value {
    world.get(CLAIMS, claim)["metadata"]["annotations"]["volume.kubernetes.io/selected-node"].clone()
}

/// What a provisioner does.
fn provision(world: &World, claim: &str, node: &str) {
    let claim = world.get(CLAIMS, claim);
    let mut spec = on(node);
    spec["claimRef"] = json!({
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": NS,
        "name": claim["metadata"]["name"],
        "uid": claim["metadata"]["uid"],
    });
    world.volume(&format!("for-{}", claim["metadata"]["name"].as_str().unwrap()), spec);
}

fn world() -> World {
    let world = World::with_nodes([("a", json!({})), ("b", json!({}))]);
    world.class("local-wait", "kubernetes.io/no-provisioner", "WaitForFirstConsumer");
    world.class("now", "example.com/nobody", "Immediate");
    if world.get(CLASSES, LOCAL).is_null() {
        world.class(LOCAL, "rancher.io/local-path", "WaitForFirstConsumer");
    }
    world
}

/// Recorded: `tests/recordings/storage.json`, and of the others in the harness's diagnoses.
#[test]
fn claims_that_are_not_there_or_not_bound() {
    let world = world();
    world.pod("none", uses("none"));
    world.claim("nobodys", "now", "1Gi");
    world.pod("nobodys", uses("nobodys"));
    world.claim("classless", "managed-premium", "1Gi");
    world.pod("classless", uses("classless"));
    let ephemeral = json!({"volumeClaimTemplate": {"spec": {
        "storageClassName": LOCAL, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }}});
    world.pod("own", json!({"volumes": [{"name": "v", "ephemeral": ephemeral}]}));
    world.settle();
    let complaint = |pod: &str| world.complaint(pod);
    assert_eq!(complaint("none"), "0/2 nodes are available: persistentvolumeclaim \"none\" not found. not found");
    let unbound = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found";
    assert_eq!((complaint("nobodys"), complaint("classless")), (unbound.to_owned(), unbound.to_owned()));
    assert_eq!(
        complaint("own"),
        "0/2 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim \"own-v\". not found"
    );
    world.claim("none", LOCAL, "1Gi");
    world.settle();
    assert!(selected_node(&world, "none").is_string());
}

#[test]
fn a_claim_is_provisioned_where_the_pod_will_run() {
    let world = world();
    world.claim("c", LOCAL, "1Gi");
    world.pod("p", uses("c"));
    world.pod("other", json!({}));
    world.settle();
    // It waits, and others do not.
    assert_eq!((selected_node(&world, "c"), world.node_of("p").as_str()), (json!("a"), ""));
    assert_eq!(world.node_of("other"), "b");
    assert!(world.notes("p").is_empty());
    provision(&world, "c", "a");
    world.settle();
    assert_eq!((world.node_of("p").as_str(), world.complaint("p").as_str()), ("a", ""));
    assert_eq!(world.notes("p"), ["Scheduled Successfully assigned default/p to a"]);
    // Another that uses it has to be there, too.
    world.pod("q", uses("c"));
    world.pod("r", json!({"nodeSelector": {"kubernetes.io/hostname": "b"}, "volumes": uses("c")["volumes"]}));
    world.settle();
    assert_eq!(world.node_of("q"), "a");
    assert_eq!(
        world.complaint("r"),
        "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) didn't match Pod's node \
         affinity/selector. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
}

#[test]
fn a_provisioner_that_gives_up() {
    let world = world();
    world.claim("c", LOCAL, "1Gi");
    world.pod("p", uses("c"));
    world.settle();
    world.change(CLAIMS, "c", Part::Whole, &|live| {
        let annotations = live["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove("volume.kubernetes.io/selected-node").unwrap();
    });
    world.settle();
    let why = "running PreBind plugin \"VolumeBinding\": binding volumes: provisioning failed for PVC \"c\"";
    assert_eq!(world.complaint("p"), why);
    assert_eq!(world.get(PODS, "p")["status"]["conditions"][0]["reason"], "SchedulerError");
    assert_eq!(world.notes("p"), [format!("FailedScheduling {why}")]);
    // It is tried again after a while.
    assert!(selected_node(&world, "c").is_null());
    assert!(world.0.settle(&CONTROLLER).is_some());
}

#[test]
fn two_pods_of_one_claim_wait_for_the_same_node() {
    let world = world();
    world.claim("c", LOCAL, "1Gi");
    world.pod("p", uses("c"));
    world.pod("q", uses("c"));
    world.settle();
    provision(&world, "c", "a");
    world.settle();
    assert_eq!((world.node_of("p").as_str(), world.node_of("q").as_str()), ("a", "a"));
}

#[test]
fn volumes_made_by_hand_are_chosen_with_the_node() {
    let world = world();
    let class = json!({"storageClassName": "local-wait"});
    let spec = |node: &str, size: &str| {
        let mut spec = on(node);
        lay_over(&mut spec, class.clone());
        lay_over(&mut spec, json!({"capacity": {"storage": size}}));
        spec
    };
    world.volume("large", spec("b", "5Gi"));
    world.volume("small", spec("b", "2Gi"));
    world.volume("elsewhere", spec("a", "1Gi"));
    world.claim("c", "local-wait", "2Gi");
    world.pod("p", uses("c"));
    world.claim("huge", "local-wait", "50Gi");
    world.pod("q", uses("huge"));
    world.settle();
    assert_eq!(world.node_of("p"), "b");
    assert_eq!(world.get(CLAIMS, "c")["spec"]["volumeName"], "small");
    assert_eq!(world.get(VOLUMES, "small")["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"], "yes");
    assert_eq!(
        world.complaint("q"),
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. no new claims to deallocate, \
         preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
    world.volume("huge", spec("a", "50Gi"));
    world.settle();
    assert_eq!(world.node_of("q"), "a");
}

#[test]
fn a_claim_for_one_pod() {
    let world = world();
    let spec = json!({
        "storageClassName": "",
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": "1Gi"}},
    });
    world.create(
        CLAIMS,
        NS,
        json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": "c"}, "spec": spec}),
    );
    world.volume("v", json!({"accessModes": ["ReadWriteOncePod"]}));
    world.settle();
    world.pod("p", uses("c"));
    world.settle();
    world.pod("q", uses("c"));
    world.settle();
    assert_eq!(world.node_of("p"), "a");
    let why = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";
    assert_eq!(
        world.complaint("q"),
        format!(
            "0/2 nodes are available: 2 {why}. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption \
             victims found for incoming pod."
        )
    );
    world.remove_pod("p");
    world.settle();
    assert!(!world.node_of("q").is_empty());
}

#[test]
fn a_volume_in_a_zone() {
    let world = World::with_nodes([("a", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z1"}}}))]);
    let mut volume = json!({
        "kind": "PersistentVolume",
        "apiVersion": "v1",
        "metadata": {"name": "v", "labels": {"topology.kubernetes.io/zone": "z2__z3"}},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
    });
    world.create(VOLUMES, "", volume.take());
    world.claim("c", "", "1Gi");
    world.settle();
    world.pod("p", uses("c"));
    world.settle();
    assert_eq!(
        world.complaint("p"),
        "0/1 nodes are available: 1 node(s) had no available volume zone. no new claims to deallocate, preemption: 0/1 nodes are \
         available: 1 Preemption is not helpful for scheduling."
    );
    world.change(NODES, "a", Part::Whole, &|live| live["metadata"]["labels"]["topology.kubernetes.io/zone"] = "z3".into());
    world.settle();
    assert_eq!(world.node_of("p"), "a");
}

//! What each filter says.

use rstest::rstest;

use super::*;

const USELESS: &str =
    "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
const NO_VICTIMS: &str =
    "no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

fn taint(key: &str, value: &str, effect: &str) -> Value {
    json!({"spec": {"taints": [{"key": key, "value": value, "effect": effect}]}})
}

fn port(number: i64, address: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": number, "hostIP": address}]}]})
}

fn affinity(kind: &str, label: &str, topology: &str) -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"a": label}}, "topologyKey": topology});
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
}

fn node_affinity(term: Value) -> Value {
    let required = json!({"nodeSelectorTerms": [term]});
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
}

fn spread(topology: &str) -> Value {
    json!({"topologySpreadConstraints": [{
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "DoNotSchedule",
        "minDomains": 2,
        "labelSelector": {"matchLabels": {"a": "new"}},
    }]})
}

/// Seen on a K3s v1.34.1, with the same objects.
#[rstest]
#[case::unschedulable(json!({"spec": {"unschedulable": true}}), json!({}), json!({}), "1 node(s) were unschedulable.", USELESS)]
#[case::taint(taint("k", "v", "NoSchedule"), json!({}), json!({}), "1 node(s) had untolerated taint {k: v}.", USELESS)]
#[case::selector(json!({}), json!({}), json!({"nodeSelector": {"rec": "none"}}), "1 node(s) didn't match Pod's node affinity/selector.", USELESS)]
#[case::another_name(json!({}), json!({}), node_affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["m"]}]})), "1 node(s) didn't satisfy plugin(s) [NodeAffinity].", USELESS)]
#[case::two_names(json!({}), json!({}), node_affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}, {"key": "metadata.name", "operator": "In", "values": ["m"]}]})), "pod affinity terms conflict.", "not found")]
#[case::port(json!({}), port(80, ""), port(80, "127.0.0.1"), "1 node(s) didn't have free ports for the requested pod ports.", NO_VICTIMS)]
#[case::cpu_of_no_node(json!({}), json!({}), asks(json!({"cpu": "1000"})), "1 Insufficient cpu.", USELESS)]
#[case::extended(json!({}), json!({}), json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"example.com/gpu": "1"}}}]}), "1 Insufficient example.com/gpu.", USELESS)]
#[case::spread_without_the_label(json!({}), json!({}), spread("zone"), "1 node(s) didn't match pod topology spread constraints (missing required label).", USELESS)]
#[case::near_to_none(json!({}), json!({}), affinity("podAffinity", "none", "kubernetes.io/hostname"), "1 node(s) didn't match pod affinity rules.", USELESS)]
#[case::far(json!({}), json!({}), affinity("podAntiAffinity", "old", "kubernetes.io/hostname"), "1 node(s) didn't match pod anti-affinity rules.", NO_VICTIMS)]
#[case::not_wanted_near(json!({}), affinity("podAntiAffinity", "new", "kubernetes.io/hostname"), json!({}), "1 node(s) didn't satisfy existing pods anti-affinity rules.", NO_VICTIMS)]
fn recorded(#[case] node: Value, #[case] old: Value, #[case] new: Value, #[case] reason: &str, #[case] after: &str) {
    check(node, old, new, reason, after);
}

#[rstest]
#[case::unschedulable_is_tolerated(json!({"spec": {"unschedulable": true}}), json!({}), json!({"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]}), "", "")]
#[case::taint_without_a_value(taint("node.kubernetes.io/not-ready", "", "NoSchedule"), json!({}), json!({}), "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.", USELESS)]
#[case::taint_is_tolerated(taint("k", "v", "NoExecute"), json!({}), json!({"tolerations": [{"key": "k", "value": "v"}]}), "", "")]
#[case::taint_is_tolerated_by_another(taint("k", "v", "NoSchedule"), json!({}), json!({"tolerations": [{"key": "k", "value": "w"}]}), "1 node(s) had untolerated taint {k: v}.", USELESS)]
#[case::soft_taint(taint("k", "v", "PreferNoSchedule"), json!({}), json!({}), "", "")]
#[case::affinity(json!({}), json!({}), node_affinity(json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n"]}]})), "1 node(s) didn't match Pod's node affinity/selector.", USELESS)]
#[case::affinity_holds(json!({"metadata": {"labels": {"size": "7"}}}), json!({}), node_affinity(json!({"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["6"]}]})), "", "")]
#[case::its_name(json!({}), json!({}), node_affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]})), "", "")]
#[case::port_of_another_address(json!({}), port(80, "127.0.0.2"), port(80, "127.0.0.1"), "", "")]
#[case::cpu(json!({}), asks(json!({"cpu": "3"})), asks(json!({"cpu": "2"})), "1 Insufficient cpu.", NO_VICTIMS)]
#[case::cpu_and_memory(json!({}), json!({}), asks(json!({"cpu": "5", "memory": "90Gi"})), "1 Insufficient cpu, 1 Insufficient memory.", USELESS)]
#[case::storage(json!({}), asks(json!({"ephemeral-storage": "9Gi"})), asks(json!({"ephemeral-storage": "2Gi"})), "1 Insufficient ephemeral-storage.", NO_VICTIMS)]
#[case::pods(json!({"status": {"allocatable": {"pods": "1"}}}), json!({}), json!({}), "1 Too many pods.", NO_VICTIMS)]
#[case::pods_and_cpu(json!({"status": {"allocatable": {"pods": "1"}}}), json!({}), asks(json!({"cpu": "5"})), "1 Insufficient cpu, 1 Too many pods.", USELESS)]
#[case::init_containers(json!({}), asks(json!({"cpu": "2"})), json!({"initContainers": [{"name": "i", "image": "i", "resources": {"requests": {"cpu": "3"}}}]}), "1 Insufficient cpu.", NO_VICTIMS)]
#[case::sidecars(json!({}), asks(json!({"cpu": "2"})), json!({
    "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1500m"}}}],
    "initContainers": [{"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}],
}), "1 Insufficient cpu.", NO_VICTIMS)]
#[case::pod_level(json!({}), asks(json!({"cpu": "2"})), json!({"resources": {"requests": {"cpu": "3"}}}), "1 Insufficient cpu.", NO_VICTIMS)]
#[case::spread(json!({"metadata": {"labels": {"zone": "z"}}}), json!({}), spread("zone"), "", "")]
#[case::near(json!({}), json!({}), affinity("podAffinity", "old", "kubernetes.io/hostname"), "", "")]
#[case::near_to_itself(json!({}), json!({}), affinity("podAffinity", "new", "kubernetes.io/hostname"), "", "")]
#[case::far_from_none(json!({}), json!({}), affinity("podAntiAffinity", "none", "kubernetes.io/hostname"), "", "")]
#[case::disk(json!({}), json!({"volumes": [{"name": "v", "awsElasticBlockStore": {"volumeID": "d"}}]}), json!({"volumes": [{"name": "v", "awsElasticBlockStore": {"volumeID": "d"}}]}), "1 node(s) had no available disk.", NO_VICTIMS)]
#[case::never_preempts(json!({}), asks(json!({"cpu": "3"})), json!({"priorityClassName": "meek", "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]}), "1 Insufficient cpu.", "no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.")]
fn why_not(#[case] node: Value, #[case] old: Value, #[case] new: Value, #[case] reason: &str, #[case] after: &str) {
    check(node, old, new, reason, after);
}

/// One node, `n`, with the pod `old` on it; what is said of the pod `new`, or "" when it is bound.
fn check(node: Value, old: Value, new: Value, reason: &str, after: &str) {
    let world = World::with_nodes([("n", node)]);
    let meek = json!({
        "kind": "PriorityClass",
        "apiVersion": "scheduling.k8s.io/v1",
        "metadata": {"name": "meek"},
        "value": 10,
        "preemptionPolicy": "Never",
    });
    world.create(("scheduling.k8s.io", "priorityclasses"), "", meek);
    let mut bound = json!({"nodeName": "n"});
    lay_over(&mut bound, old);
    world.labeled_pod("old", json!({"a": "old"}), bound);
    world.labeled_pod("new", json!({"a": "new"}), new);
    world.settle();
    if reason.is_empty() {
        assert_eq!((world.node_of("new"), world.complaint("new")), ("n".to_owned(), String::new()));
        return;
    }
    assert_eq!(world.complaint("new"), format!("0/1 nodes are available: {reason} {after}"));
    assert_eq!(world.node_of("new"), "");
}

#[test]
fn reasons_are_counted_and_sorted() {
    let world = World::with_nodes([
        ("a", taint("k", "v", "NoSchedule")),
        ("b", json!({"status": {"allocatable": {"cpu": "1"}}})),
        ("c", json!({"status": {"allocatable": {"cpu": "1"}}})),
        ("d", json!({})),
    ]);
    world.pod(
        "old",
        json!({"nodeName": "d", "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "3"}}}]}),
    );
    world.pod("p", asks(json!({"cpu": "2"})));
    world.settle();
    assert_eq!(
        world.complaint("p"),
        "0/4 nodes are available: 1 node(s) had untolerated taint {k: v}, 3 Insufficient cpu. no new claims to deallocate, \
         preemption: 0/4 nodes are available: 1 No preemption victims found for incoming pod, 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn spread_over_two_nodes() {
    let world = World::with_nodes([("a", json!({})), ("b", json!({"spec": {"unschedulable": true}}))]);
    for pod in ["p", "q"] {
        world.labeled_pod(pod, json!({"a": "new"}), spread("kubernetes.io/hostname"));
        world.settle();
    }
    assert_eq!(world.node_of("p"), "a");
    assert_eq!(
        world.complaint("q"),
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable. no new \
         claims to deallocate, preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is \
         not helpful for scheduling."
    );
}

#[test]
fn without_nodes() {
    let world = World::new();
    world.pod("p", json!({}));
    world.settle();
    assert_eq!(world.complaint("p"), "no nodes available to schedule pods");
    assert_eq!(world.notes("p"), ["FailedScheduling no nodes available to schedule pods"]);
    world.node("n", json!({}));
    world.settle();
    assert_eq!((world.node_of("p").as_str(), world.complaint("p").as_str()), ("n", ""));
}

/// As recorded on a K3s (`tests/recordings/workloads.json`, the pod `q`).
#[test]
fn the_condition_of_a_pod_that_is_too_big() {
    let world = World::with_nodes([("n", json!({}))]);
    world.pod("q", asks(json!({"cpu": "1000"})));
    world.settle();
    let mut pod = world.get(PODS, "q");
    let condition = &mut pod["status"]["conditions"][0];
    assert!(condition["lastTransitionTime"].take().is_string());
    let expected = json!({
        "lastProbeTime": null,
        "lastTransitionTime": null,
        "message": format!("0/1 nodes are available: 1 Insufficient cpu. {USELESS}"),
        "observedGeneration": 1,
        "reason": "Unschedulable",
        "status": "False",
        "type": "PodScheduled",
    });
    assert_eq!(*condition, expected);
    let owners = pod["metadata"]["managedFields"].as_array().unwrap();
    let of_status: Vec<&Value> = owners.iter().filter(|owner| owner["subresource"] == "status").collect();
    assert_eq!(of_status.len(), 1, "{owners:?}");
    let parts = &of_status[0]["fieldsV1"]["f:status"]["f:conditions"];
    assert!(parts["k:{\"type\":\"PodScheduled\"}"]["f:observedGeneration"].is_object(), "{parts}");
}

#[test]
fn events_of_the_scheduler() {
    let world = World::with_nodes([("n", json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": "true"}}}))]);
    let pod = world.pod("p", json!({}));
    world.settle();
    let mut event = world.events("p").remove(0);
    let time = event["eventTime"].take();
    assert_eq!(time.as_str().map(str::len), Some("2026-01-01T00:00:00.000000Z".len()), "{time}");
    let metadata = event["metadata"].take();
    assert!(metadata["name"].as_str().is_some_and(|name| name.starts_with("p.")), "{metadata}");
    let expected = json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": null,
        "action": "Binding",
        "eventTime": null,
        "firstTimestamp": null,
        "lastTimestamp": null,
        "involvedObject": {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": NS,
            "name": "p",
            "uid": pod["metadata"]["uid"],
            "resourceVersion": pod["metadata"]["resourceVersion"],
        },
        "message": "Successfully assigned default/p to n",
        "reason": "Scheduled",
        "reportingComponent": "default-scheduler",
        "reportingInstance": "default-scheduler-n",
        "source": {},
        "type": "Normal",
    });
    assert_eq!(event, expected);
    let bound = &world.get(PODS, "p")["status"]["conditions"][0];
    assert_eq!((&bound["type"], &bound["status"]), (&json!("PodScheduled"), &json!("True")));
}

#[test]
fn pods_of_others_are_left_alone() {
    let world = World::with_nodes([("n", json!({}))]);
    world.pod("gated", json!({"schedulingGates": [{"name": "g"}]}));
    world.pod("other", json!({"schedulerName": "other"}));
    world.settle();
    assert_eq!((world.node_of("gated"), world.node_of("other")), (String::new(), String::new()));
    world.change(PODS, "gated", Part::Whole, &|live| live["spec"]["schedulingGates"] = json!([]));
    world.settle();
    assert_eq!(world.node_of("gated"), "n");
}

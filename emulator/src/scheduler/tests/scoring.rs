//! Which node is best.

use rstest::rstest;

use super::*;

fn soft_taint() -> Value {
    json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}})
}

fn prefers(key: &str) -> Value {
    let preference = json!({"matchExpressions": [{"key": key, "operator": "Exists"}]});
    json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": preference}]}}})
}

fn prefers_pods(kind: &str) -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"a": "old"}}, "topologyKey": "kubernetes.io/hostname"});
    json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 50, "podAffinityTerm": term}]}}})
}

/// Of the nodes `a` and `b`; on `b` there is a pod that asks for a little.
#[rstest]
#[case::emptier(json!({}), json!({}), "a")]
#[case::larger(json!({"status": {"allocatable": {"cpu": "2", "memory": "4Gi"}}}), asks(json!({"cpu": "1", "memory": "2Gi"})), "b")]
#[case::welcome(soft_taint(), json!({}), "b")]
#[case::tolerant(soft_taint(), json!({"tolerations": [{"operator": "Exists"}]}), "a")]
#[case::preferred(json!({}), prefers("new"), "b")]
#[case::near(json!({}), prefers_pods("podAffinity"), "b")]
#[case::far(json!({}), prefers_pods("podAntiAffinity"), "a")]
fn the_best_of_two(#[case] a: Value, #[case] pod: Value, #[case] expected: &str) {
    let world = World::with_nodes([("a", a), ("b", json!({"metadata": {"labels": {"new": "x"}}}))]);
    world.labeled_pod("old", json!({"a": "old"}), json!({"nodeName": "b"}));
    world.pod("p", pod);
    world.settle();
    assert_eq!(world.node_of("p"), expected);
}

#[test]
fn pods_of_a_service_are_spread() {
    let world = World::with_nodes([("a", json!({})), ("b", json!({"status": {"allocatable": {"cpu": "5", "memory": "10Gi"}}}))]);
    let service = json!({
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "s"},
        "spec": {"selector": {"a": "s"}, "ports": [{"port": 80}]},
    });
    world.create(("", "services"), NS, service);
    for pod in ["p", "q", "r", "s"] {
        world.labeled_pod(pod, json!({"a": "s"}), json!({}));
        world.settle();
    }
    assert_eq!(["p", "q", "r", "s"].map(|pod| world.node_of(pod)), ["b", "a", "b", "a"]);
}

//! Less important pods make room.

use super::*;

fn world() -> World {
    let world = World::new();
    for (name, value) in [("low", 1), ("high", 100)] {
        let class = json!({
            "kind": "PriorityClass",
            "apiVersion": "scheduling.k8s.io/v1",
            "metadata": {"name": name},
            "value": value,
        });
        world.create(("scheduling.k8s.io", "priorityclasses"), "", class);
    }
    world
}

fn of_class(class: &str, cpu: &str) -> Value {
    let mut spec = asks(json!({"cpu": cpu}));
    spec["priorityClassName"] = class.into();
    spec
}

fn is_ending(world: &World, pod: &str) -> bool {
    !world.get(PODS, pod)["metadata"]["deletionTimestamp"].is_null()
}

#[test]
fn room_is_made_for_an_important_pod() {
    let world = world();
    world.node("n", json!({}));
    world.pod("small", of_class("low", "1"));
    world.pod("large", of_class("low", "3"));
    world.settle();
    let important = world.pod("p", of_class("high", "3"));
    world.settle();
    // The pod waits until the other has ended; the small one may stay.
    assert_eq!((is_ending(&world, "large"), is_ending(&world, "small")), (true, false));
    let waiting = world.get(PODS, "p");
    assert_eq!(waiting["status"]["nominatedNodeName"], "n");
    assert_eq!(world.complaint("p"), "0/1 nodes are available: 1 Insufficient cpu.");
    let uid = important["metadata"]["uid"].as_str().unwrap();
    let note = format!("Preempted Preempted by pod {uid} on node n");
    assert!(world.notes("large").contains(&note), "{:?}", world.notes("large"));
    let victim = world.get(PODS, "large");
    let target = victim["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
    assert_eq!(
        (&target["reason"], &target["message"]),
        (&json!("PreemptionByScheduler"), &json!("default-scheduler: preempting to accommodate a higher priority pod"))
    );
    // The place is kept.
    world.pod("late", of_class("low", "2"));
    world.settle();
    assert_eq!(world.node_of("late"), "");
    world.remove_pod("large");
    world.settle();
    assert_eq!(world.node_of("p"), "n");
}

#[test]
fn while_room_is_made_no_more_is_made() {
    let world = world();
    world.node("n", json!({}));
    world.pod("old", of_class("low", "3"));
    world.settle();
    world.pod("p", of_class("high", "3"));
    world.settle();
    // It is tried again, for what it asks of has changed.
    world.change(NODES, "n", Part::Whole, &|live| live["spec"]["taints"] = json!([{"key": "k", "effect": "PreferNoSchedule"}]));
    world.settle();
    assert_eq!(
        world.complaint("p"),
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to a terminating pod on \
         the nominated node."
    );
    assert_eq!(world.get(PODS, "p")["status"]["nominatedNodeName"], "n");
}

#[test]
fn promises_are_kept_where_possible() {
    let world = world();
    world.node("a", json!({}));
    world.node("b", json!({}));
    for (pod, node) in [("kept", "a"), ("ended", "b")] {
        let mut spec = of_class("low", "3");
        spec["nodeName"] = node.into();
        world.labeled_pod(pod, json!({"a": pod}), spec);
    }
    let budget = json!({
        "kind": "PodDisruptionBudget",
        "apiVersion": "policy/v1",
        "metadata": {"name": "kept"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "kept"}}},
    });
    world.create(("policy", "poddisruptionbudgets"), NS, budget);
    world.pod("p", of_class("high", "2"));
    world.settle();
    assert_eq!((is_ending(&world, "kept"), is_ending(&world, "ended")), (false, true));
    assert_eq!(world.get(PODS, "p")["status"]["nominatedNodeName"], "b");
}

#[test]
fn nobody_is_ended_in_vain() {
    let world = world();
    world.node("n", json!({}));
    world.pod("low", of_class("low", "1"));
    world.pod("equal", of_class("high", "3"));
    world.settle();
    world.pod("p", of_class("high", "2"));
    world.settle();
    assert!(!is_ending(&world, "low"));
    assert_eq!(
        world.complaint("p"),
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Insufficient \
         cpu."
    );
}

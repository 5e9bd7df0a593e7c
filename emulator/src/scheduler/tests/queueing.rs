//! In which order pods are taken, and when again.

use jiff::{SignedDuration, Timestamp};

use super::super::pod::PodInfo;
use super::super::queue::{Changes, Queue};
use super::*;

#[test]
fn important_pods_come_first_and_then_old_ones() {
    let world = World::new();
    let class = json!({
        "kind": "PriorityClass",
        "apiVersion": "scheduling.k8s.io/v1",
        "metadata": {"name": "high"},
        "value": 100,
    });
    world.create(("scheduling.k8s.io", "priorityclasses"), "", class);
    for name in ["z", "y", "x"] {
        world.pod(name, asks(json!({"cpu": "1"})));
    }
    let mut important = asks(json!({"cpu": "2"}));
    important["priorityClassName"] = "high".into();
    world.pod("important", important);
    world.node("n", json!({}));
    world.settle();
    // There is room for three.
    let placed = ["important", "z", "y", "x"].map(|pod| world.node_of(pod));
    assert_eq!(placed, ["n", "n", "n", ""]);
}

#[test]
fn a_pod_is_tried_again_when_there_is_hope() {
    let world = World::with_nodes([("n", json!({}))]);
    world.pod("old", asks(json!({"cpu": "3"})));
    world.settle();
    world.pod("p", asks(json!({"cpu": "2"})));
    world.pod("picky", json!({"nodeSelector": {"disk": "fast"}}));
    world.settle();
    let tries = |pod: &str| {
        let events = world.events(pod);
        let failures = events.iter().filter(|event| event["reason"] == "FailedScheduling");
        failures.map(|event| event["series"]["count"].as_i64().unwrap_or(1)).sum::<i64>()
    };
    assert_eq!((tries("p"), tries("picky")), (1, 1));
    // Neither hopes for a claim.
    world.claim("c", "", "1Gi");
    // A heartbeat changes nothing.
    world.change(NODES, "n", Part::Status, &|live| live["status"]["nodeInfo"]["kernelVersion"] = "6".into());
    world.settle();
    assert_eq!((tries("p"), tries("picky")), (1, 1));
    world.remove_pod("old");
    world.settle();
    assert_eq!((world.node_of("p").as_str(), tries("picky")), ("n", 1));
    world.change(NODES, "n", Part::Whole, &|live| live["metadata"]["labels"]["disk"] = "fast".into());
    world.settle();
    assert_eq!(world.node_of("picky"), "n");
}

#[test]
fn a_pod_that_ends_makes_room() {
    let world = World::with_nodes([("n", json!({}))]);
    world.pod("old", asks(json!({"cpu": "3"})));
    world.settle();
    world.pod("p", asks(json!({"cpu": "2"})));
    world.settle();
    world.change(PODS, "old", Part::Status, &|live| live["status"]["phase"] = "Succeeded".into());
    world.settle();
    assert_eq!(world.node_of("p"), "n");
}

#[test]
fn the_same_again_makes_a_series() {
    let world = World::with_nodes([("n", json!({}))]);
    world.pod("p", json!({"nodeSelector": {"disk": "fast"}}));
    for round in 0..4 {
        world.settle();
        world.change(NODES, "n", Part::Whole, &|live| live["metadata"]["labels"]["round"] = round.to_string().into());
    }
    // One is of the pod before it had its condition; of the other the length is written when it ends.
    let series: Vec<Value> = world.events("p").iter().map(|event| event["series"]["count"].clone()).collect();
    assert_eq!(series, [Value::Null, json!(2)]);
    let event = &world.events("p")[1];
    assert!(event["series"]["lastObservedTime"].as_str() >= event["eventTime"].as_str());
}

fn info(name: &str) -> Arc<PodInfo> {
    Arc::new(PodInfo::of(Arc::new(json!({"metadata": {"name": name, "uid": name}, "spec": {}}))))
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

#[test]
fn errors_wait_longer_and_longer() {
    let mut queue = Queue::default();
    let pod = info("p");
    queue.take(&pod, false, after(0));
    let mut now = 0;
    for wait in [1, 2, 4, 8, 10, 10] {
        queue.failed(&pod, after(now));
        assert_eq!(queue.next(), Some(after(now + wait)));
        queue.hear(Changes::NODE | Changes::CLAIM, after(now + wait - 1));
        assert!(queue.ready(after(now + wait - 1)).is_empty());
        now += wait;
        queue.hear(Changes::NONE, after(now));
        assert_eq!(queue.ready(after(now)).len(), 1);
    }
}

#[test]
fn who_was_refused_of_late_comes_last() {
    let mut queue = Queue::default();
    for name in ["refused", "long-ago"] {
        queue.take(&info(name), false, after(0));
    }
    queue.refused("long-ago", Changes::NODE, after(0));
    queue.refused("refused", Changes::NODE, after(10));
    queue.take(&info("new"), false, after(10));
    queue.hear(Changes::NODE, after(10));
    let names: Vec<String> = queue.ready(after(10)).iter().map(|pod| pod.name().to_owned()).collect();
    assert_eq!(names, ["long-ago", "new", "refused"]);
    // What is forgotten is tried after five minutes.
    queue.refused("new", Changes::NONE, after(11));
    queue.hear(Changes::NODE, after(12));
    assert_eq!(queue.ready(after(12)).len(), 2);
    queue.hear(Changes::NONE, after(311));
    assert_eq!(queue.ready(after(311)).len(), 3);
}

#[test]
fn many_pods_are_scheduled_in_turns() {
    let world = World::with_nodes([("a", json!({})), ("b", json!({})), ("c", json!({}))]);
    for number in 0..250 {
        world.pod(&format!("p{number}"), json!({}));
    }
    assert!(world.0.settle(&CONTROLLER).is_some(), "there is more to do");
    world.settle();
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..250 {
        *counts.entry(world.node_of(&format!("p{number}"))).or_insert(0) += 1;
    }
    let counts: Vec<(&str, i32)> = counts.iter().map(|(node, count)| (node.as_str(), *count)).collect();
    assert_eq!(counts, [("a", 84), ("b", 83), ("c", 83)]);
}

//! Pods that have to go.

use super::*;
use crate::node::kubelet::Pressure;

#[tokio::test]
async fn who_fills_a_volume_beyond_its_limit_is_evicted() {
    let world = World::at_speed(50.0);
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "10"}}]});
    let hook = json!({"postStart": {"exec": {"command": ["write", "/v/file", "more than ten bytes"]}}});
    let container = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}], "lifecycle": hook});
    world.run("p", &["stubborn"], container, spec);
    let pod = world.over("p").await;
    let message = "Usage of EmptyDir volume \"v\" exceeds the limit \"10\". ";
    let status = &pod["status"];
    assert_eq!([&status["phase"], &status["reason"], &status["message"]], ["Failed", "Evicted", message]);
    assert_eq!(condition(&pod, "DisruptionTarget"), "");
    world.told("p", &format!("Evicted: {message}")).await;
}

#[tokio::test]
async fn a_node_without_room_evicts_the_least_of_its_pods_and_takes_no_more() {
    let world = World::at_speed(50.0);
    world.run("critical", &["pause"], json!({}), json!({"priorityClassName": "system-node-critical"}));
    world.run("plain", &["eat", "3072"], json!({}), json!({}));
    let class = json!({"kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": "some"}, "value": 1});
    world.client.create(("scheduling.k8s.io", "priorityclasses"), "", class).unwrap();
    world.run("stubborn", &["stubborn"], json!({}), json!({"priorityClassName": "some"}));
    world.run("asks", &["pause"], json!({"resources": {"requests": {"memory": "1Mi"}}}), json!({}));
    for name in ["critical", "plain", "stubborn", "asks"] {
        world.running(name).await;
    }
    world.kubelet.set_pressure(Pressure::Memory, true);
    let pod = world.over("plain").await;
    let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 0. Container c was using 3Ki, request \
                   is 0, has larger consumption of memory. ";
    world.told("plain", &format!("Evicted: {message}")).await;
    // It ended well when it was asked to: as on a real node, that counts.
    assert_eq!((&pod["status"]["phase"], &pod["status"]["reason"]), (&json!("Succeeded"), &Value::Null));
    let disruption = list(&pod["status"]["conditions"]).iter().find(|one| one["type"] == "DisruptionTarget").unwrap();
    assert_eq!((&disruption["reason"], &disruption["message"]), (&json!("TerminationByKubelet"), &json!(message)));
    let pod = world.over("stubborn").await;
    let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 0. ";
    let status = &pod["status"];
    assert_eq!([&status["phase"], &status["reason"], &status["message"]], ["Failed", "Evicted", message]);
    world.run("late", &["pause"], json!({}), json!({}));
    let pod = world.when("late", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["message"], "Pod was rejected: The node had condition: [MemoryPressure]. ");
    world.over("asks").await;
    assert!(is_ready(&world.pod("critical").unwrap()));
    world.told("n", "EvictionThresholdMet: Attempting to reclaim memory").await;
}

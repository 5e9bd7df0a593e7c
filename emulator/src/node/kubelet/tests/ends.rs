//! How pods end.

use super::*;

#[tokio::test]
async fn a_pod_that_is_done_has_succeeded() {
    let world = World::new();
    world.run("p", &["print", "hi"], json!({}), json!({"restartPolicy": "Never"}));
    let pod = world.over("p").await;
    let status = plain(pod["status"].clone());
    let condition = |kind: &str, holds: &str, reason: &str| {
        let mut condition = json!({"type": kind, "status": holds, "observedGeneration": 1, "lastProbeTime": null, "lastTransitionTime": "<time>"});
        if !reason.is_empty() {
            condition["reason"] = reason.into();
        }
        condition
    };
    let conditions = json!([
        condition("PodReadyToStartContainers", "False", ""),
        condition("Initialized", "True", "PodCompleted"),
        condition("Ready", "False", "PodCompleted"),
        condition("ContainersReady", "False", "PodCompleted"),
        condition("PodScheduled", "True", ""),
    ]);
    assert_eq!(status["conditions"], conditions);
    let terminated =
        json!({"exitCode": 0, "reason": "Completed", "startedAt": "<time>", "finishedAt": "<time>", "containerID": "<id>"});
    assert_eq!(status["containerStatuses"][0]["state"], json!({"terminated": terminated}));
    assert_eq!((&status["phase"], status["podIP"].is_string()), (&json!("Succeeded"), true));
    world.delete("p");
    world.gone("p").await;
}

#[tokio::test]
async fn a_deleted_pod_is_asked_to_end_and_goes() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({}));
    world.running("p").await;
    world.delete("p");
    world.gone("p").await;
    world.told("p", "Killing: Stopping container c").await;
    // Nothing of it stays on the node.
    while world.kubelet.context.pod(NS, "p").is_some() {
        tokio::task::yield_now().await;
    }
    let root = &world.kubelet.context.node.root;
    assert_eq!(std::fs::read_dir(root.join("var/lib/containers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(root.join("var/lib/kubelet/pods")).unwrap().count(), 0);
}

#[tokio::test]
async fn who_does_not_end_by_himself_is_ended() {
    let world = World::at_speed(100.0);
    world.run("p", &["stubborn"], json!({}), json!({"terminationGracePeriodSeconds": 30}));
    world.running("p").await;
    world.delete("p");
    // It goes at once when it has ended: whoever wants to see how must have held it.
    world.gone("p").await;

    world.run("q", &["stubborn"], json!({}), json!({"activeDeadlineSeconds": 5}));
    // As long as it runs, it has not failed.
    let pod = world.when("q", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(condition(&pod, "PodReadyToStartContainers"), "False");
    let status = &pod["status"];
    let message = "Pod was active on the node longer than the specified deadline";
    assert_eq!((&status["reason"], &status["message"]), (&json!("DeadlineExceeded"), &json!(message)));
    let terminated = &first(&pod)["state"]["terminated"];
    assert_eq!((&terminated["exitCode"], &terminated["reason"]), (&json!(137), &json!("Error")));
    world.told("q", &format!("DeadlineExceeded: {message}")).await;
}

#[tokio::test]
async fn the_hook_before_the_end_comes_before_the_signal() {
    let world = World::new();
    let hook = json!({"preStop": {"exec": {"command": ["write", "/dev/termination-log", "hooked"]}}});
    let spec = json!({"activeDeadlineSeconds": 1});
    world.run("p", &["pause"], json!({"lifecycle": hook}), spec);
    let pod = world.over("p").await;
    let terminated = &first(&pod)["state"]["terminated"];
    assert_eq!((&terminated["exitCode"], &terminated["message"]), (&json!(0), &json!("hooked")));
}

#[tokio::test]
async fn a_pod_that_is_gone_by_force_ends_all_the_same() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({}));
    let pod = world.running("p").await;
    world.client.remove_pod(NS, "p", text(&pod["metadata"]["uid"])).unwrap();
    while world.kubelet.context.pod(NS, "p").is_some() {
        tokio::task::yield_now().await;
    }
    assert!(world.pod("p").is_none());
}

#[tokio::test]
async fn a_sidecar_ends_after_the_others() {
    let world = World::new();
    let mut sidecar = container_of("side", &["pause"]);
    sidecar["restartPolicy"] = "Always".into();
    let mut main = container_of("c", &["pause"]);
    main["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 1}}});
    world.create(
        "p",
        json!({"restartPolicy": "Never", "initContainers": [sidecar], "containers": [main], "activeDeadlineSeconds": 1}),
    );
    let pod = world.over("p").await;
    let end = |status: &Value| text(&status["state"]["terminated"]["finishedAt"]).to_owned();
    assert!(end(first(&pod)) <= end(&pod["status"]["initContainerStatuses"][0]));
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
}

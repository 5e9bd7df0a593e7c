//! Containers that fail.

use super::*;

#[tokio::test]
async fn a_container_that_fails_waits_ever_longer() {
    let world = World::at_speed(50.0);
    world.run("p", &["print", "words", "3"], json!({"terminationMessagePolicy": "FallbackToLogsOnError"}), json!({}));
    let backs_off = |wait: &'static str| {
        move |pod: &Value| text(&first(pod)["state"]["waiting"]["message"]).starts_with(&format!("back-off {wait} "))
    };
    let pod = world.when("p", backs_off("10s")).await;
    let uid = text(&pod["metadata"]["uid"]);
    let waiting = json!({"reason": "CrashLoopBackOff", "message": format!("back-off 10s restarting failed container=c pod=p_default({uid})")});
    assert_eq!(first(&pod)["state"]["waiting"], waiting);
    let last = &first(&pod)["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"], &last["message"]), (&json!(3), &json!("Error"), &json!("words")));
    assert_eq!((&pod["status"]["phase"], &first(&pod)["restartCount"]), (&json!("Running"), &json!(1)));
    world.told("p", &format!("BackOff: Back-off restarting failed container c in pod p_default({uid})")).await;
    let pod = world.when("p", backs_off("20s")).await;
    assert_eq!(first(&pod)["restartCount"], 2);
    world.when("p", backs_off("40s")).await;
}

#[tokio::test]
async fn what_ends_well_is_not_repeated_unless_always() {
    let world = World::at_speed(50.0);
    let spec = json!({"restartPolicy": "OnFailure", "containers": [container_of("a", &["exit", "0"]), container_of("b", &["exit", "1"])]});
    world.create("p", spec);
    let pod = world.when("p", |pod| pod["status"]["containerStatuses"][1]["restartCount"] == 2).await;
    assert_eq!(first(&pod)["restartCount"], 0);
    assert_eq!(pod["status"]["phase"], "Running");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_of_the_start() {
    let world = World::new();
    world.run("p", &["/no/such/program"], json!({}), json!({"restartPolicy": "Never"}));
    let pod = world.over("p").await;
    let message = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to \
                   start container process: error during container init: exec: \"/no/such/program\": stat /no/such/program: no such file \
                   or directory";
    let terminated = &first(&pod)["state"]["terminated"];
    assert_eq!(
        (&terminated["exitCode"], &terminated["reason"], &terminated["message"]),
        (&json!(128), &json!("StartError"), &json!(message))
    );
    assert_eq!(terminated["startedAt"], "1970-01-01T00:00:00Z");
    world.told("p", &format!("Failed: Error: {message}")).await;
}

#[tokio::test]
async fn memory_beyond_the_limit_is_the_end() {
    let world = World::new();
    let limits = json!({"resources": {"limits": {"memory": "1Mi"}}});
    world.run("p", &["eat", "2000000"], limits, json!({"restartPolicy": "Never"}));
    let pod = world.over("p").await;
    let terminated = &first(&pod)["state"]["terminated"];
    assert_eq!((&terminated["exitCode"], &terminated["reason"]), (&json!(137), &json!("OOMKilled")));
}

#[tokio::test]
async fn a_panic_is_only_the_programs_end() {
    let world = World::new();
    world.run("p", &["panic"], json!({}), json!({"restartPolicy": "Never"}));
    let pod = world.over("p").await;
    assert_eq!(first(&pod)["state"]["terminated"]["exitCode"], 139);
    assert_eq!(world.log("p", "c", LogOptions::default()).await, "panicked: at the disco\n");
}

#[tokio::test]
async fn the_hook_after_the_start_decides() {
    let world = World::at_speed(50.0);
    let hook = json!({"postStart": {"exec": {"command": ["print", "no\n", "4"]}}});
    world.run("p", &["pause"], json!({"lifecycle": hook}), json!({}));
    let pod = world.when("p", |pod| first(pod)["state"]["waiting"]["reason"] == "PostStartHookError").await;
    let title = format!("p_default({})", text(&pod["metadata"]["uid"]));
    let message = format!(
        "Exec lifecycle hook ([print no\n 4]) for Container \"c\" in Pod \"{title}\" failed - error: command 'print no\n 4' exited with 4: \
         , message: \"no\\n\""
    );
    assert_eq!(first(&pod)["state"]["waiting"]["message"], message.as_str());
    world.told("p", "FailedPostStartHook: PostStartHook failed").await;
    world.told("p", "Killing: FailedPostStartHook").await;
}

#[tokio::test]
async fn what_happens_too_often_is_counted_and_not_told() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({}));
    let pod = Arc::new(world.running("p").await);
    for _ in 0..30 {
        world.kubelet.context.recorder.warning(&pod, "", "Often", "again");
        // Of what is normal, others may be told all the same.
        world.kubelet.context.recorder.normal(&pod, "", "Seldom", "again");
    }
    world.kubelet.context.recorder.normal(&pod, "", "Last", "one");
    // Who comes after them is told when they were.
    world.kubelet.context.recorder.normal(&Arc::new(node(&world)), "", "Afterwards", "");
    world.told("n", "Afterwards").await;
    let served = world.client.served(EVENTS).unwrap();
    let (_, all) = world.client.cluster.store.list(&served.table, &Range::default(), None).unwrap();
    let count = |reason: &str| {
        let found = all.iter().map(|stored| served.live(stored)).find(|event| event["reason"] == reason);
        found.map(|event| event["count"].as_i64().unwrap())
    };
    // Three of what is normal had been told before.
    assert_eq!([count("Often"), count("Seldom"), count("Last")], [Some(25), Some(22), None]);
}

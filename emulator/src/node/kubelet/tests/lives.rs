//! How pods come to run, and what their statuses say.

use super::*;

#[tokio::test]
async fn a_pod_runs_and_says_so() {
    let world = World::new();
    let resources = json!({"limits": {"memory": "20Mi"}, "requests": {"cpu": "10m", "memory": "10Mi"}});
    world.run("p", &["pause"], json!({"resources": resources}), json!({}));
    let pod = world.running("p").await;
    let condition = |kind: &str| json!({"type": kind, "status": "True", "observedGeneration": 1, "lastProbeTime": null, "lastTransitionTime": "<time>"});
    let kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let expected = json!({
        "observedGeneration": 1,
        "phase": "Running",
        "conditions": kinds.map(condition),
        "hostIP": "198.18.0.1",
        "hostIPs": [{"ip": "198.18.0.1"}],
        "podIP": pod["status"]["podIP"],
        "podIPs": [{"ip": pod["status"]["podIP"]}],
        "startTime": "<time>",
        "qosClass": "Burstable",
        "containerStatuses": [{
            "name": "c",
            "state": {"running": {"startedAt": "<time>"}},
            "lastState": {},
            "ready": true,
            "restartCount": 0,
            "image": "docker.io/test/tool:1",
            "imageID": "<image>",
            "containerID": "<id>",
            "started": true,
            "allocatedResources": resources["requests"],
            "resources": resources,
            "user": {"linux": {"uid": 0, "gid": 0, "supplementalGroups": [0]}},
        }],
    });
    assert_eq!(plain(pod["status"].clone()), expected);
    let id = text(&first(&pod)["containerID"]).strip_prefix("containerd://").unwrap();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let managed = list(&pod["metadata"]["managedFields"]).iter().find(|entry| entry["subresource"] == "status").unwrap();
    assert_eq!((&managed["manager"], &managed["operation"]), (&json!("k3s"), &json!("Update")));
    world.told("p", "Started").await;
    let expected = [
        "Pulled: Container image \"test/tool:1\" already present on machine",
        "Created: Created container: c",
        "Started: Started container c",
    ];
    assert_eq!(world.events("p"), expected);
}

#[tokio::test]
async fn init_containers_come_first_and_sidecars_stay() {
    let world = World::new();
    let mut sidecar = container_of("side", &["pause"]);
    sidecar["restartPolicy"] = "Always".into();
    let init = json!([container_of("first", &["exit", "0"]), sidecar, container_of("last", &["exists", "/nothing"])]);
    world.create(
        "p",
        json!({"restartPolicy": "Never", "initContainers": init, "containers": [container_of("c", &["exit", "0"])]}),
    );
    // The last one fails.
    let pod = world.over("p").await;
    let status = plain(pod["status"].clone());
    assert_eq!(status["phase"], "Failed");
    let states: Vec<&Value> = list(&status["initContainerStatuses"]).iter().map(|one| &one["state"]).collect();
    assert_eq!(states[0]["terminated"]["reason"], "Completed");
    assert_eq!(states[1]["terminated"]["exitCode"], 0);
    assert_eq!(states[2]["terminated"]["exitCode"], 1);
    assert_eq!(status["containerStatuses"][0]["state"], json!({"waiting": {"reason": "PodInitializing"}}));
    let initialized = list(&status["conditions"]).iter().find(|one| one["type"] == "Initialized").unwrap();
    assert_eq!(
        (&initialized["reason"], &initialized["message"]),
        (&json!("ContainersNotInitialized"), &json!("containers with incomplete status: [side last]"))
    );

    world.create("q", json!({
        "restartPolicy": "Never",
        "initContainers": [container_of("first", &["exit", "0"]), {"name": "side", "image": IMAGE, "restartPolicy": "Always"}],
        "containers": [container_of("c", &["pause"])],
    }));
    let pod = world.running("q").await;
    let side = &pod["status"]["initContainerStatuses"][1];
    assert_eq!((&side["ready"], &side["started"]), (&json!(true), &json!(true)));
    world.told("q", "Started: Started container c").await;
    let started: Vec<String> = world.events("q").into_iter().filter(|event| event.starts_with("Started")).collect();
    assert_eq!(started, ["first", "side", "c"].map(|name| format!("Started: Started container {name}")));
}

#[tokio::test]
async fn a_node_takes_no_more_than_it_has_room_for() {
    let world = World::new();
    world.run("big", &["pause"], json!({"resources": {"requests": {"cpu": "100"}}}), json!({}));
    let pod = world.when("big", |pod| pod["status"]["phase"] == "Failed").await;
    let expected = json!({
        "message": "Pod was rejected: Node didn't have enough resource: cpu, requested: 100000, used: 0, capacity: 2000",
        "observedGeneration": 1,
        "phase": "Failed",
        "qosClass": "Burstable",
        "reason": "OutOfcpu",
        "startTime": "<time>",
    });
    assert_eq!(plain(pod["status"].clone()), expected);
    world.run("picky", &["pause"], json!({}), json!({"nodeSelector": {"a": "b"}}));
    let pod = world.when("picky", |pod| pod["status"]["phase"] == "Failed").await;
    let message = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    assert_eq!((&pod["status"]["reason"], &pod["status"]["message"]), (&json!("NodeAffinity"), &json!(message)));
}

#[tokio::test]
async fn what_others_write_into_a_status_is_kept_or_put_right() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({"readinessGates": [{"conditionType": "example.com/gate"}]}));
    let pod = world.when("p", |pod| condition(pod, "ContainersReady") == "True").await;
    let ready = list(&pod["status"]["conditions"]).iter().find(|one| one["type"] == "Ready").unwrap();
    assert_eq!(ready["message"], "corresponding condition of pod readiness gate \"example.com/gate\" does not exist.");
    set_status(&world, "p", |status| {
        let gate = json!({"type": "example.com/gate", "status": "True", "lastProbeTime": null, "lastTransitionTime": null});
        status["conditions"].as_array_mut().unwrap().push(gate);
        status["phase"] = "Pending".into();
    });
    let pod = world.running("p").await;
    assert_eq!(condition(&pod, "example.com/gate"), "True");
}

#[tokio::test]
async fn what_a_container_needs_and_has_not_is_told() {
    let world = World::at_speed(20.0);
    let env = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "a"}}}]);
    world.run("p", &["pause"], json!({"env": env}), json!({}));
    let pod = world.when("p", |pod| first(pod)["state"]["waiting"]["reason"] == "CreateContainerConfigError").await;
    assert_eq!(first(&pod)["state"]["waiting"]["message"], "configmap \"absent\" not found");
    world.told("p", "Failed: Error: configmap \"absent\" not found").await;
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "absent"}, "data": {"a": "b"}});
    world.client.create(("", "configmaps"), NS, map).unwrap();
    world.running("p").await;

    let spec = json!({"volumes": [{"name": "v", "configMap": {"name": "missing"}}]});
    world.run("q", &["pause"], json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}), spec);
    world.told("q", "FailedMount: MountVolume.SetUp failed for volume \"v\" : configmap \"missing\" not found").await;
    assert_eq!(first(&world.pod("q").unwrap())["state"], json!({"waiting": {"reason": "ContainerCreating"}}));
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "missing"}, "data": {"a": "b"}});
    world.client.create(("", "configmaps"), NS, map).unwrap();
    world.running("q").await;
}

#[tokio::test]
async fn scripts_of_a_volume_are_commands() {
    let world = World::new();
    let map =
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "scripts"}, "data": {"run.sh": "#!/bin/print\n"}});
    world.client.create(("", "configmaps"), NS, map).unwrap();
    let spec =
        json!({"restartPolicy": "Never", "volumes": [{"name": "v", "configMap": {"name": "scripts", "defaultMode": 0o755}}]});
    let mounts = json!([{"name": "v", "mountPath": "/scripts"}]);
    let hook = json!({"postStart": {"exec": {"command": ["./run.sh"]}}});
    world.run("p", &["/scripts/run.sh"], json!({"volumeMounts": mounts}), spec.clone());
    assert_eq!(world.over("p").await["status"]["phase"], "Succeeded");
    assert_eq!(world.log("p", "c", LogOptions::default()).await, "/scripts/run.sh");
    let container = json!({"volumeMounts": mounts, "workingDir": "/scripts", "lifecycle": hook});
    world.run("q", &["pause"], container, spec);
    world.running("q").await;
    let events = world.events("q");
    assert!(!events.iter().any(|event| event.starts_with("FailedPostStartHook")), "{events:?}");
}

#[tokio::test]
async fn another_image_is_another_container() {
    let world = World::new();
    world.images.register("test/tool:2", tool());
    world.run("p", &["pause"], json!({}), json!({}));
    world.running("p").await;
    let changed = world.client.update(PODS, NS, "p", Part::Whole, &|live| {
        live["spec"]["containers"][0]["image"] = "test/tool:2".into();
        Ok(())
    });
    changed.unwrap();
    let pod = world.when("p", |pod| is_ready(pod) && first(pod)["restartCount"] == 1).await;
    assert_eq!(first(&pod)["image"], "docker.io/test/tool:2");
    world.told("p", "Killing: Container c definition changed, will be restarted").await;
}

#[tokio::test]
async fn containers_can_join_a_running_pod() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({}));
    world.running("p").await;
    let added = world.client.update(PODS, NS, "p", Part::EphemeralContainers, &|live| {
        let mut container = container_of("debug", &["print", "hello", "3"]);
        container["terminationMessagePolicy"] = "File".into();
        container["imagePullPolicy"] = "IfNotPresent".into();
        live["spec"]["ephemeralContainers"] = json!([container]);
        Ok(())
    });
    added.unwrap();
    let ended = |pod: &Value| !pod["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"].is_null();
    let pod = world.when("p", ended).await;
    assert_eq!(pod["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    assert!(is_ready(&pod));
    assert_eq!(world.log("p", "debug", LogOptions::default()).await, "hello");
    world.told("p", "Started: Started container debug").await;
}

#[tokio::test]
async fn secrets_of_registries_are_missed() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({"imagePullSecrets": [{"name": "absent"}]}));
    let message = "Unable to retrieve some image pull secrets (absent); attempting to pull the image may not succeed.";
    world.told("p", &format!("FailedToRetrieveImagePullSecret: {message}")).await;
    world.running("p").await;
}

//! Probes.

use super::*;

fn http(path: &str) -> Value {
    json!({"httpGet": {"path": path, "port": 8080}, "periodSeconds": 1, "failureThreshold": 2})
}

#[tokio::test]
async fn a_pod_is_ready_when_its_probe_says_so() {
    let world = World::at_speed(10.0);
    world.run("p", &["serve", "8080", "500"], json!({"readinessProbe": http("/healthz")}), json!({}));
    world.told("p", "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 500").await;
    let pod = world.pod("p").unwrap();
    assert_eq!((&pod["status"]["phase"], condition(&pod, "Ready")), (&json!("Running"), "False"));
    assert_eq!((&first(&pod)["started"], &first(&pod)["ready"]), (&json!(true), &json!(false)));
    let put = |status: &'static str| {
        let command = ["write", "/status", status].map(str::to_owned);
        let streams = crate::node::kubelet::Streams {
            stdin: k3s_arc_container::Input::empty(),
            stdout: Output::null(),
            stderr: Output::null(),
        };
        let kubelet = world.kubelet.clone();
        async move { kubelet.exec(NS, "p", "c", &command, streams).await.unwrap() }
    };
    assert_eq!(put("200").await, 0);
    world.running("p").await;
    put("503").await;
    world.when("p", |pod| !is_ready(pod)).await;
}

#[tokio::test]
async fn what_is_not_alive_is_started_again() {
    let world = World::at_speed(10.0);
    let probe = json!({"exec": {"command": ["exists", "/nothing"]}, "periodSeconds": 1, "failureThreshold": 2});
    world.run("p", &["pause"], json!({"livenessProbe": probe}), json!({}));
    let pod = world.when("p", |pod| first(pod)["restartCount"] == 1).await;
    assert_eq!(first(&pod)["lastState"]["terminated"]["exitCode"], 0);
    world.told("p", "Unhealthy: Liveness probe failed: ").await;
    world.told("p", "Killing: Container c failed liveness probe, will be restarted").await;
}

#[tokio::test]
async fn other_probes_wait_for_the_start() {
    let world = World::at_speed(10.0);
    let startup = json!({"exec": {"command": ["exists", "/started"]}, "periodSeconds": 1, "failureThreshold": 1000});
    let readiness = json!({"tcpSocket": {"port": 81}, "periodSeconds": 1});
    world.run("p", &["serve", "80", "200"], json!({"startupProbe": startup, "readinessProbe": readiness}), json!({}));
    world.told("p", "Unhealthy: Startup probe failed: ").await;
    let pod = world.pod("p").unwrap();
    assert_eq!((&pod["status"]["phase"], &first(&pod)["started"]), (&json!("Running"), &json!(false)));
    assert!(!world.events("p").iter().any(|event| event.contains("Readiness")));
    let command = ["write", "/started", ""].map(str::to_owned);
    let streams = crate::node::kubelet::Streams {
        stdin: k3s_arc_container::Input::empty(),
        stdout: Output::null(),
        stderr: Output::null(),
    };
    world.kubelet.exec(NS, "p", "c", &command, streams).await.unwrap();
    world.when("p", |pod| first(pod)["started"] == true).await;
    let ip = text(&pod["status"]["podIP"]);
    world.told("p", &format!("Unhealthy: Readiness probe failed: dial tcp {ip}:81: connect: connection refused")).await;
}

#[tokio::test]
async fn what_cannot_be_probed_is_told_as_on_a_real_node() {
    let world = World::at_speed(10.0);
    for (name, command, mut probe, why) in [
        (
            "missing",
            &["pause"][..],
            json!({"exec": {"command": ["nothere"]}}),
            "Readiness probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in container: failed \
             to start exec \"",
        ),
        (
            "refused",
            &["pause"],
            json!({"httpGet": {"port": 9999}}),
            "Readiness probe failed: Get \"http://IP:9999/\": dial tcp IP:9999: connect: connection refused",
        ),
        (
            "slow",
            &["pause"],
            json!({"exec": {"command": ["stubborn"]}}),
            "Readiness probe failed: command timed out: \"stubborn\" timed out after 1s",
        ),
        (
            "plain",
            &["serve", "8443", "200"],
            json!({"httpGet": {"port": 8443, "scheme": "HTTPS"}}),
            "Readiness probe failed: Get \"https://IP:8443/\": http: server gave HTTP response to HTTPS client",
        ),
    ] {
        probe["periodSeconds"] = 1.into();
        world.run(name, command, json!({"readinessProbe": probe}), json!({}));
        let pod = world.when(name, |pod| pod["status"]["podIP"].is_string()).await;
        world.told(name, &format!("Unhealthy: {}", why.replace("IP", text(&pod["status"]["podIP"])))).await;
    }
}

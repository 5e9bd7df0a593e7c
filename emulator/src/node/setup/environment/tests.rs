//! Environments, variable by variable.

use rstest::rstest;
use serde_json::json;

use super::super::testing::World;
use super::*;

fn world() -> World {
    let world = World::new();
    world.put("configmaps", "map", json!({"data": {"A": "1", "B": "2", "some.key": "3"}}));
    world.put("secrets", "s", json!({"data": {"K": "c2VjcmV0", "raw": "AP8="}}));
    world
}

/// What of the environment is neither the runtime's nor a service's.
fn own(world: &World, container: Value) -> Result<Vec<String>, ConfigError> {
    let pod = world.pod(json!({}), container);
    let mut env = world.environment(&pod, &Image::new())?;
    env.retain(|variable| !["HOME=", "HOSTNAME=", "PATH=", "KUBERNETES_"].iter().any(|of| variable.starts_with(of)));
    Ok(env)
}

fn from(source: Value) -> Value {
    json!({"env": [{"name": "V", "valueFrom": source}]})
}

fn field(path: &str) -> Value {
    from(json!({"fieldRef": {"apiVersion": "v1", "fieldPath": path}}))
}

#[rstest]
#[case::value(json!({"env": [{"name": "V", "value": "x"}]}), &["V=x"])]
#[case::nothing(json!({"env": [{"name": "V"}]}), &["V="])]
#[case::reference(
    json!({"env": [{"name": "V", "value": "$(W)"}, {"name": "W", "value": "1"}, {"name": "X", "value": "$(W)$(W) $$(W) $(NO)"}]}),
    &["V=$(W)", "W=1", "X=11 $(W) $(NO)"]
)]
#[case::service(json!({"env": [{"name": "V", "value": "$(KUBERNETES_SERVICE_PORT)"}]}), &["V=443"])]
#[case::not_the_runtimes(json!({"env": [{"name": "V", "value": "$(HOSTNAME)"}]}), &["V=$(HOSTNAME)"])]
#[case::name(field("metadata.name"), &["V=p"])]
#[case::label(field("metadata.labels['app']"), &["V=a"])]
#[case::node(field("spec.nodeName"), &["V=n1"])]
#[case::account(field("spec.serviceAccountName"), &["V=default"])]
#[case::host(field("status.hostIP"), &["V=198.18.0.1"])]
#[case::hosts(field("status.hostIPs"), &["V=198.18.0.1"])]
#[case::address(field("status.podIP"), &["V=10.42.0.7"])]
#[case::addresses(field("status.podIPs"), &["V=10.42.0.7,fd00::7"])]
#[case::amount(from(json!({"resourceFieldRef": {"resource": "limits.cpu"}})), &["V=8"])]
#[case::amount_of_another(
    from(json!({"resourceFieldRef": {"containerName": "c", "resource": "requests.memory", "divisor": "1Mi"}})), &["V=0"]
)]
#[case::config_map(from(json!({"configMapKeyRef": {"name": "map", "key": "A"}})), &["V=1"])]
#[case::secret(from(json!({"secretKeyRef": {"name": "s", "key": "K"}})), &["V=secret"])]
#[case::optional(from(json!({"configMapKeyRef": {"name": "map", "key": "no", "optional": true}})), &[])]
#[case::optional_object(from(json!({"secretKeyRef": {"name": "no", "key": "K", "optional": true}})), &[])]
#[case::all_of_a_map(json!({"envFrom": [{"configMapRef": {"name": "map"}}]}), &["A=1", "B=2", "some.key=3"])]
#[case::prefix(json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "map"}}]}), &["P_A=1", "P_B=2", "P_some.key=3"])]
#[case::own_first(
    json!({"envFrom": [{"configMapRef": {"name": "map"}}], "env": [{"name": "A", "value": "$(A)$(B)"}]}), &["A=12", "B=2", "some.key=3"]
)]
#[case::optional_map(json!({"envFrom": [{"configMapRef": {"name": "no", "optional": true}}, {"secretRef": {"name": "no", "optional": true}}]}), &[])]
fn variables(#[case] container: Value, #[case] expected: &[&str]) {
    assert_eq!(own(&world(), container).unwrap(), expected);
}

#[rstest]
#[case(from(json!({"configMapKeyRef": {"name": "x", "key": "k"}})), "configmap \"x\" not found")]
#[case(from(json!({"configMapKeyRef": {"name": "map", "key": "k"}})), "couldn't find key k in ConfigMap default/map")]
#[case(from(json!({"secretKeyRef": {"name": "x", "key": "k"}})), "secret \"x\" not found")]
#[case(from(json!({"secretKeyRef": {"name": "s", "key": "k"}})), "couldn't find key k in Secret default/s")]
#[case(json!({"envFrom": [{"configMapRef": {"name": "x"}}]}), "configmap \"x\" not found")]
#[case(json!({"envFrom": [{"secretRef": {"name": "x"}}]}), "secret \"x\" not found")]
#[case(from(json!({"resourceFieldRef": {"containerName": "x", "resource": "limits.cpu"}})), "container x not found")]
#[case(field("status.phase"), "unsupported fieldPath: status.phase")]
fn what_cannot_be_told(#[case] container: Value, #[case] expected: &str) {
    let error = own(&world(), container).unwrap_err();
    assert_eq!((error.reason, error.message.as_str()), ("CreateContainerConfigError", expected));
}

#[test]
fn only_text_can_be_told() {
    let error = own(&world(), from(json!({"secretKeyRef": {"name": "s", "key": "raw"}}))).unwrap_err();
    assert_eq!(error.reason, "CreateContainerError");
}

#[test]
fn what_every_container_has() {
    let world = world();
    let pod = world.pod(json!({}), json!({"tty": true}));
    let image =
        Image::new().env("PATH", "/image").env("IMAGE", "1").file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644);
    let expected = [
        "HOME=/root",
        "HOSTNAME=p",
        "IMAGE=1",
        "KUBERNETES_PORT=tcp://10.43.0.1:443",
        "KUBERNETES_PORT_443_TCP=tcp://10.43.0.1:443",
        "KUBERNETES_PORT_443_TCP_ADDR=10.43.0.1",
        "KUBERNETES_PORT_443_TCP_PORT=443",
        "KUBERNETES_PORT_443_TCP_PROTO=tcp",
        "KUBERNETES_SERVICE_HOST=10.43.0.1",
        "KUBERNETES_SERVICE_PORT=443",
        "KUBERNETES_SERVICE_PORT_HTTPS=443",
        "PATH=/image",
        "TERM=xterm",
    ];
    assert_eq!(world.environment(&pod, &image).unwrap(), expected);
    let own = world.pod(json!({}), json!({"env": [{"name": "HOSTNAME", "value": "mine"}, {"name": "HOME", "value": ""}]}));
    let env = world.environment(&own, &Image::new()).unwrap();
    assert_eq!(env[..2], ["HOME=/", "HOSTNAME=mine"]);
    assert!(env.contains(&format!("PATH={DEFAULT_PATH}")));
}

#[test]
fn services_are_told_unless_links_are_off() {
    let world = world();
    world.put("services", "web", json!({"spec": {"clusterIP": "10.43.0.9", "ports": [{"port": 80}]}}));
    world.put("services", "headless", json!({"spec": {"clusterIP": "None", "ports": [{"port": 80}]}}));
    let told = |links: bool| {
        let env = world.environment(&world.pod(json!({"enableServiceLinks": links}), json!({})), &Image::new()).unwrap();
        ["KUBERNETES_SERVICE_HOST=10.43.0.1", "WEB_SERVICE_HOST=10.43.0.9", "HEADLESS_SERVICE_HOST=None"]
            .map(|v| env.contains(&v.to_owned()))
    };
    assert_eq!(told(true), [true, true, false]);
    assert_eq!(told(false), [true, false, false]);
}

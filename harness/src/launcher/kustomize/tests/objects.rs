//! Objects by chance, which refer to each other.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// What is written without quotes.
pub(super) const RAW: &str = "RAW:";

pub(super) fn name() -> impl Strategy<Value = String> {
    select(vec!["app", "db", "web", "cfg", "x1"]).prop_map(str::to_owned)
}

pub(super) fn namespace() -> impl Strategy<Value = Option<String>> {
    option::weighted(0.4, select(vec!["default", "one", "two"]).prop_map(str::to_owned))
}

/// Texts that YAML has to write with care, and values that it may take for another type.
pub(super) fn scalar() -> impl Strategy<Value = Value> {
    let texts = vec![
        "",
        "a",
        "true",
        "yes",
        "0777",
        "0x1f",
        "1e3",
        "2001-01-01",
        "null",
        "~",
        "a: b",
        "a #b",
        "- a",
        "x\ny\n",
        "x\ny",
        " x",
        "x ",
        "it's",
        "\"q\"",
        "tab\there",
        "é",
        "😀",
        "<a&b>",
        "x \ny",
        "\n",
        "x\n\n",
        "1:30",
        "@x",
        "%x",
        "`x",
        "{x",
        "[x",
        "=",
        "a\\b",
        "-1",
        ".5",
        "a long text with more than eighty characters, which is broken at a space by those who print YAML, and once more here",
        "y",
        "\u{feff}x",
        "key=value",
        "---",
        "...",
        "? x",
        ": x",
        "x:",
        "!x",
        "&x",
        "*x",
        "|",
        ">",
        "\r",
        "\r\nx",
    ];
    let raw = vec![
        "yes",
        "no",
        "on",
        "true",
        "True",
        "0777",
        "0o17",
        "0x1F",
        "1_000",
        "1.0",
        "1.50",
        "1e3",
        "1e-7",
        ".5",
        "~",
        "null",
        "12345678901",
        "2001-1-2",
        "2001-01-01T01:02:03Z",
        "0b11",
        "-5",
        "+5",
        "1234567.5",
        "18446744073709551615",
        "x y",
        "1:30",
        "123e30",
    ];
    prop_oneof![
        3 => select(texts).prop_map(|text| json!(text)),
        1 => select(raw).prop_map(|text| json!(format!("{RAW}{text}"))),
        1 => (0i64..100).prop_map(|number| json!(number)),
    ]
}

pub(super) fn text() -> impl Strategy<Value = String> {
    scalar().prop_map(|value| value.as_str().filter(|text| !text.starts_with(RAW)).unwrap_or("v").to_owned())
}

pub(super) fn pairs() -> impl Strategy<Value = Value> {
    let key = select(vec!["app", "tier", "example.com/x", "y", "a10", "a2", "A", "z"]);
    vec((key, text()), 1..3)
        .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()))
}

pub(super) fn labels() -> impl Strategy<Value = Option<Value>> {
    option::weighted(0.4, pairs())
}

pub(super) fn image() -> impl Strategy<Value = String> {
    select(vec!["nginx", "nginx:1", "reg.io:5000/nginx:1.2", "busybox@sha256:abc", "nginx:1@sha256:abc", "lib/busybox"])
        .prop_map(str::to_owned)
}

pub(super) fn object(map: Vec<(&str, Option<Value>)>) -> Value {
    Value::Object(map.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect::<Map<_, _>>())
}

fn variable() -> impl Strategy<Value = Value> {
    let from = (name(), any::<bool>()).prop_map(
        |(name, secret)| json!({ if secret { "secretKeyRef" } else { "configMapKeyRef" }: {"name": name, "key": "k"} }),
    );
    (
        select(vec!["A", "B", "C"]),
        prop_oneof![text().prop_map(|text| json!({"value": text})), from.prop_map(|from| json!({"valueFrom": from}))],
    )
        .prop_map(|(name, mut value)| {
            value["name"] = json!(name);
            value
        })
}

fn port() -> impl Strategy<Value = Value> {
    (select(vec![80, 81]), option::of(select(vec!["TCP", "UDP"])), option::of(select(vec!["http", "dns"]))).prop_map(
        |(number, protocol, name)| {
            object(vec![
                ("containerPort", Some(json!(number))),
                ("protocol", protocol.map(|p| json!(p))),
                ("name", name.map(|n| json!(n))),
            ])
        },
    )
}

pub(super) fn container() -> impl Strategy<Value = Value> {
    let mount =
        (select(vec!["/a", "/b"]), select(vec!["v1", "v2"])).prop_map(|(path, name)| json!({"mountPath": path, "name": name}));
    let from = (name(), any::<bool>())
        .prop_map(|(name, secret)| json!({ if secret { "secretRef" } else { "configMapRef" }: {"name": name} }));
    (
        select(vec!["main", "side"]),
        option::weighted(0.8, image()),
        option::of(vec(variable(), 0..3)),
        option::of(vec(port(), 0..3)),
        option::of(vec(mount, 0..3)),
        option::of(vec(from, 0..2)),
        option::of(vec(text(), 0..3)),
    )
        .prop_map(|(name, image, env, ports, mounts, from, args)| {
            object(vec![
                ("name", Some(json!(name))),
                ("image", image.map(|image| json!(image))),
                ("env", env.map(Value::Array)),
                ("ports", ports.map(Value::Array)),
                ("volumeMounts", mounts.map(Value::Array)),
                ("envFrom", from.map(Value::Array)),
                ("args", args.map(|args| json!(args))),
            ])
        })
}

pub(super) fn volume() -> impl Strategy<Value = Value> {
    (select(vec!["v1", "v2"]), name(), 0..5).prop_map(|(volume, name, kind)| match kind {
        0 => json!({"name": volume, "configMap": {"name": name}}),
        1 => json!({"name": volume, "secret": {"secretName": name}}),
        2 => json!({"name": volume, "persistentVolumeClaim": {"claimName": name}}),
        3 => json!({"name": volume, "projected": {"sources": [{"configMap": {"name": name}}, {"secret": {"name": name}}]}}),
        _ => json!({"name": volume, "emptyDir": {}}),
    })
}

fn pod_spec() -> impl Strategy<Value = Value> {
    let affinity = labels().prop_map(|labels| {
        labels.map(|labels| json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": labels}, "topologyKey": "h"}]}}))
    });
    (
        vec(container(), 1..3),
        option::weighted(0.2, vec(container(), 0..2)),
        option::of(vec(volume(), 0..3)),
        option::weighted(0.3, name()),
        option::weighted(0.3, vec(name(), 0..3)),
        affinity,
        option::weighted(0.1, Just(json!(format!("{RAW}null")))),
    )
        .prop_map(|(containers, init, volumes, account, secrets, affinity, null)| {
            object(vec![
                ("containers", Some(json!(containers))),
                ("initContainers", init.map(Value::Array)),
                ("volumes", volumes.map(Value::Array)),
                ("serviceAccountName", account.map(|name| json!(name))),
                ("imagePullSecrets", secrets.map(|all| json!(all.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()))),
                ("affinity", affinity),
                ("nodeSelector", null),
            ])
        })
}

fn body() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    let template =
        || (labels(), pod_spec()).prop_map(|(labels, spec)| json!({"metadata": object(vec![("labels", labels)]), "spec": spec}));
    let workload = (select(vec!["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]), template(), labels(), option::of(0..4))
        .prop_map(|(kind, template, labels, replicas)| {
            let selector = labels.map(|labels| json!({"matchLabels": labels}));
            let spec =
                object(vec![("template", Some(template)), ("selector", selector), ("replicas", replicas.map(|n| json!(n)))]);
            ("apps/v1", kind, json!({"spec": spec}))
        });
    let scalars = || vec((select(vec!["a", "b", "c", "d.e", "10", "f g"]), scalar()), 0..4);
    let map = |pairs: Vec<(&str, Value)>| Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    let subjects = vec((select(vec!["default", "app", "db"]), namespace()), 0..3).prop_map(|all| {
        let subject = |(name, namespace): (&str, Option<String>)| {
            object(vec![
                ("kind", Some(json!("ServiceAccount"))),
                ("name", Some(json!(name))),
                ("namespace", namespace.map(|n| json!(n))),
            ])
        };
        json!(all.into_iter().map(subject).collect::<Vec<_>>())
    });
    let binding = (any::<bool>(), any::<bool>(), name(), subjects).prop_map(|(cluster, to_cluster, name, subjects)| {
        let role = if cluster || to_cluster { "ClusterRole" } else { "Role" };
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name});
        (
            "rbac.authorization.k8s.io/v1",
            if cluster { "ClusterRoleBinding" } else { "RoleBinding" },
            json!({"roleRef": role, "subjects": subjects}),
        )
    });
    prop_oneof![
        4 => workload,
        1 => template().prop_map(|template| ("batch/v1", "Job", json!({"spec": {"template": template}}))),
        1 => template().prop_map(|template| ("batch/v1", "CronJob", json!({"spec": {"jobTemplate": {"spec": {"template": template}}}}))),
        1 => pod_spec().prop_map(|spec| ("v1", "Pod", json!({"spec": spec}))),
        2 => scalars().prop_map(move |pairs| ("v1", "ConfigMap", json!({"data": map(pairs)}))),
        1 => scalars().prop_map(move |pairs| ("v1", "Secret", json!({"stringData": map(pairs)}))),
        1 => (labels(), vec((select(vec![80, 81]), option::of(select(vec!["TCP", "UDP"]))), 0..3)).prop_map(|(labels, ports)| {
            let ports: Vec<Value> = ports.into_iter().map(|(port, p)| object(vec![("port", Some(json!(port))), ("protocol", p.map(|p| json!(p)))])).collect();
            ("v1", "Service", json!({"spec": object(vec![("selector", labels), ("ports", Some(json!(ports)))])}))
        }),
        1 => option::of(name()).prop_map(|secret| ("v1", "ServiceAccount", object(vec![("imagePullSecrets", secret.map(|name| json!([{"name": name}])))]))),
        1 => Just(("v1", "Namespace", json!({}))),
        1 => vec(name(), 1..3).prop_map(|names| ("rbac.authorization.k8s.io/v1", "Role", json!({"rules": [{"resourceNames": names}]}))),
        1 => vec(name(), 1..3).prop_map(|names| ("rbac.authorization.k8s.io/v1", "ClusterRole", json!({"rules": [{"resourceNames": names}]}))),
        2 => binding,
        1 => option::of(name()).prop_map(|class| ("v1", "PersistentVolumeClaim", json!({"spec": {"storageClassName": class}}))),
        1 => Just(("storage.k8s.io/v1", "StorageClass", json!({"provisioner": "x"}))),
        1 => (name(), select(vec!["Deployment", "StatefulSet"])).prop_map(|(name, kind)| {
            ("autoscaling/v2", "HorizontalPodAutoscaler", json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}, "metrics": [{"type": "a"}]}}))
        }),
        1 => name().prop_map(|name| {
            ("networking.k8s.io/v1", "Ingress", json!({"spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": name}}}]}}], "tls": [{"secretName": name}]}}))
        }),
        1 => labels().prop_map(|labels| ("networking.k8s.io/v1", "NetworkPolicy", json!({"spec": {"podSelector": {"matchLabels": labels}}}))),
        1 => (vec(container(), 0..2), scalar()).prop_map(|(containers, value)| ("example.com/v1", "Widget", json!({"spec": {"containers": containers, "value": value}}))),
    ]
}

pub(super) fn resource() -> impl Strategy<Value = Value> {
    let annotations = option::weighted(0.2, vec((select(vec!["n", "m"]), scalar()), 0..2));
    (name(), namespace(), labels(), annotations, body()).prop_map(
        |(name, namespace, labels, annotations, (version, kind, mut object_))| {
            let annotations =
                annotations.map(|all| Value::Object(all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
            let metadata = vec![
                ("name", Some(json!(name))),
                ("namespace", namespace.map(|name| json!(name))),
                ("labels", labels),
                ("annotations", annotations),
            ];
            object_["apiVersion"] = json!(version);
            object_["kind"] = json!(kind);
            object_["metadata"] = object(metadata);
            object_
        },
    )
}

//! Trees by chance, rendered here and by a real `kubectl`: a base and an overlay, and in each a random choice of what a
//! kustomization can say.

use std::cell::Cell;

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use super::{
    against_kubectl::{check_version, kustomized},
    objects::{RAW, container, labels, name, namespace, object, pairs, resource, scalar, text, volume},
    *,
};

/// A map or list item of a patch with a directive, or with nulls.
fn directed(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (value, 0..12).prop_map(|(mut value, chance)| {
        match chance {
            0 => value["$patch"] = json!("delete"),
            1 => value["$patch"] = json!("replace"),
            2 => value["env"] = json!(format!("{RAW}null")),
            3 => value["env"] = json!([{"$patch": "replace"}, {"name": "A", "value": "new"}]),
            _ => {}
        }
        value
    })
}

/// A strategic merge patch of one of the objects.
fn strategic_patch(of: Vec<Value>) -> impl Strategy<Value = Value> {
    let spec = (option::weighted(0.8, vec(directed(container()), 0..3)), option::of(vec(volume(), 0..2)), option::of(name()))
        .prop_map(|(containers, volumes, account)| {
            object(vec![
                ("containers", containers.map(Value::Array)),
                ("volumes", volumes.map(Value::Array)),
                ("serviceAccountName", account.map(|name| json!(name))),
            ])
        });
    let data = vec((select(vec!["a", "b", "c"]), option::of(scalar())), 0..3);
    (select(of), spec, data, labels(), 0..30).prop_map(|(object_, spec, data, labels, chance)| {
        let metadata = &object_["metadata"];
        let mut patch =
            json!({"apiVersion": object_["apiVersion"], "kind": object_["kind"], "metadata": {"name": metadata["name"]}});
        if let Some(namespace) = metadata.get("namespace") {
            patch["metadata"]["namespace"] = namespace.clone();
        }
        if let Some(labels) = labels {
            patch["metadata"]["labels"] = labels;
        }
        match object_["kind"].as_str().unwrap_or_default() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => {
                patch["spec"] = json!({"template": {"spec": spec}})
            }
            "CronJob" => patch["spec"] = json!({"jobTemplate": {"spec": {"template": {"spec": spec}}}}),
            "Pod" | "Widget" => patch["spec"] = spec,
            _ => {
                let null = || json!(format!("{RAW}null"));
                patch["data"] =
                    Value::Object(data.into_iter().map(|(key, value)| (key.to_owned(), value.unwrap_or_else(null))).collect());
            }
        }
        if chance == 0 {
            patch["$patch"] = json!("delete");
        }
        patch
    })
}

fn json_patch() -> impl Strategy<Value = Value> {
    let operation = prop_oneof![
        text().prop_map(|text| json!({"op": "add", "path": "/metadata/annotations/n", "value": text})),
        text().prop_map(|text| json!({"op": "add", "path": "/metadata/labels", "value": {"l": text}})),
        (0..10).prop_map(|n| json!({"op": "add", "path": "/spec", "value": {"n": n, "containers": [{"image": "nginx"}]}})),
        Just(json!({"op": "add", "path": "/metadata/annotations/a~1b", "value": 5})),
        Just(json!({"op": "add", "path": "/spec", "value": {"template": {"spec": {"containers": [{"image": "nginx"}]}}}})),
    ];
    let operation = prop_oneof![
        8 => operation,
        1 => Just(json!({"op": "remove", "path": "/data"})),
        1 => Just(json!({"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x"})),
        1 => Just(json!({"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "new"}})),
    ];
    vec(operation, 1..3).prop_map(Value::Array)
}

fn target() -> impl Strategy<Value = Value> {
    (
        option::of(select(vec!["Deployment", "ConfigMap", "(Deployment|StatefulSet)", "Sec.*", "Pod"])),
        option::of(select(vec!["app", "a.*", "app|db", ".*"])),
        option::weighted(0.2, select(vec!["default", "one", ".*"])),
        option::weighted(0.1, select(vec!["app=a", "app", "!app", "tier in (a,true)"])),
        option::weighted(0.1, select(vec!["apps", "example.com"])),
    )
        .prop_map(|(kind, name, namespace, labels, group)| {
            object(vec![
                ("kind", kind.map(|v| json!(v))),
                ("name", name.map(|v| json!(v))),
                ("namespace", namespace.map(|v| json!(v))),
                ("labelSelector", labels.map(|v| json!(v))),
                ("group", group.map(|v| json!(v))),
            ])
        })
}

fn generator() -> impl Strategy<Value = Value> {
    let literals = btree_map(select(vec!["a", "b", "c"]), text(), 0..3)
        .prop_map(|all| all.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>());
    let options = (any::<bool>(), any::<bool>(), labels()).prop_map(|(disable, immutable, labels)| {
        object(vec![("disableNameSuffixHash", Some(json!(disable))), ("immutable", Some(json!(immutable))), ("labels", labels)])
    });
    (
        select(vec!["app", "db", "web", "cfg", "x1", "g1", "g2", "g3", "g4"]),
        namespace(),
        option::weighted(0.04, select(vec!["create", "merge", "replace"])),
        literals,
        option::of(select(vec![vec!["file.txt"], vec!["key=file.txt"], vec!["long.bin", "file.txt"], vec!["binary"]])),
        option::weighted(0.2, Just(vec!["some.env"])),
        option::weighted(0.2, options),
    )
        .prop_map(|(name, namespace, behavior, literals, files, envs, options)| {
            object(vec![
                ("name", Some(json!(name))),
                ("namespace", namespace.map(|v| json!(v))),
                ("behavior", behavior.map(|v| json!(v))),
                ("literals", Some(json!(literals))),
                ("files", files.map(|v| json!(v))),
                ("envs", envs.map(|v| json!(v))),
                ("options", options),
            ])
        })
}

fn kustomization(resources: Vec<&'static str>, objects: Vec<Value>) -> impl Strategy<Value = Value> {
    let label = (pairs(), any::<bool>(), any::<bool>())
        .prop_map(|(pairs, s, t)| json!({"pairs": pairs, "includeSelectors": s, "includeTemplates": t}));
    let image_change = (
        select(vec!["nginx", "busybox", "reg.io:5000/nginx", ".*box"]),
        option::of(Just("other.io/img")),
        option::of(select(vec!["2", "v2.0"])),
        option::weighted(0.3, Just("sha256:def")),
    )
        .prop_map(|(name, new, tag, digest)| {
            object(vec![
                ("name", Some(json!(name))),
                ("newName", new.map(|v| json!(v))),
                ("newTag", tag.map(|v| json!(v))),
                ("digest", digest.map(|v| json!(v))),
            ])
        });
    let patch = prop_oneof![
        2 => strategic_patch(objects.clone()).prop_map(|patch| json!({"patch": written(&patch)})),
        1 => (strategic_patch(objects.clone()), target()).prop_map(|(patch, target)| json!({"patch": written(&patch), "target": target})),
        1 => (json_patch(), target()).prop_map(|(patch, target)| json!({"patch": patch.to_string(), "target": target})),
    ];
    let strategic = strategic_patch(objects).prop_map(|patch| written(&patch));
    let json_patches = (json_patch(), target(), name()).prop_map(|(patch, mut target, name)| {
        target["name"] = json!(name);
        json!({"patch": patch.to_string(), "target": target})
    });
    let first = (
        option::weighted(0.25, select(vec!["default", "one", "two"])),
        option::weighted(0.3, select(vec!["pre-", "p."])),
        option::weighted(0.3, select(vec!["-suf", "-s2"])),
        option::weighted(0.2, pairs()),
        option::weighted(0.3, vec(label, 1..3)),
        option::weighted(0.2, pairs()),
        option::weighted(0.3, vec(image_change, 1..3)),
        option::weighted(0.03, (name(), 0..9).prop_map(|(name, count)| json!([{"name": name, "count": count}]))),
    );
    let second = (
        option::weighted(0.5, vec(generator(), 1..2)),
        option::weighted(0.4, vec(generator(), 1..2)),
        option::weighted(
            0.2,
            (any::<bool>(), pairs()).prop_map(|(disable, pairs)| json!({"disableNameSuffixHash": disable, "annotations": pairs})),
        ),
        option::weighted(0.5, vec(patch, 1..3)),
        option::weighted(0.2, vec(strategic, 1..3)),
        option::weighted(0.12, vec(json_patches, 1..3)),
        option::weighted(
            0.2,
            select(vec![
                json!({"order": "fifo"}),
                json!({"order": "legacy"}),
                json!({"order": "legacy", "legacySortOptions": {"orderFirst": ["Job", "Secret"], "orderLast": ["ConfigMap"]}}),
            ]),
        ),
    );
    (first, second).prop_map(
        move |(
            (namespace, prefix, suffix, common, labels, annotations, images, replicas),
            (maps, secrets, options, patches, strategic, json_patches, sort),
        )| {
            object(vec![
                ("resources", Some(json!(resources))),
                ("namespace", namespace.map(|v| json!(v))),
                ("namePrefix", prefix.map(|v| json!(v))),
                ("nameSuffix", suffix.map(|v| json!(v))),
                ("commonLabels", common),
                ("labels", labels.map(Value::Array)),
                ("commonAnnotations", annotations),
                ("images", images.map(Value::Array)),
                ("replicas", replicas),
                ("configMapGenerator", maps.map(Value::Array)),
                ("secretGenerator", secrets.map(Value::Array)),
                ("generatorOptions", options),
                ("patches", patches.map(Value::Array)),
                ("patchesStrategicMerge", strategic.map(|v| json!(v))),
                ("patchesJson6902", json_patches.map(Value::Array)),
                ("sortOptions", sort),
            ])
        },
    )
}

/// As YAML, some of it as JSON is written; what is to be without quotes loses them.
fn written(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    if text.len().is_multiple_of(2) {
        return to_yaml(value).replace(RAW, "");
    }
    let quoted = format!("\"{RAW}");
    let mut parts = text.split(&quoted);
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        written.push_str(&part.replacen('"', "", 1));
    }
    written
}

type Tree = Vec<(String, String)>;

fn tree() -> impl Strategy<Value = Tree> {
    (vec(resource(), 1..6), vec(resource(), 0..3)).prop_flat_map(|(base, own)| {
        let documents = |objects: &[Value]| objects.iter().map(written).collect::<Vec<_>>().join("\n---\n");
        let files = vec![("base/objects.yaml".to_owned(), documents(&base)), ("overlay/own.yaml".to_owned(), documents(&own))];
        let all = [base.clone(), own].concat();
        (kustomization(vec!["objects.yaml"], base), kustomization(vec!["../base", "own.yaml"], all)).prop_map(
            move |(base, overlay)| {
                let mut files = files.clone();
                files.push(("base/kustomization.yaml".to_owned(), written(&base)));
                files.push(("overlay/kustomization.yaml".to_owned(), written(&overlay)));
                files
            },
        )
    })
}

fn laid_out(tree: &Tree) -> TempDir {
    let folder = lay_out(&tree.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
    for below in ["base", "overlay"] {
        let write = |name: &str, content: &[u8]| fs::write(folder.path().join(below).join(name), content).unwrap();
        write("file.txt", format!("first\n  second {below} \nüber\n").as_bytes());
        write("long.bin", "x".repeat(200).as_bytes());
        write("binary", &[0xff, 0xfe, 0, 1]);
        write("some.env", b"\xef\xbb\xbf# a comment\n  D=1 = 2\nE\n\nF=\"quoted\"\n");
    }
    folder
}

/// `PROPTEST_CASES` tells how many.
#[test]
#[ignore = "needs a kubectl with Kustomize 5.7 or later on PATH, or in K3S_ARC_KUBECTL"]
fn trees_by_chance_render_alike() {
    check_version();
    let (rendered_alike, all) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config { failure_persistence: None, max_shrink_iters: 300, ..Config::default() });
    let outcome = runner.run(&tree(), |tree| {
        all.set(all.get() + 1);
        let folder = laid_out(&tree);
        let real = kustomized(&overlay(folder.path()));
        match (built(folder.path()), real) {
            (Ok(ours), Ok(real)) => {
                prop_assert_eq!(&ours, &real);
                rendered_alike.set(rendered_alike.get() + 1);
            }
            (Err(_), Err(_)) => {}
            (Ok(_), Err(real)) => prop_assert!(false, "kubectl refuses it: {}", real),
            (Err(ours), Ok(_)) => prop_assert!(false, "it is refused here alone: {}", rendered(&ours)),
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(rendered_alike.get() * 2 > all.get(), "only {} of {} trees could be rendered", rendered_alike.get(), all.get());
}

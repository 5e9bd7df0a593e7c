//! All that a container of a real K3s v1.34.1 finds in its volumes: mode, user, group, path, and where links lead.

use super::*;

const LISTING: &str = "
2777 0 2000 /empty
3777 0 2000 /mem
2777 0 2000 /map
2755 0 2000 /map/..TIME
2755 0 2000 /map/..TIME/d
440 0 2000 /map/..TIME/d/one
644 0 2000 /map/..TIME/two
777 0 2000 /map/..data -> ..TIME
777 0 2000 /map/d -> ..data/d
777 0 2000 /map/two -> ..data/two
2777 0 2000 /mapall
2755 0 2000 /mapall/..TIME
644 0 2000 /mapall/..TIME/a
644 0 2000 /mapall/..TIME/b
644 0 2000 /mapall/..TIME/c
644 0 2000 /mapall/..TIME/some.key
777 0 2000 /mapall/..data -> ..TIME
777 0 2000 /mapall/a -> ..data/a
777 0 2000 /mapall/b -> ..data/b
777 0 2000 /mapall/c -> ..data/c
777 0 2000 /mapall/some.key -> ..data/some.key
3777 0 2000 /sec
2755 0 2000 /sec/..TIME
440 0 2000 /sec/..TIME/k
777 0 2000 /sec/..data -> ..TIME
777 0 2000 /sec/k -> ..data/k
3777 0 2000 /none
2755 0 2000 /none/..TIME
777 0 2000 /none/..data -> ..TIME
3777 0 2000 /down
2755 0 2000 /down/..TIME
644 0 2000 /down/..TIME/cpu
2755 0 2000 /down/..TIME/d
644 0 2000 /down/..TIME/d/ann
644 0 2000 /down/..TIME/labels
644 0 2000 /down/..TIME/mem
777 0 2000 /down/..data -> ..TIME
777 0 2000 /down/cpu -> ..data/cpu
777 0 2000 /down/d -> ..data/d
777 0 2000 /down/labels -> ..data/labels
777 0 2000 /down/mem -> ..data/mem
3777 0 2000 /proj
2755 0 2000 /proj/..TIME
644 0 2000 /proj/..TIME/a
644 0 2000 /proj/..TIME/b
644 0 2000 /proj/..TIME/c
644 0 2000 /proj/..TIME/k
644 0 2000 /proj/..TIME/some.key
2755 0 2000 /proj/..TIME/t
640 0 2000 /proj/..TIME/t/token
777 0 2000 /proj/..data -> ..TIME
777 0 2000 /proj/a -> ..data/a
777 0 2000 /proj/b -> ..data/b
777 0 2000 /proj/c -> ..data/c
777 0 2000 /proj/k -> ..data/k
777 0 2000 /proj/some.key -> ..data/some.key
777 0 2000 /proj/t -> ..data/t
";

/// A line for a path of the node, and for each below it; folders of a time by another name.
fn list_all(world: &World, path: &Path, shown: &str, lines: &mut Vec<String>) {
    let files = world.node.files();
    let timeless = |name: &str| if name.starts_with("..2") { "..TIME".to_owned() } else { name.to_owned() };
    let (mode, uid, gid) = world.seen(path);
    let target = files.read_link(path).ok().map(|target| format!(" -> {}", timeless(&target.to_string_lossy())));
    lines.push(format!("{mode} {uid} {gid} {shown}{}", target.unwrap_or_default()));
    if fs::symlink_metadata(real(&world.node, path)).unwrap().is_dir() {
        for name in files.read_dir(path).unwrap() {
            list_all(world, &path.join(&name), &format!("{shown}/{}", timeless(&name)), lines);
        }
    }
}

#[test]
fn volumes_are_what_k3s_makes_of_them() {
    let world = World::new();
    world.put("configmaps", "map", json!({"data": {"a": "1", "b": "2", "some.key": "3"}, "binaryData": {"c": "AP8="}}));
    world.put("secrets", "s", json!({"data": {"k": "c2VjcmV0"}}));
    let items = json!([{"key": "a", "path": "d/one", "mode": 0o400}, {"key": "b", "path": "two"}]);
    let told = json!([
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "d/ann", "fieldRef": {"fieldPath": "metadata.annotations"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
        {"path": "mem", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}},
    ]);
    let token = json!({"path": "t/token", "audience": "vault", "expirationSeconds": 600});
    let sources = json!([{"secret": {"name": "s"}}, {"configMap": {"name": "map"}}, {"serviceAccountToken": token}]);
    let volumes = json!([
        {"name": "empty", "emptyDir": {}},
        {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "map", "configMap": {"name": "map", "items": items}},
        {"name": "mapall", "configMap": {"name": "map"}},
        {"name": "sec", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "none", "secret": {"secretName": "none", "optional": true}},
        {"name": "down", "downwardAPI": {"items": told}},
        {"name": "proj", "projected": {"sources": sources}},
    ]);
    let names: Vec<_> = list(&volumes).iter().map(|volume| text(&volume["name"]).to_owned()).collect();
    let mounts: Vec<_> = names.iter().map(|name| json!({"name": name, "mountPath": format!("/{name}")})).collect();
    let context = json!({"fsGroup": 2000});
    let pod = world.pod(json!({"volumes": volumes, "securityContext": context}), json!({"volumeMounts": mounts}));
    let done = set_up(&world.node, &pod).unwrap();
    let mut lines = Vec::new();
    for name in names {
        list_all(&world, &done.get(&name).unwrap().path, &format!("/{name}"), &mut lines);
    }
    assert_eq!(lines.join("\n"), LISTING.trim());
}

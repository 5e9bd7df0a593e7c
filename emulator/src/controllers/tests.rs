//! What controllers make of objects, as seen on a real K3s v1.34.1.

use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::{
    CLAIMS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, Desk, JOBS, NODES, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, REVISIONS,
    Resource, SERVICES, STATEFUL_SETS, VOLUMES,
};
use super::events::{Note, Source};
use super::{WORKLOADS, quotas};
use crate::admission::Objects;
use crate::cluster::Cluster;
use crate::kinds::meta::Part;

const NS: &str = "default";

/// A cluster in which time passes only when it is told to settle.
struct World(Desk);

impl World {
    fn new() -> Self {
        let world = Self(Desk::new(Cluster::new_in_memory()));
        for (resource, kind, name) in
            [(("", "serviceaccounts"), "ServiceAccount", "default"), (("", "configmaps"), "ConfigMap", "kube-root-ca.crt")]
        {
            let object = json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": name}});
            // The objects of a new cluster may have it.
            let _ = world.0.create(resource, NS, object);
        }
        world
    }

    fn create(&self, resource: Resource, api_version: &str, kind: &str, name: &str, spec: Value) -> Value {
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": {"name": name}, "spec": spec});
        let namespace = if resource == VOLUMES { "" } else { NS };
        self.0.create(resource, namespace, object).unwrap();
        self.settle();
        self.get(resource, name)
    }

    /// Until nobody has anything left to do.
    fn settle(&self) {
        for _ in 0..100 {
            let before = self.0.cluster.store.revision();
            for controller in &WORKLOADS {
                self.0.settle(controller);
            }
            self.0.look(quotas::settle);
            if self.0.cluster.store.revision() == before {
                return;
            }
        }
        panic!("the controllers find no end");
    }

    fn get(&self, resource: Resource, name: &str) -> Value {
        let namespace = if resource == VOLUMES { "" } else { NS };
        self.0.cluster.object(resource.0, resource.1, namespace, name).unwrap_or_default()
    }

    fn all(&self, resource: Resource) -> Vec<Arc<Value>> {
        self.0.cluster.list(resource.0, resource.1, Some(NS))
    }

    fn change(&self, resource: Resource, name: &str, part: Part, edit: &dyn Fn(&mut Value)) {
        self.0.update(resource, &self.get(resource, name), part, edit).unwrap();
        self.settle();
    }

    /// The pods of a label become ready.
    fn ready(&self) {
        for pod in self.all(PODS) {
            self.0
                .update(PODS, &pod, Part::Status, &|live| {
                    live["status"]["phase"] = "Running".into();
                    live["status"]["podIP"] = "10.42.0.9".into();
                    let now = "2026-01-01T00:00:00Z";
                    live["status"]["conditions"] =
                        json!([{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": now}]);
                })
                .unwrap();
        }
        self.settle();
    }

    fn events(&self) -> Vec<String> {
        let all = self.all(("", "events"));
        all.iter().map(|e| format!("{} {}", e["reason"].as_str().unwrap(), e["message"].as_str().unwrap())).collect()
    }
}

fn template(label: &str, restart: &str) -> Value {
    json!({
        "metadata": {"labels": {"a": label}},
        "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "busybox"}]},
    })
}

fn replicated(label: &str, replicas: i64) -> Value {
    json!({"replicas": replicas, "selector": {"matchLabels": {"a": label}}, "template": template(label, "Always")})
}

/// Without its times.
fn timeless(mut status: Value) -> Value {
    for condition in
        status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
    {
        condition.retain(|key, _| !key.ends_with("Time"));
    }
    if let Some(fields) = status.as_object_mut() {
        fields.retain(|key, _| !key.ends_with("Time"));
    }
    status
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn progressed(name: &str) -> Value {
    condition("Progressing", "True", "NewReplicaSetAvailable", &format!("ReplicaSet \"{name}\" has successfully progressed."))
}

fn available() -> Value {
    condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
}

fn unavailable() -> Value {
    condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
}

#[test]
fn a_deployment_is_rolled_out() {
    let world = World::new();
    let none = world.create(DEPLOYMENTS, "apps/v1", "Deployment", "dep0", replicated("dep0", 0));
    let expected = json!({"observedGeneration": 1, "conditions": [available(), progressed("dep0-59b4469474")]});
    assert_eq!(timeless(none["status"].clone()), expected);

    let two = world.create(DEPLOYMENTS, "apps/v1", "Deployment", "dep2", replicated("dep2", 2));
    let progressing = condition("Progressing", "True", "ReplicaSetUpdated", "ReplicaSet \"dep2-7987b68f6\" is progressing.");
    let expected = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "unavailableReplicas": 2,
                          "conditions": [unavailable(), progressing]});
    assert_eq!(timeless(two["status"].clone()), expected);
    world.ready();
    let expected = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
                          "conditions": [available(), progressed("dep2-7987b68f6")]});
    assert_eq!(timeless(world.get(DEPLOYMENTS, "dep2")["status"].clone()), expected);

    world.change(DEPLOYMENTS, "dep2", Part::Whole, &|d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:2".into()
    });
    // One more first; the old ones stay until it is ready.
    let sets = |world: &World| -> Vec<i64> {
        let mut sets: Vec<_> =
            world.all(REPLICA_SETS).iter().filter(|s| s["metadata"]["labels"]["a"] == "dep2").cloned().collect();
        sets.sort_by_key(|s| s["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().map(str::to_owned));
        sets.iter().map(|s| s["spec"]["replicas"].as_i64().unwrap()).collect()
    };
    assert_eq!(sets(&world), [2, 1]);
    world.ready();
    world.ready();
    assert_eq!(sets(&world), [0, 2]);
    assert_eq!(world.get(DEPLOYMENTS, "dep2")["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    let events = world.events();
    assert!(events.contains(&"ScalingReplicaSet Scaled up replica set dep2-7987b68f6 from 0 to 2".to_owned()), "{events:?}");
}

#[test]
fn a_paused_deployment_makes_nothing() {
    let world = World::new();
    for (name, replicas, second) in [("paused0", 0, available()), ("paused2", 2, unavailable())] {
        let mut spec = replicated(name, replicas);
        spec["paused"] = true.into();
        let deployment = world.create(DEPLOYMENTS, "apps/v1", "Deployment", name, spec);
        let paused = condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
        assert_eq!(timeless(deployment["status"].clone()), json!({"observedGeneration": 1, "conditions": [paused, second]}));
    }
    assert!(world.all(REPLICA_SETS).is_empty());
}

#[test]
fn replicas_are_added_and_removed() {
    let world = World::new();
    assert_eq!(
        world.create(REPLICA_SETS, "apps/v1", "ReplicaSet", "rs0", replicated("rs0", 0))["status"],
        json!({"observedGeneration": 1, "replicas": 0})
    );
    let set = world.create(REPLICA_SETS, "apps/v1", "ReplicaSet", "rs", replicated("rs", 3));
    assert_eq!(set["status"], json!({"observedGeneration": 1, "replicas": 3, "fullyLabeledReplicas": 3}));
    world.change(REPLICA_SETS, "rs", Part::Whole, &|live| live["spec"]["replicas"] = 1.into());
    let pods = world.all(PODS);
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["metadata"]["ownerReferences"][0]["uid"], set["metadata"]["uid"]);
    // One that leaves is replaced, and its own.
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    world.change(PODS, name, Part::Whole, &|live| live["metadata"]["labels"]["a"] = "other".into());
    assert!(world.get(PODS, name)["metadata"]["ownerReferences"].is_null());
    assert_eq!(world.all(PODS).len(), 2);

    let spec = json!({"replicas": 1, "selector": {"a": "rc"}, "template": template("rc", "Always")});
    let controller = world.create(REPLICATION_CONTROLLERS, "v1", "ReplicationController", "rc", spec);
    assert_eq!(controller["status"], json!({"observedGeneration": 1, "replicas": 1, "fullyLabeledReplicas": 1}));
}

#[test]
fn what_cannot_be_made_is_told() {
    let world = World::new();
    world.create(("", "resourcequotas"), "v1", "ResourceQuota", "q", json!({"hard": {"pods": "1"}}));
    let set = world.create(REPLICA_SETS, "apps/v1", "ReplicaSet", "rs", replicated("rs", 3));
    assert_eq!((&set["status"]["replicas"], &set["status"]["conditions"][0]["reason"]), (&json!(1), &json!("FailedCreate")));
    let quota = world.get(("", "resourcequotas"), "q");
    assert_eq!(quota["status"], json!({"hard": {"pods": "1"}, "used": {"pods": "1"}}));
}

#[test]
fn jobs_run_rest_and_end() {
    let world = World::new();
    let spec = |more: Value| {
        let mut spec =
            json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let rests = world.create(JOBS, "batch/v1", "Job", "rests", spec(json!({"suspend": true})));
    let suspended = condition("Suspended", "True", "JobSuspended", "Job suspended");
    let expected = json!({"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}, "conditions": [suspended]});
    assert_eq!(timeless(rests["status"].clone()), expected);

    let nothing = world.create(JOBS, "batch/v1", "Job", "nothing", spec(json!({"completions": 0})));
    let message = "Reached expected number of succeeded pods";
    let expected = json!({"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}, "conditions": [
        condition("SuccessCriteriaMet", "True", "CompletionsReached", message), condition("Complete", "True", "CompletionsReached", message),
    ]});
    assert_eq!(timeless(nothing["status"].clone()), expected);

    let runs = world.create(
        JOBS,
        "batch/v1",
        "Job",
        "runs",
        spec(json!({"parallelism": 2, "completions": 3, "completionMode": "Indexed"})),
    );
    assert_eq!(
        timeless(runs["status"].clone()),
        json!({"active": 2, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}})
    );
    for _ in 0..2 {
        for pod in world.all(PODS) {
            let written = world.0.update(PODS, &pod, Part::Status, &|live| live["status"]["phase"] = "Succeeded".into());
            written.unwrap();
        }
        world.settle();
    }
    let done = world.get(JOBS, "runs");
    assert_eq!((&done["status"]["succeeded"], &done["status"]["completedIndexes"]), (&json!(3), &json!("0-2")));
    assert!(world.all(PODS).iter().all(|pod| pod["metadata"]["finalizers"].is_null()));
    assert!(world.events().contains(&"Completed Job completed".to_owned()));
}

#[test]
fn stateful_pods_come_one_by_one() {
    let world = World::new();
    let mut spec = replicated("ss", 2);
    spec["serviceName"] = "hl".into();
    spec["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/d"}]);
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}});
    spec["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": claim}]);
    let set = world.create(STATEFUL_SETS, "apps/v1", "StatefulSet", "ss", spec);
    let expected = json!({"availableReplicas": 0, "collisionCount": 0, "currentReplicas": 1, "currentRevision": "ss-b96d5f5f6",
        "observedGeneration": 1, "replicas": 1, "updateRevision": "ss-b96d5f5f6", "updatedReplicas": 1});
    assert_eq!(set["status"], expected);
    assert_eq!(world.get(REVISIONS, "ss-b96d5f5f6")["revision"], 1);
    assert_eq!(world.get(CLAIMS, "data-ss-0")["metadata"]["labels"], json!({"a": "ss"}));
    world.ready();
    assert_eq!(world.get(PODS, "ss-1")["spec"]["hostname"], "ss-1");
}

#[test]
fn daemon_sets_want_nothing_without_nodes() {
    let world = World::new();
    let spec = json!({"selector": {"matchLabels": {"a": "ds"}}, "template": template("ds", "Always")});
    let set = world.create(DAEMON_SETS, "apps/v1", "DaemonSet", "ds", spec);
    let expected = json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0, "observedGeneration": 1});
    assert_eq!(set["status"], expected);
    assert_eq!(world.get(REVISIONS, "ds-5769fbbf64")["revision"], 1);
}

#[test]
fn budgets_allow_what_is_healthy_beyond_need() {
    let world = World::new();
    const BUDGETS: Resource = ("policy", "poddisruptionbudgets");
    let spec = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"a": "rs"}}});
    let budget = world.create(BUDGETS, "policy/v1", "PodDisruptionBudget", "b", spec);
    let condition = |status: &str, reason: &str| json!([{"type": "DisruptionAllowed", "status": status, "reason": reason, "message": "", "observedGeneration": 1}]);
    let status = |healthy: i64, desired: i64, expected: i64, allowed: i64, conditions: Value| {
        json!({"currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected, "disruptionsAllowed": allowed,
               "observedGeneration": 1, "conditions": conditions})
    };
    assert_eq!(timeless(budget["status"].clone()), status(0, 0, 0, 0, condition("False", "InsufficientPods")));
    world.create(REPLICA_SETS, "apps/v1", "ReplicaSet", "rs", replicated("rs", 2));
    assert_eq!(timeless(world.get(BUDGETS, "b")["status"].clone()), status(0, 1, 2, 0, condition("False", "InsufficientPods")));
    world.ready();
    assert_eq!(timeless(world.get(BUDGETS, "b")["status"].clone()), status(2, 1, 2, 1, condition("True", "SufficientPods")));
}

#[test]
fn services_have_endpoints() {
    let world = World::new();
    const SLICES: Resource = ("discovery.k8s.io", "endpointslices");
    world.create(SERVICES, "v1", "Service", "s", json!({"selector": {"a": "rs"}, "ports": [{"port": 80}]}));
    let slice = |world: &World| world.all(SLICES).into_iter().find(|s| s["metadata"]["generateName"] == "s-").unwrap();
    assert_eq!((&slice(&world)["endpoints"], &slice(&world)["ports"]), (&Value::Null, &Value::Null));
    assert!(world.get(("", "endpoints"), "s")["subsets"].is_null());
    world.create(REPLICA_SETS, "apps/v1", "ReplicaSet", "rs", replicated("rs", 1));
    world.ready();
    assert_eq!(slice(&world)["endpoints"][0]["conditions"], json!({"ready": true, "serving": true, "terminating": false}));
    assert_eq!(slice(&world)["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
    let subset = &world.get(("", "endpoints"), "s")["subsets"][0];
    assert_eq!(
        (&subset["addresses"][0]["ip"], &subset["ports"]),
        (&json!("10.42.0.9"), &json!([{"port": 80, "protocol": "TCP"}]))
    );
}

#[test]
fn claims_get_volumes_and_keep_them() {
    let world = World::new();
    let volume =
        |size: &str, modes: Value| json!({"capacity": {"storage": size}, "accessModes": modes, "hostPath": {"path": "/x"}});
    world.create(VOLUMES, "v1", "PersistentVolume", "large", volume("5Mi", json!(["ReadWriteOnce"])));
    let many = world.create(VOLUMES, "v1", "PersistentVolume", "many", volume("2Mi", json!(["ReadWriteOnce", "ReadOnlyMany"])));
    assert_eq!(many["status"]["phase"], "Available");
    let spec = json!({"storageClassName": "", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}});
    let claim = world.create(CLAIMS, "v1", "PersistentVolumeClaim", "c", spec);
    assert_eq!(claim["spec"]["volumeName"], "large");
    assert_eq!(claim["status"], json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Mi"}}));
    world.0.delete(VOLUMES, &world.get(VOLUMES, "large"), None).unwrap();
    world.settle();
    assert!(!world.get(VOLUMES, "large").is_null());
    world.0.delete(CLAIMS, &claim, None).unwrap();
    world.settle();
    assert!(world.get(CLAIMS, "c").is_null() && world.get(VOLUMES, "large").is_null());
}

/// A node that takes pods, unless it is tainted.
fn node(world: &World, name: &str, taints: Value) {
    let node = json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"}},
    });
    world.0.create(NODES, "", node).unwrap();
    let present = world.0.cluster.object("", "nodes", "", name).unwrap();
    // It is taken for not ready as long as it has not said that it is.
    world.0.update(NODES, &present, Part::Whole, &|live| live["spec"]["taints"] = taints.clone()).unwrap();
}

#[test]
fn daemon_sets_have_a_pod_on_each_node_that_suits_them() {
    let world = World::new();
    node(&world, "a", json!([]));
    node(&world, "b", json!([]));
    node(&world, "apart", json!([{"key": "k", "effect": "NoSchedule"}]));
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template("b", "Always")});
    let set = world.create(DAEMON_SETS, "apps/v1", "DaemonSet", "d", spec);
    let on = |world: &World| {
        let mut nodes: Vec<String> =
            world.all(PODS).iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap().to_owned()).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(on(&world), ["a", "b"]);
    let status = |desired: i64| {
        json!({
            "currentNumberScheduled": desired, "desiredNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": 0,
            "observedGeneration": 1, "updatedNumberScheduled": desired, "numberUnavailable": desired,
        })
    };
    assert_eq!(world.get(DAEMON_SETS, "d")["status"], status(2));
    let pod = &world.all(PODS)[0];
    assert_eq!(pod["metadata"]["labels"]["pod-template-generation"], "1");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], set["metadata"]["uid"]);
    node(&world, "late", json!([]));
    world.settle();
    assert_eq!(on(&world), ["a", "b", "late"]);
    assert_eq!(world.get(DAEMON_SETS, "d")["status"], status(3));
    world.ready();
    let live = world.get(DAEMON_SETS, "d")["status"].clone();
    assert_eq!(
        (&live["numberReady"], &live["numberAvailable"], &live["numberUnavailable"]),
        (&json!(3), &json!(3), &Value::Null)
    );
}

#[test]
fn a_daemon_set_is_rolled_out_node_by_node() {
    let world = World::new();
    node(&world, "a", json!([]));
    node(&world, "b", json!([]));
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template("b", "Always")});
    world.create(DAEMON_SETS, "apps/v1", "DaemonSet", "d", spec);
    world.ready();
    world.change(DAEMON_SETS, "d", Part::Whole, &|live| {
        live["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:2".into();
    });
    let going = |world: &World| world.all(PODS).iter().filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).count();
    assert_eq!((world.all(PODS).len(), going(&world)), (2, 1), "one at a time");
    for _ in 0..2 {
        let gone = world.all(PODS).into_iter().find(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).unwrap();
        world.0.delete_now(PODS, &gone).unwrap();
        world.settle();
        world.ready();
    }
    let images: Vec<_> = world.all(PODS).iter().map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!((images, going(&world)), (vec![json!("busybox:2"), json!("busybox:2")], 0));
    assert_eq!(world.all(REVISIONS).len(), 2);
}

#[test]
fn a_silent_node_is_tainted_and_emptied() {
    let world = World::new();
    node(&world, "a", json!([]));
    // As long as another one is well.
    node(&world, "b", json!([]));
    let ready = |at: &str| json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": at, "lastTransitionTime": at});
    let present = world.0.cluster.object("", "nodes", "", "a").unwrap();
    let now = world.0.cluster.now();
    let said = |node: &Value, at: &str| {
        world.0.update(NODES, node, Part::Status, &|live| live["status"]["conditions"] = json!([ready(at)])).unwrap()
    };
    let present = said(&present, &now);
    for (name, seconds) in [("patient", json!(null)), ("hasty", json!(0))] {
        let toleration = json!({"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let spec = json!({"nodeName": "a", "tolerations": [toleration], "containers": [{"name": "c", "image": "i"}]});
        world.create(PODS, "v1", "Pod", name, spec);
    }
    world.settle();
    let taints = |world: &World| {
        let node = world.0.cluster.object("", "nodes", "", "a").unwrap();
        node["spec"]["taints"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|taint| format!("{}:{}", taint["key"], taint["effect"]))
            .collect::<Vec<_>>()
    };
    assert!(taints(&world).is_empty(), "{:?}", taints(&world));
    said(&present, "2024-01-01T00:00:00Z");
    world.settle();
    let key = "\"node.kubernetes.io/unreachable\"";
    assert_eq!(taints(&world), [format!("{key}:\"NoSchedule\""), format!("{key}:\"NoExecute\"")]);
    let node = world.0.cluster.object("", "nodes", "", "a").unwrap();
    assert_eq!(node["status"]["conditions"][0]["message"], "Kubelet stopped posting node status.");
    assert_eq!(node["status"]["conditions"].as_array().unwrap().len(), 4);
    assert!(!world.get(PODS, "hasty")["metadata"]["deletionTimestamp"].is_null());
    assert!(world.get(PODS, "patient")["metadata"]["deletionTimestamp"].is_null());
}

#[test]
fn a_cron_job_that_is_due_makes_a_job() {
    let world = World::new();
    let job =
        json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}}});
    let cron = world.create(CRON_JOBS, "batch/v1", "CronJob", "cj", json!({"schedule": "0 0 1 1 *", "jobTemplate": job}));
    assert_eq!(cron["status"], json!({}));
    let long_ago = "2024-06-01T00:00:00Z";
    world.change(CRON_JOBS, "cj", Part::Status, &|live| live["status"]["lastScheduleTime"] = long_ago.into());
    let jobs = world.all(JOBS);
    assert_eq!(jobs.len(), 1);
    let at = jobs[0]["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].as_str().unwrap();
    assert!(at.ends_with("-01-01T00:00:00Z"), "{at}");
    let status = &world.get(CRON_JOBS, "cj")["status"];
    assert_eq!((&status["active"][0]["name"], &status["lastScheduleTime"]), (&jobs[0]["metadata"]["name"], &json!(at)));
}

#[test]
fn a_kubelet_tells_of_a_part_of_a_pod() {
    let world = World::new();
    let pod = world.create(PODS, "v1", "Pod", "p", json!({"containers": [{"name": "c", "image": "busybox"}]}));
    let source = Source { component: "kubelet", host: "n" };
    let tell = |part: &str| {
        world.0.record(&Note { about: &pod, part, source, warning: false, reason: "Started", message: "Started container" });
    };
    tell("spec.containers{c}");
    tell("spec.containers{d}");
    tell("spec.containers{c}");
    let all = world.all(("", "events"));
    let events: Vec<_> = all.iter().filter(|event| event["reason"] == "Started").collect();
    let counts: Vec<_> = events.iter().map(|event| (&event["involvedObject"]["fieldPath"], &event["count"])).collect();
    assert_eq!(counts, [(&json!("spec.containers{c}"), &json!(2)), (&json!("spec.containers{d}"), &json!(1))]);
    assert_eq!(events[0]["source"], json!({"component": "kubelet", "host": "n"}));
    assert_eq!((&events[0]["reportingComponent"], &events[0]["reportingInstance"]), (&json!("kubelet"), &json!("n")));
}

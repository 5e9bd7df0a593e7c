//! A cluster that exists, played by an emulator: what is refused, what is seen, and what is left.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use k3s_arc_emulator::Emulator;
use k8s_openapi::{
    api::{
        authentication::v1::TokenRequest,
        core::v1::{Namespace as Object, Node, PersistentVolume, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use serde_json::json;

use super::*;
use crate::{
    cluster::{Packaged, RUN_LABEL},
    config::LauncherImage,
    image,
    launcher::{Launch, LaunchOptions},
    wait::{self, Seen, Selection},
};

const RUN: &str = "run-1";

/// An emulator, and a run's directory with a lease of it.
struct Edge {
    emulator: Emulator,
    directory: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Edge {
    async fn new(with_standin: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = Emulator::builder().root(directory.path().join("nodes"));
        if with_standin {
            builder = builder.image(Standin::emulated_reference(None), image::emulated());
        }
        let lease = directory.path().join(super::super::reaper::CLUSTERS).join("lease");
        std::fs::create_dir_all(&lease).unwrap();
        let kubeconfig = lease.join(super::super::lease::KUBECONFIG);
        let emulator = builder.start().await.unwrap();
        // A cluster that exists has come up.
        let nodes: Api<Node> = Api::all(emulator.client().await.unwrap());
        let up = wait::until(nodes, Selection::default(), "the node takes pods", Duration::from_secs(30), |nodes| {
            let tainted = nodes.iter().any(|node| node.spec.as_ref().is_some_and(|spec| spec.taints.is_some()));
            if nodes.is_empty() || tainted { Seen::NotYet("it does not".to_owned()) } else { Seen::Done(()) }
        });
        up.await.unwrap();
        Self { emulator, directory, kubeconfig }
    }

    /// The cluster by its administrator's kubeconfig, which is changed before.
    fn existing(&self, change: impl FnOnce(&mut Kubeconfig)) -> Existing {
        let mut kubeconfig = Kubeconfig::from_yaml(self.emulator.kubeconfig()).unwrap();
        change(&mut kubeconfig);
        let path = self.directory.path().join("theirs");
        std::fs::write(&path, serde_saphyr::to_string(&kubeconfig).unwrap()).unwrap();
        let config = Config::read(|name| match name {
            "K3S_ARC_KUBECONFIG" => Some(path.clone().into()),
            "K3S_ARC_CONTEXT" => Some("default".into()),
            _ => None,
        });
        let source = Source::choose(&config.unwrap()).unwrap();
        let standin = Standin::Published { reference: Standin::emulated_reference(None) };
        Existing { source, standin, deadline: Duration::from_secs(20) }
    }

    async fn use_it(&self, existing: &Existing) -> Result<ClusterRecord, ExistingError> {
        existing.prepare(RUN, &ClusterSpec::new(K3sImage::default()), &self.kubeconfig).await
    }

    async fn clean(&self) {
        clean(self.directory.path()).await.unwrap();
    }
}

fn role(name: &str, run: &str) -> ClusterRole {
    let labels = [(RUN_LABEL.to_owned(), run.to_owned())].into();
    ClusterRole {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        ..ClusterRole::default()
    }
}

/// A volume that was made for a claim, and that its class retains.
fn volume(name: &str, namespace: &str) -> PersistentVolume {
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": "rancher.io/local-path"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Mi"}, "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "local-path", "claimRef": {"namespace": namespace, "name": "data", "uid": name},
            "local": {"path": format!("/var/lib/rancher/k3s/storage/{name}")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["k3s"]}]},
            ]}},
        },
    }))
    .unwrap()
}

async fn names<K>(api: Api<K>) -> Vec<String>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_carries_the_runs_label_is_removed_and_nothing_else() {
    let edge = Edge::new(true).await;
    let client = edge.emulator.client().await.unwrap();
    let before = names(Api::<Object>::all(client.clone())).await;
    let existing = edge.existing(|_| {});
    let record = edge.use_it(&existing).await.unwrap();
    assert!(record.emulated && record.version.contains("+k3s"), "{record:?}");
    let can = [Capability::K3s, Capability::KubeDns, Capability::LocalPath, Capability::Launch];
    assert!(can.iter().all(|capability| record.capabilities.contains(capability)), "{record:?}");
    assert!(record.lacks.contains_key(&Capability::Own) && record.lacks.contains_key(&Capability::NodeExec));

    let cluster = existing.attach(&record, &edge.kubeconfig).await.unwrap();
    let roles = Api::<ClusterRole>::all(client.clone());
    for (name, run) in [("ours", RUN), ("of-another-run", "run-2")] {
        roles.create(&PostParams::default(), &role(name, run)).await.unwrap();
    }
    Namespace::create(&cluster, "kept").await.unwrap().keep();
    // Of a namespace that is gone by then, and of somebody else's.
    let noted = edge.kubeconfig.with_file_name("namespaces").join("gone-abcde");
    std::fs::write(noted, "").unwrap();
    let volumes = Api::<PersistentVolume>::all(client.clone());
    for (name, namespace) in [("retained", "gone-abcde"), ("theirs", "default")] {
        volumes.create(&PostParams::default(), &volume(name, namespace)).await.unwrap();
    }
    let options = LaunchOptions::new(LauncherImage::Standin).with("SKIP_POSTCLEAN", "1").with("SKIP_TEST", "1");
    let launch = Launch::prepare(&cluster, &options).await.unwrap();
    let outcome = launch.run(|_| {}).await.unwrap();
    assert_eq!(outcome.exit_code, 0, "{}", outcome.log);
    nobodys_arc(&cluster).await.unwrap();
    assert!(!detect::arc_of_others(&client, "run-2").await.unwrap().is_empty(), "to other runs it is another's");

    edge.clean().await;
    assert_eq!(names(Api::<Object>::all(client.clone())).await, before);
    assert_eq!(names(volumes).await, ["theirs"]);
    let roles = names(roles).await;
    assert!(roles.contains(&"of-another-run".to_owned()) && !roles.contains(&"ours".to_owned()), "{roles:?}");
    assert!(!roles.iter().any(|role| role.contains("arc-metricsdc")), "{roles:?}");
    let definitions = names(Api::<CustomResourceDefinition>::all(client.clone())).await;
    assert!(!definitions.iter().any(|name| name.contains("arcdata")), "{definitions:?}");
    edge.emulator.stop().await;
}

/// A service account that may do everything, and a token of it, which is worth nothing once the account is deleted.
async fn administrator(client: &Client, name: &str) -> String {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    let account = json!({"metadata": {"name": name}});
    accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    });
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let request: TokenRequest = serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": []}})).unwrap();
    accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap().status.unwrap().token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_plug_in_is_asked_again_when_its_token_expires_and_by_the_reaper() {
    let edge = Edge::new(true).await;
    let admin = edge.emulator.client().await.unwrap();
    let (token, plugin) = (edge.directory.path().join("token"), edge.directory.path().join("login"));
    let script = format!(
        "#!/bin/sh\nprintf '{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":\
         {{\"token\":\"%s\",\"expirationTimestamp\":\"%s\"}}}}' \"$(cat {})\" \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"\n",
        token.display()
    );
    std::fs::write(&plugin, script).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(&token, administrator(&admin, "first").await).unwrap();
    let existing = edge.existing(|kubeconfig| {
        let user =
            json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "interactiveMode": "Never"}});
        kubeconfig.auth_infos[0].auth_info = serde_json::from_value(user).unwrap();
    });
    let record = edge.use_it(&existing).await.unwrap();
    let cluster = existing.attach(&record, &edge.kubeconfig).await.unwrap();
    nobodys_arc(&cluster).await.unwrap();

    std::fs::write(&token, administrator(&admin, "second").await).unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(admin.clone(), "default");
    accounts.delete("first", &DeleteParams::default()).await.unwrap();
    nobodys_arc(&cluster).await.unwrap();
    Api::<ClusterRole>::all(cluster.client()).create(&PostParams::default(), &role("ours", RUN)).await.unwrap();
    edge.clean().await;
    assert!(!names(Api::<ClusterRole>::all(admin)).await.contains(&"ours".to_owned()));

    // With a plug-in that fails, what is left is not forgotten.
    std::fs::remove_file(&plugin).unwrap();
    assert!(matches!(clean(edge.directory.path()).await, Err(Uncleaned::Login { .. })));
    edge.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_may_not_do_what_checks_do_is_told_before_anything_is_made() {
    let edge = Edge::new(true).await;
    let admin = edge.emulator.client().await.unwrap();
    let token = administrator(&admin, "viewer").await;
    let bindings = Api::<ClusterRoleBinding>::all(admin.clone());
    bindings.delete("viewer", &DeleteParams::default()).await.unwrap();
    let view = json!({
        "metadata": {"name": "viewer"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}],
    });
    let roles = Api::<ClusterRole>::all(admin.clone());
    roles.create(&PostParams::default(), &serde_json::from_value(view).unwrap()).await.unwrap();
    let binding = json!({
        "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}],
    });
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let existing = edge.existing(|kubeconfig| {
        kubeconfig.auth_infos[0].auth_info = serde_json::from_value(json!({"token": token})).unwrap();
    });
    let before = names(Api::<Object>::all(admin.clone())).await;
    match edge.use_it(&existing).await.unwrap_err() {
        ExistingError::Rights { missing, .. } => {
            assert!(missing.contains(&"create namespaces".to_owned()) && missing.contains(&"create pods/exec".to_owned()));
            assert!(!missing.contains(&"list nodes".to_owned()), "{missing:?}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(names(Api::<Object>::all(admin)).await, before);
    edge.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_stand_in_is_named_and_nothing_stays() {
    let edge = Edge::new(false).await;
    let mut existing = edge.existing(|_| {});
    existing.standin = Standin::BuiltIn { reference: Standin::emulated_reference(None) };
    let client = edge.emulator.client().await.unwrap();
    let before = names(Api::<Object>::all(client.clone())).await;
    let error = edge.use_it(&existing).await.unwrap_err();
    assert!(matches!(&error, ExistingError::Standin { node, .. } if node == "k3s"), "{error}");
    assert!(crate::report_of(&error).contains("k3s-arc standin-image"), "{error}");
    edge.clean().await;
    assert_eq!(names(Api::<Object>::all(client)).await, before);
    edge.emulator.stop().await;
}

#[test]
fn what_a_cluster_that_exists_cannot_become_is_refused() {
    let spec = || ClusterSpec::new(K3sImage::default());
    assert!(possible(&spec()).is_ok());
    let refused = |spec| possible(&spec).unwrap_err().to_string();
    assert!(refused(spec().server_argument("--debug")).contains("the argument --debug"));
    assert!(refused(spec().engine_image("nginx")).contains("the image nginx"));
    assert!(refused(spec().packaged(Packaged::Traefik, true)).contains("other components"));
    assert!(refused(ClusterSpec::new("v1.33.5+k3s1".parse().unwrap())).contains("another K3s"));
}

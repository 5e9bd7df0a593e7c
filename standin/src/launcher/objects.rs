//! What the set-up creates beside the DataController: namespace, accounts, rights and the bootstrapper.

use k8s_openapi::api::{
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use kube::{Resource, api::ObjectMeta};

use super::names::Names;
use crate::{
    arc::{COMPONENTS, DataController, components::Workload, kin::KIN},
    bootstrapper::{cluster_ip, deployment, workload::Site},
    manifest::Manifest,
};
use kube::CustomResourceExt;

/// The account the components run under; `spec.credentials.serviceAccount` of a DataController names it.
pub(super) const CONTROLLER_ACCOUNT: &str = "sa-arc-controller";

/// The account of the bootstrapper (`bootstrapper.yaml` in `microsoft/azure_arc`).
const BOOTSTRAPPER_ACCOUNT: &str = "sa-arc-bootstrapper";

/// Marks what launchers make, and clean up.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "arc-ci-launcher");

/// The label selector of what launchers make.
pub(super) fn managed() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// The definitions of Arc's custom resources.
pub(super) fn definitions() -> serde_json::Result<Vec<Manifest>> {
    let definitions = [DataController::crd()].into_iter().chain(KIN.iter().map(|kin| kin.crd()));
    definitions.map(|mut definition| labelled(&mut definition)).collect()
}

/// What a launch creates for its DataController, in an order in which each finds what it needs.
pub(super) fn objects(names: &Names, image: &str) -> serde_json::Result<Vec<Manifest>> {
    let namespace = &names.namespace;
    let mut objects = vec![labelled(&mut Namespace {
        metadata: ObjectMeta { name: Some(namespace.clone()), ..Default::default() },
        ..Default::default()
    })?];
    for (account, role, rules) in [
        (BOOTSTRAPPER_ACCOUNT, "role-bootstrapper", bootstrapper_rules()),
        (CONTROLLER_ACCOUNT, "role-controller", controller_rules()),
    ] {
        objects.push(labelled(&mut ServiceAccount { metadata: within(namespace, account), ..Default::default() })?);
        objects.push(labelled(&mut Role { metadata: within(namespace, role), rules: Some(rules) })?);
        objects.push(labelled(&mut RoleBinding {
            metadata: within(namespace, &role.replace("role-", "rb-")),
            role_ref: role_ref("Role", role),
            subjects: Some(vec![subject(namespace, account)]),
        })?);
    }
    // Nodes are not in the namespace, so reading their metrics takes a cluster role.
    let (role, binding) = (format!("{namespace}:cr-arc-metricsdc-reader"), format!("{namespace}:crb-arc-metricsdc-reader"));
    objects.push(labelled(&mut ClusterRole {
        metadata: ObjectMeta { name: Some(role.clone()), ..Default::default() },
        rules: Some(vec![rule("", &["nodes", "nodes/metrics", "nodes/stats"], &["get", "list"])]),
        aggregation_rule: None,
    })?);
    objects.push(labelled(&mut ClusterRoleBinding {
        metadata: ObjectMeta { name: Some(binding), ..Default::default() },
        role_ref: role_ref("ClusterRole", &role),
        subjects: Some(vec![subject(namespace, CONTROLLER_ACCOUNT)]),
    })?);
    let site = Site { namespace, data_controller: &names.data_controller, image, service_account: BOOTSTRAPPER_ACCOUNT };
    for bootstrapper in COMPONENTS.iter().filter(|component| component.workload == Workload::Deployment) {
        objects.push(labelled(&mut cluster_ip(bootstrapper, &site))?);
        objects.push(labelled(&mut deployment(bootstrapper, &site))?);
    }
    Ok(objects)
}

/// What the bootstrapper does: see `bootstrapper::reconcile`.
fn bootstrapper_rules() -> Vec<PolicyRule> {
    let manage = ["get", "list", "watch", "create", "patch", "update", "delete"];
    vec![
        rule("apps", &["replicasets", "statefulsets", "daemonsets"], &manage),
        rule("", &["services", "persistentvolumeclaims"], &manage),
        rule("", &["pods"], &["get", "list", "watch"]),
        rule("arcdata.microsoft.com", &["datacontrollers"], &["get", "list", "watch"]),
        rule("arcdata.microsoft.com", &["datacontrollers/status", "datacontrollers/finalizers"], &["patch", "update"]),
    ]
}

/// What Microsoft's controller would look at. The stand-in's components talk to no API.
fn controller_rules() -> Vec<PolicyRule> {
    let read = ["get", "list", "watch"];
    vec![
        rule("", &["pods", "pods/log", "services", "persistentvolumeclaims", "events"], &read),
        rule("apps", &["replicasets", "statefulsets", "daemonsets", "deployments"], &read),
        rule("arcdata.microsoft.com", &["*"], &read),
        rule("sql.arcdata.microsoft.com", &["*"], &read),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..Default::default()
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: kind.into(), name: name.into() }
}

fn subject(namespace: &str, account: &str) -> Subject {
    Subject { kind: "ServiceAccount".into(), name: account.to_owned(), namespace: Some(namespace.to_owned()), api_group: None }
}

fn within(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace.to_owned()), ..Default::default() }
}

fn labelled<K: Resource<DynamicType = ()> + serde::Serialize>(object: &mut K) -> serde_json::Result<Manifest> {
    let labels = object.meta_mut().labels.get_or_insert_default();
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    Manifest::of(object)
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;

    use super::*;

    fn made() -> Vec<Manifest> {
        let names = Names { connected_cluster: "cc1".into(), data_controller: "dc1".into(), namespace: "ns1".into() };
        objects(&names, "standin:1").unwrap()
    }

    #[test]
    fn everything_is_marked_and_in_the_namespace() {
        for manifest in made().iter().chain(&definitions().unwrap()) {
            assert_eq!(manifest.object.labels()["app.kubernetes.io/managed-by"], "arc-ci-launcher", "{}", manifest.title());
            let cluster_wide = ["Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];
            let namespace = (!cluster_wide.contains(&manifest.resource.kind.as_str())).then(|| "ns1".to_owned());
            assert_eq!(manifest.object.namespace(), namespace, "{}", manifest.title());
        }
    }

    #[test]
    fn bindings_bind_what_is_made() {
        let made = made();
        let titles: Vec<String> = made.iter().map(Manifest::title).collect();
        let bindings = made.iter().filter(|manifest| manifest.resource.kind.ends_with("Binding"));
        assert_eq!(bindings.clone().count(), 3);
        for binding in bindings {
            let role = &binding.object.data["roleRef"];
            let role = format!("{} {}", role["kind"].as_str().unwrap(), role["name"].as_str().unwrap());
            let account = format!("ServiceAccount {}", binding.object.data["subjects"][0]["name"].as_str().unwrap());
            assert!(titles.contains(&role) && titles.contains(&account), "{role}, {account} in {titles:?}");
        }
    }

    #[test]
    fn the_bootstrapper_runs_our_image_with_its_account_and_the_tables_resources() {
        let made = made();
        let deployment = made.iter().find(|manifest| manifest.resource.kind == "Deployment").unwrap();
        let pod = &deployment.object.data["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], "sa-arc-bootstrapper");
        assert_eq!(pod["automountServiceAccountToken"], true);
        let main = &pod["containers"][0];
        assert_eq!((main["name"].as_str(), main["image"].as_str()), (Some("bootstrapper"), Some("standin:1")));
        assert_eq!(main["resources"]["limits"]["cpu"], "200m");
        assert_eq!(main["args"][0], "bootstrapper");
    }
}

//! What a cluster that exists is, and what can be asked of it: seen, not assumed.

use std::collections::{BTreeMap, BTreeSet};

use k3s_arc_standin::arc::GROUP_SUFFIX;
use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Node, Service},
        storage::v1::StorageClass,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::rights;
use crate::cluster::{Capability, RUN_LABEL};

/// The namespace of K3s's own components, and of cluster DNS elsewhere.
const KUBE_SYSTEM: &str = "kube-system";
/// K3s's StorageClass, who makes its volumes, and where.
const LOCAL_PATH: (&str, &str, &str) = ("local-path", "rancher.io/local-path", "/var/lib/rancher/k3s/storage");
/// The annotation that makes a class the default ("Storage Classes", Kubernetes documentation).
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// What there is to see of a cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// The version that its API reports.
    pub(super) version: String,
    pub(super) nodes: Vec<Node>,
    classes: Vec<StorageClass>,
    /// Whether there is a Service `kube-system/kube-dns`.
    kube_dns: bool,
    /// The configuration of K3s's local-path, if it is there.
    local_path: String,
    /// The definitions of Arc's custom resources.
    arc: Vec<String>,
    /// Whether one may do everything on it.
    admin: bool,
    /// Whether it is an emulator's API.
    pub(super) emulated: bool,
}

impl Observed {
    /// Looks at a cluster.
    pub(super) async fn of(client: &Client, run: &str) -> Result<Self, kube::Error> {
        let all = ListParams::default();
        let (nodes, classes) = (Api::<Node>::all(client.clone()), Api::<StorageClass>::all(client.clone()));
        let services = Api::<Service>::namespaced(client.clone(), KUBE_SYSTEM);
        let configs = Api::<ConfigMap>::namespaced(client.clone(), KUBE_SYSTEM);
        let (version, nodes, classes, dns, local_path, admin, arc, emulated) = tokio::try_join!(
            client.apiserver_version(),
            nodes.list(&all),
            classes.list(&all),
            services.get_opt("kube-dns"),
            configs.get_opt("local-path-config"),
            rights::are_all(client),
            arc_of_others(client, run),
            is_emulated(client),
        )?;
        let local_path = local_path.and_then(|config| config.data).and_then(|mut data| data.remove("config.json"));
        Ok(Self {
            version: version.git_version,
            nodes: nodes.items,
            classes: classes.items,
            kube_dns: dns.is_some(),
            local_path: local_path.unwrap_or_default(),
            arc,
            admin,
            emulated,
        })
    }

    /// What can be asked of it, and why the rest cannot.
    pub(super) fn judge(&self) -> (BTreeSet<Capability>, BTreeMap<Capability, String>) {
        let verdicts = [
            (Capability::NodeExec, Err("nodes that are not k3s-arc's are not entered".to_owned())),
            (Capability::NodeKubectl, Err("nodes that are not k3s-arc's are not entered".to_owned())),
            (Capability::Own, Err("the cluster is not k3s-arc's, and others may rely on what would be taken away".to_owned())),
            (Capability::Cgroups, self.has_linux()),
            (Capability::K3s, self.is_k3s()),
            (Capability::KubeDns, self.has_kube_dns()),
            (Capability::DefaultClass, self.default_class().map(drop)),
            (Capability::LocalPath, self.has_local_path()),
            (Capability::Launch, self.takes_a_launch()),
        ];
        let (mut capabilities, mut lacks) = (BTreeSet::new(), BTreeMap::new());
        for (capability, verdict) in verdicts {
            match verdict {
                Ok(()) => _ = capabilities.insert(capability),
                Err(reason) => _ = lacks.insert(capability, reason),
            }
        }
        (capabilities, lacks)
    }

    fn is_k3s(&self) -> Result<(), String> {
        // `+` as K3s writes it, `-` as an image's tag does.
        let is_k3s = ["+k3s", "-k3s"].iter().any(|mark| self.version.contains(mark));
        if is_k3s { Ok(()) } else { Err(format!("the cluster is Kubernetes {}, not K3s", self.version)) }
    }

    fn has_linux(&self) -> Result<(), String> {
        if self.linux_nodes().next().is_some() { Ok(()) } else { Err("the cluster has no node with Linux".to_owned()) }
    }

    fn has_kube_dns(&self) -> Result<(), String> {
        if self.kube_dns { Ok(()) } else { Err(format!("there is no Service {KUBE_SYSTEM}/kube-dns on the cluster")) }
    }

    /// Several may be marked; what a claim gets is then the newest, and one of its checks says that they are too many.
    fn default_class(&self) -> Result<&StorageClass, String> {
        let is_default = |class: &&StorageClass| class.annotations().get(DEFAULT).is_some_and(|value| value == "true");
        let newest = self.classes.iter().filter(is_default).max_by_key(|class| class.creation_timestamp().map(|time| time.0));
        newest.ok_or_else(|| "the cluster has no default StorageClass".to_owned())
    }

    fn has_local_path(&self) -> Result<(), String> {
        let (name, provisioner, directory) = LOCAL_PATH;
        let class = self.default_class()?;
        if (class.name_any().as_str(), class.provisioner.as_str()) != (name, provisioner) {
            return Err(format!("the default StorageClass is {} by {}, not K3s's {name}", class.name_any(), class.provisioner));
        }
        if self.local_path.contains(&format!("\"{directory}\"")) {
            return Ok(());
        }
        Err(format!("the volumes of {name} are not in {directory}, where K3s has them"))
    }

    fn takes_a_launch(&self) -> Result<(), String> {
        let (class, ..) = LOCAL_PATH;
        if !self.admin {
            return Err("only a cluster administrator can launch Arc data services".to_owned());
        }
        if !self.arc.is_empty() {
            return Err(format!(
                "Arc data services are on the cluster already, and a launcher would remove them: {}",
                self.arc.join(", ")
            ));
        }
        if !self.has_class(class) && self.default_class().is_err() {
            return Err(format!(
                "the cluster has neither StorageClass {class} nor a default one for the launcher's tree to ask for"
            ));
        }
        Ok(())
    }

    fn has_class(&self, name: &str) -> bool {
        self.classes.iter().any(|known| known.name_any() == name)
    }

    /// The class for a launch to ask for, where K3s's is not to be had.
    pub(super) fn storage_class(&self) -> Option<String> {
        let (local_path, ..) = LOCAL_PATH;
        if self.has_class(local_path) { None } else { self.default_class().ok().map(ResourceExt::name_any) }
    }

    /// The architectures of its nodes.
    pub(super) fn architectures(&self) -> BTreeSet<&str> {
        self.linux_nodes().filter_map(|node| Some(node.status.as_ref()?.node_info.as_ref()?.architecture.as_str())).collect()
    }

    fn linux_nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| is_linux(node))
    }

    /// The nodes that pods like ours are scheduled to.
    pub(super) fn schedulable(&self) -> impl Iterator<Item = &Node> {
        self.linux_nodes().filter(|node| what_keeps_away(node).is_empty())
    }

    /// The nodes, each with what keeps pods like ours away from it.
    pub(super) fn closed(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("{} ({})", node.name_any(), what_keeps_away(node).join(", "))).collect()
    }
}

/// Why a node takes no pods that tolerate nothing.
fn what_keeps_away(node: &Node) -> Vec<String> {
    let spec = node.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let taints = taints.iter().filter(|taint| taint.effect != "PreferNoSchedule").map(|taint| format!("taint {}", taint.key));
    let cordoned = (spec.and_then(|spec| spec.unschedulable) == Some(true)).then(|| "cordoned".to_owned());
    let other = (!is_linux(node)).then(|| "not Linux".to_owned());
    let down = (!is_ready(node)).then(|| "not Ready".to_owned());
    other.into_iter().chain(down).chain(cordoned).chain(taints).collect()
}

fn is_linux(node: &Node) -> bool {
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    info.is_some_and(|info| info.operating_system == "linux")
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn is_emulated(client: &Client) -> Result<bool, kube::Error> {
    let request = http::Request::get("/version").body(kube::client::Body::empty()).map_err(kube::Error::HttpError)?;
    Ok(client.send(request).await?.headers().contains_key(k3s_arc_emulator::EMULATED))
}

/// The definitions of Arc's custom resources that this run did not put there.
pub(super) async fn arc_of_others(client: &Client, run: &str) -> Result<Vec<String>, kube::Error> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone()).list(&ListParams::default()).await;
    let definitions = match definitions {
        Ok(definitions) => definitions.items,
        // Who may not even look may not launch, either.
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let is_others = |definition: &&CustomResourceDefinition| {
        let group = &definition.spec.group;
        let of_arc = group == GROUP_SUFFIX || group.ends_with(&format!(".{GROUP_SUFFIX}"));
        of_arc && definition.labels().get(RUN_LABEL).is_none_or(|label| label != run)
    };
    Ok(definitions.iter().filter(is_others).map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, system: &str, architecture: &str, spec: Value) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": spec,
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {
                    "architecture": architecture, "operatingSystem": system, "kubeletVersion": "v1.34.1", "bootID": "",
                    "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "osImage": "",
                    "systemUUID": "",
                },
            },
        }))
        .unwrap()
    }

    fn class(name: &str, provisioner: &str, default: bool) -> StorageClass {
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {DEFAULT: default.to_string()}},
            "provisioner": provisioner,
        }))
        .unwrap()
    }

    /// As K3s v1.34.1 shows itself.
    fn k3s() -> Observed {
        Observed {
            version: "v1.34.1+k3s1".to_owned(),
            nodes: vec![node("server", "linux", "amd64", json!({}))],
            classes: vec![class("local-path", "rancher.io/local-path", true)],
            kube_dns: true,
            local_path: r#"{"nodePathMap":[{"node":"DEFAULT","paths":["/var/lib/rancher/k3s/storage"]}]}"#.to_owned(),
            arc: vec![],
            admin: true,
            emulated: false,
        }
    }

    /// As kind does, whose own class is of the same provisioner.
    fn kind() -> Observed {
        Observed {
            version: "v1.34.0".to_owned(),
            classes: vec![class("standard", "rancher.io/local-path", true)],
            local_path: String::new(),
            ..k3s()
        }
    }

    /// As AKS does.
    fn aks() -> Observed {
        Observed {
            version: "v1.33.4".to_owned(),
            nodes: vec![node("linux", "linux", "amd64", json!({})), node("windows", "windows", "amd64", json!({}))],
            classes: vec![class("default", "disk.csi.azure.com", true), class("azurefile", "file.csi.azure.com", false)],
            local_path: String::new(),
            ..k3s()
        }
    }

    fn lacks(observed: &Observed) -> BTreeMap<Capability, String> {
        let (capabilities, lacks) = observed.judge();
        assert_eq!(capabilities.len() + lacks.len(), 9, "each is judged, once");
        lacks
    }

    #[test]
    fn a_k3s_lacks_only_what_needs_one_of_our_own() {
        let lacking: Vec<_> = lacks(&k3s()).into_keys().collect();
        assert_eq!(lacking, [Capability::NodeExec, Capability::NodeKubectl, Capability::Own]);
    }

    #[test]
    fn other_distributions_say_what_they_are_not() {
        let lacks_of_kind = lacks(&kind());
        assert_eq!(lacks_of_kind[&Capability::K3s], "the cluster is Kubernetes v1.34.0, not K3s");
        let reason = &lacks_of_kind[&Capability::LocalPath];
        assert_eq!(reason, "the default StorageClass is standard by rancher.io/local-path, not K3s's local-path");
        let lacks_of_aks = lacks(&aks());
        assert!(lacks_of_aks[&Capability::LocalPath].contains("default by disk.csi.azure.com"));
        for lacks in [lacks_of_kind, lacks_of_aks] {
            let there = [Capability::DefaultClass, Capability::KubeDns, Capability::Launch];
            assert!(!there.iter().any(|there| lacks.contains_key(there)), "{lacks:?}");
        }
        assert_eq!((kind().storage_class().as_deref(), k3s().storage_class()), (Some("standard"), None));
        assert_eq!(aks().schedulable().map(ResourceExt::name_any).collect::<Vec<_>>(), ["linux"]);
    }

    #[test]
    fn a_k3s_without_what_it_packages_says_so() {
        let bare = lacks(&Observed { classes: vec![], kube_dns: false, local_path: String::new(), ..k3s() });
        assert_eq!(bare[&Capability::DefaultClass], "the cluster has no default StorageClass");
        assert_eq!(bare[&Capability::KubeDns], "there is no Service kube-system/kube-dns on the cluster");
        assert!(bare[&Capability::Launch].contains("StorageClass local-path"));
        assert!(!bare.contains_key(&Capability::K3s));
    }

    #[test]
    fn volumes_elsewhere_are_not_k3s_own() {
        let local_path = r#"{"nodePathMap":[{"paths":["/opt/local-path-provisioner"]}]}"#.to_owned();
        assert!(lacks(&Observed { local_path, ..k3s() }).contains_key(&Capability::LocalPath));
    }

    #[test]
    fn nobodys_arc_is_launched_over() {
        let arc = vec!["datacontrollers.arcdata.microsoft.com".to_owned()];
        assert!(lacks(&Observed { arc, ..k3s() })[&Capability::Launch].contains("datacontrollers.arcdata.microsoft.com"));
        assert!(lacks(&Observed { admin: false, ..k3s() })[&Capability::Launch].contains("administrator"));
    }

    #[test]
    fn nodes_that_take_no_pods_of_ours_are_left_out() {
        let tainted = json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]});
        let preferred = json!({"taints": [{"key": "x", "effect": "PreferNoSchedule"}]});
        let nodes = vec![
            node("server", "linux", "arm64", tainted),
            node("cordoned", "linux", "amd64", json!({"unschedulable": true})),
            node("agent", "linux", "amd64", preferred),
        ];
        let observed = Observed { nodes, ..k3s() };
        assert_eq!(observed.schedulable().map(ResourceExt::name_any).collect::<Vec<_>>(), ["agent"]);
        assert_eq!(observed.closed()[..2], ["server (taint node-role.kubernetes.io/control-plane)", "cordoned (cordoned)"]);
        assert_eq!(observed.architectures(), ["amd64", "arm64"].into());
    }
}

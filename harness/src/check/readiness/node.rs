//! The nodes' conditions and kubelets.

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use kube::{ResourceExt, api::ListParams};

use crate::check::{Access, Area, Capability, Check, Context, Evidence, Failure};

/// Is every node ready, under no pressure, and of the cluster's version?
pub const NODES: Check = Check {
    area: Area::Readiness,
    name: "nodes",
    question: "Is every node ready, under no pressure, and of the cluster's version?",
    needs: &[],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let nodes = cx.api_all::<Node>().list(&ListParams::default()).await?.items;
    evidence.require(!nodes.is_empty(), "the cluster has a node", "none")?;
    evidence.saw("the API server's version", cx.cluster().version());
    for node in &nodes {
        let name = node.name_any();
        let status = node.status.clone().unwrap_or_default();
        let info = status.node_info.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        evidence.saw(
            format!("node {name}"),
            format!(
                "kubelet {}, {}, kernel {}, {}",
                info.kubelet_version, info.os_image, info.kernel_version, info.container_runtime_version
            ),
        );
        for condition in &conditions {
            evidence.saw(format!("{name} {}", condition.type_), told(condition));
        }
        let wrong: Vec<String> =
            wrong(&conditions).map(|condition| format!("{} is {}", condition.type_, told(condition))).collect();
        evidence.require(wrong.is_empty(), format!("node {name} is Ready and under no pressure"), wrong.join("; "))?;
        let ready = conditions.iter().any(|condition| condition.type_ == "Ready");
        evidence.require(ready, format!("node {name} reports whether it is Ready"), "it has no such condition")?;
        let same = info.kubelet_version == cx.cluster().version();
        // K3s is kubelet and API server in one; elsewhere nodes may be older, and vendors name their builds apart.
        evidence.require(
            same || !cx.cluster().can(Capability::K3s),
            format!("the kubelet of {name} is of the API server's version"),
            &info.kubelet_version,
        )?;
    }
    Ok(())
}

/// The conditions that are not as they should be: `Ready` is good news, all others are troubles.
fn wrong(conditions: &[NodeCondition]) -> impl Iterator<Item = &NodeCondition> {
    conditions.iter().filter(|condition| match condition.type_.as_str() {
        "Ready" => condition.status != "True",
        // EtcdIsVoter is K3s's own, on nodes with embedded etcd.
        "EtcdIsVoter" => condition.status != "True",
        _ => condition.status != "False",
    })
}

fn told(condition: &NodeCondition) -> String {
    [Some(condition.status.as_str()), condition.reason.as_deref(), condition.message.as_deref()]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn condition(kind: &str, status: &str) -> NodeCondition {
        NodeCondition { type_: kind.to_owned(), status: status.to_owned(), ..NodeCondition::default() }
    }

    #[rstest]
    #[case::ready("Ready", "True", true)]
    #[case::not_ready("Ready", "False", false)]
    #[case::gone_silent("Ready", "Unknown", false)]
    #[case::no_pressure("DiskPressure", "False", true)]
    #[case::pressure("DiskPressure", "True", false)]
    #[case::pressure_unknown("MemoryPressure", "Unknown", false)]
    #[case::etcd("EtcdIsVoter", "True", true)]
    fn a_condition_is_good_or_bad(#[case] kind: &str, #[case] status: &str, #[case] good: bool) {
        assert_eq!(wrong(&[condition(kind, status)]).next().is_none(), good);
    }
}

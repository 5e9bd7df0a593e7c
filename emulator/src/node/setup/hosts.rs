//! A pod's name for itself, and the `/etc/hosts` of its containers (`kubelet_pods.go`).

use std::net::IpAddr;

use serde_json::Value;

use super::super::Node;
use super::metadata;
use crate::kinds::view::{flag, list, text};

const LONGEST: usize = 63;

/// The name that a pod's containers have for the machine they are on.
pub(crate) fn host_name(node: &Node, pod: &Value) -> String {
    if flag(&pod["spec"]["hostNetwork"]) { node.name().to_owned() } else { own_name(pod) }
}

/// `GeneratePodHostNameAndDomain`'s first part.
fn own_name(pod: &Value) -> String {
    let given = [&pod["spec"]["hostnameOverride"], &pod["spec"]["hostname"]].map(text).into_iter().find(|name| !name.is_empty());
    let name = given.unwrap_or(metadata(pod, "name"));
    if name.len() <= LONGEST { name.to_owned() } else { name[..LONGEST].trim_end_matches(['-', '.']).to_owned() }
}

/// Its second part.
fn domain(pod: &Value) -> Option<String> {
    let subdomain = Some(text(&pod["spec"]["subdomain"])).filter(|name| !name.is_empty())?;
    Some(format!("{subdomain}.{}.svc.cluster.local", metadata(pod, "namespace")))
}

/// What is written into `/etc/hosts`.
pub(super) fn hosts(node: &Node, pod: &Value, pod_ips: &[IpAddr]) -> String {
    let mut content = if flag(&pod["spec"]["hostNetwork"]) {
        format!("# Kubernetes-managed hosts file (host network).\n{}", of_node(node))
    } else {
        managed(pod, pod_ips)
    };
    let aliases = list(&pod["spec"]["hostAliases"]);
    if !aliases.is_empty() {
        content.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names: Vec<_> = list(&alias["hostnames"]).iter().map(text).collect();
        content.push_str(&format!("{}\t{}\n", text(&alias["ip"]), names.join("\t")));
    }
    content
}

fn managed(pod: &Value, pod_ips: &[IpAddr]) -> String {
    let name = own_name(pod);
    let names = domain(pod).map_or_else(|| name.clone(), |domain| format!("{name}.{domain}\t{name}"));
    let own: String = pod_ips.iter().map(|ip| format!("{ip}\t{names}\n")).collect();
    format!(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n\
         {own}"
    )
}

/// The node's own file, or what Docker gives a container that is a node.
fn of_node(node: &Node) -> String {
    node.files().read_to_string("/etc/hosts").unwrap_or_else(|_| {
        format!(
            "127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\n\
             ff00::0\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\n\
             ff02::2\tip6-allrouters\n\
             {}\t{}\n",
            node.address(),
            node.name()
        )
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::testing::World;
    use super::*;

    const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                         fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

    fn pod(spec: Value) -> Value {
        json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec})
    }

    #[rstest]
    #[case::plain(json!({}), "10.42.0.7\tp\n")]
    #[case::named(json!({"hostname": "h"}), "10.42.0.7\th\n")]
    #[case::in_a_subdomain(json!({"hostname": "h", "subdomain": "s"}), "10.42.0.7\th.s.ns.svc.cluster.local\th\n")]
    #[case::aliases(
        json!({"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}, {"ip": "::5", "hostnames": ["c"]}]}),
        "10.42.0.7\tp\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n::5\tc\n"
    )]
    fn hosts_of_a_pod(#[case] spec: Value, #[case] expected: &str) {
        let world = World::new();
        let content = hosts(&world.node, &pod(spec), &["10.42.0.7".parse().unwrap()]);
        assert_eq!(content, format!("# Kubernetes-managed hosts file.\n{LOCAL}{expected}"));
    }

    #[test]
    fn who_shares_the_nodes_network_has_its_hosts() {
        let world = World::new();
        let pod = pod(json!({"hostNetwork": true, "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}]}));
        assert!(hosts(&world.node, &pod, &[]).contains("198.18.0.1\tn1\n\n# Entries added"));
        world.node.files().create_dir_all("/etc").unwrap();
        world.node.files().write("/etc/hosts", "127.0.0.1 x\n").unwrap();
        let expected =
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 x\n\n# Entries added by HostAliases.\n1.2.3.4\ta\n";
        assert_eq!(hosts(&world.node, &pod, &[]), expected);
        assert_eq!(host_name(&world.node, &pod), "n1");
    }

    #[test]
    fn long_names_are_cut() {
        let world = World::new();
        let mut long = pod(json!({}));
        long["metadata"]["name"] = format!("{}-b", "a".repeat(62)).into();
        assert_eq!(host_name(&world.node, &long), "a".repeat(62));
    }
}

//! The `/etc/resolv.conf` of a pod's containers (`pkg/kubelet/network/dns`), in the form in which containerd writes it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use super::super::Node;
use super::metadata;
use crate::kinds::view::{flag, list, text};

/// Service kube-dns.
const SERVER: &str = "10.43.0.10";
const DOMAIN: &str = "cluster.local";
const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCH: usize = 253;
const LONGEST_SEARCHES: usize = 2048;

#[derive(Debug, Default, PartialEq, Eq)]
struct Config {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// What is written into `/etc/resolv.conf`.
pub(super) fn resolv_conf(node: &Node, pod: &Value) -> String {
    let mut config = match text(&pod["spec"]["dnsPolicy"]) {
        "None" => Config::default(),
        "ClusterFirst" if flag(&pod["spec"]["hostNetwork"]) => of_node(node),
        "Default" => of_node(node),
        _ => of_cluster(metadata(pod, "namespace"), of_node(node)),
    };
    config.append(&pod["spec"]["dnsConfig"]);
    config.cut();
    config.text()
}

fn of_cluster(namespace: &str, node: Config) -> Config {
    let searches = [format!("{namespace}.svc.{DOMAIN}"), format!("svc.{DOMAIN}"), DOMAIN.to_owned()];
    Config {
        servers: vec![SERVER.to_owned()],
        searches: distinct(searches.into_iter().chain(node.searches)),
        options: vec!["ndots:5".to_owned()],
    }
}

/// The node's own file, or else that of this machine that K3s would choose (`locateOrGenerateResolvConf`).
fn of_node(node: &Node) -> Config {
    let own = node.files().read_to_string("/etc/resolv.conf").ok();
    let of_machine = || {
        let paths = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
        paths.iter().find_map(|path| fs::read_to_string(Path::new(path)).ok().filter(|content| is_reachable(content)))
    };
    let content = own.or_else(of_machine).unwrap_or_else(|| "nameserver 8.8.8.8\n".to_owned());
    Config::parse(&content)
}

/// Whether pods can reach all the servers in a file: those on a loopback address they cannot.
fn is_reachable(content: &str) -> bool {
    let servers: Vec<_> = content.lines().filter_map(|line| line.strip_prefix("nameserver")).map(str::trim).collect();
    let is_unicast = |server: &&str| {
        server.parse::<IpAddr>().is_ok_and(|ip| {
            let is_local = match ip {
                IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
                IpAddr::V6(ip) => ip.is_unicast_link_local(),
            };
            !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || is_local)
        })
    };
    !servers.is_empty() && servers.iter().all(is_unicast)
}

/// Each once, where it comes first.
fn distinct(all: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

impl Config {
    /// `parseResolvConf`.
    fn parse(content: &str) -> Self {
        let mut config = Self::default();
        for line in content.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
                // The last of several counts.
                Some("search") => {
                    let names = words.filter(|name| *name != ".");
                    config.searches = names.map(|name| name.strip_suffix('.').unwrap_or(name).to_owned()).collect();
                }
                Some("options") => words.for_each(|option| config.set_option(option.to_owned())),
                _ => {}
            }
        }
        config
    }

    fn set_option(&mut self, option: String) {
        let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
        match self.options.iter_mut().find(|present| name(present) == name(&option)) {
            Some(present) => *present = option,
            None => self.options.push(option),
        }
    }

    /// What a pod's `dnsConfig` adds (`appendDNSConfig`).
    fn append(&mut self, more: &Value) {
        let texts = |field: &str| list(&more[field]).iter().map(|value| text(value).to_owned()).collect::<Vec<_>>();
        self.servers = distinct(std::mem::take(&mut self.servers).into_iter().chain(texts("nameservers")));
        self.searches = distinct(std::mem::take(&mut self.searches).into_iter().chain(texts("searches")));
        for option in list(&more["options"]) {
            let (name, value) = (text(&option["name"]), text(&option["value"]));
            self.set_option(if value.is_empty() { name.to_owned() } else { format!("{name}:{value}") });
        }
    }

    /// Leaves out what is more than resolvers take (`formDNSConfigFitsLimits`).
    fn cut(&mut self) {
        self.servers.truncate(MOST_SERVERS);
        self.searches.truncate(MOST_SEARCHES);
        self.searches.retain(|search| search.len() <= LONGEST_SEARCH);
        while self.searches.join(" ").len() > LONGEST_SEARCHES {
            self.searches.pop();
        }
    }

    fn text(&self) -> String {
        let line = |word: &str, values: &[String]| match values {
            [] => String::new(),
            values => format!("{word} {}\n", values.join(" ")),
        };
        let servers: String = self.servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        format!("{}{servers}{}", line("search", &self.searches), line("options", &self.options))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::testing::World;
    use super::*;

    const NODE: &str = "# a comment\nsearch old\nnameserver 192.0.2.53\nsearch lan. corp.example\noptions edns0 timeout:2\n";
    const OF_NODE: &str = "search lan corp.example\nnameserver 192.0.2.53\noptions edns0 timeout:2\n";
    const OF_CLUSTER: &str =
        "search ns.svc.cluster.local svc.cluster.local cluster.local lan corp.example\nnameserver 10.43.0.10\noptions ndots:5\n";

    #[rstest]
    #[case::cluster_first(json!({"dnsPolicy": "ClusterFirst"}), OF_CLUSTER)]
    #[case::on_the_nodes_network(json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), OF_NODE)]
    #[case::with_the_nodes_network(json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), OF_CLUSTER)]
    #[case::of_the_node(json!({"dnsPolicy": "Default"}), OF_NODE)]
    #[case::none(
        json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [
            {"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
        "search x\nnameserver 1.1.1.1\noptions ndots:2 edns0\n"
    )]
    #[case::merged(
        json!({"dnsPolicy": "ClusterFirst", "dnsConfig": {"nameservers": ["1.1.1.1", "10.43.0.10"], "searches": ["lan", "x"], "options": [
            {"name": "ndots", "value": "2"}]}}),
        "search ns.svc.cluster.local svc.cluster.local cluster.local lan corp.example x\nnameserver 10.43.0.10\nnameserver 1.1.1.1\n\
         options ndots:2\n"
    )]
    #[case::too_many_servers(
        json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}}),
        "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\n"
    )]
    fn files_of_pods(#[case] spec: Value, #[case] expected: &str) {
        let world = World::new();
        world.node.files().create_dir_all("/etc").unwrap();
        world.node.files().write("/etc/resolv.conf", NODE).unwrap();
        let pod = json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec});
        assert_eq!(resolv_conf(&world.node, &pod), expected);
    }

    #[rstest]
    #[case("nameserver 192.0.2.53\n", true)]
    #[case("nameserver 127.0.0.53\n", false)]
    #[case("nameserver 192.0.2.53\nnameserver ::1\n", false)]
    #[case("search x\n", false)]
    fn pods_cannot_reach_loopback(#[case] content: &str, #[case] expected: bool) {
        assert_eq!(is_reachable(content), expected);
    }

    #[test]
    fn long_search_lists_are_cut() {
        let mut config = Config { searches: (0..40).map(|n| format!("{n:0>200}")).collect(), ..Config::default() };
        config.searches[0] = "x".repeat(254);
        config.cut();
        assert_eq!((config.searches.len(), config.searches[0].len()), (10, 200));
    }
}

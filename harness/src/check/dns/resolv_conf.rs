//! The `/etc/resolv.conf` that a pod is given.

use super::{cluster_dns::ClusterDns, survey::Survey};
use crate::check::{Access, Area, Capability, Check, Context, Evidence, Failure};

/// Does a pod get the `/etc/resolv.conf` that the kubelet should write?
pub const RESOLV_CONF: Check = Check {
    area: Area::Dns,
    name: "resolv_conf",
    question: "Does a pod get the /etc/resolv.conf that the kubelet should write?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    evidence.saw("addresses of Service kube-dns", dns.addresses.join(" "));
    let answer = Survey::new().run(cx, evidence).await?;
    evidence.saw("the pod's /etc/resolv.conf", &answer.resolv_conf);

    let written = ResolvConf::parse(&answer.resolv_conf);
    let search = search_list(cx.namespace(), &dns.zone);
    let found = written.search.join(" ");
    evidence.require(
        written.nameservers == dns.addresses,
        "its nameserver is Service kube-dns",
        written.nameservers.join(" "),
    )?;
    evidence.require(
        written.search.starts_with(&search.each_ref().map(String::as_str)),
        format!("its search list begins with `{}`", search.join(" ")),
        &found,
    )?;
    if let Some(rest @ [_, ..]) = written.search.get(search.len()..) {
        evidence.saw("search domains of the node's own, which the kubelet adds", rest.join(" "));
    }
    evidence.require(written.options.contains(&"ndots:5"), "its options have ndots:5", written.options.join(" "))?;
    Ok(())
}

/// What a pod with `dnsPolicy: ClusterFirst` searches ("DNS for Services and Pods", Kubernetes documentation).
fn search_list(namespace: &str, zone: &str) -> [String; 3] {
    [format!("{namespace}.svc.{zone}"), format!("svc.{zone}"), zone.to_owned()]
}

/// A `resolv.conf`, see resolv.conf(5).
#[derive(Debug, PartialEq, Eq)]
struct ResolvConf<'a> {
    nameservers: Vec<&'a str>,
    search: Vec<&'a str>,
    options: Vec<&'a str>,
}

impl<'a> ResolvConf<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parsed = Self { nameservers: Vec::new(), search: Vec::new(), options: Vec::new() };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => parsed.nameservers.extend(words.next()),
                // The last of several counts.
                Some("search") => parsed.search = words.collect(),
                Some("options") => parsed.options.extend(words),
                _ => {}
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_apart() {
        let text = "# by the kubelet\nsearch a.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.43.0.10\noptions ndots:5 edns0\n";
        let search = vec!["a.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"];
        assert_eq!(
            ResolvConf::parse(text),
            ResolvConf { nameservers: vec!["10.43.0.10"], search, options: vec!["ndots:5", "edns0"] }
        );
    }

    #[test]
    fn the_search_list_begins_with_the_pods_namespace() {
        assert_eq!(search_list("arc", "k3s.example"), ["arc.svc.k3s.example", "svc.k3s.example", "k3s.example"]);
    }
}

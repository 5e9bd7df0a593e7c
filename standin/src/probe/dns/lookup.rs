//! Addresses of a name as an application finds them: `/etc/hosts`, search list, `ndots`.
//!
//! It is hickory-resolver over the pod's own files. The C library would do, were the binary not static: then it
//! cannot load the modules that `getaddrinfo` needs.

use std::{sync::Arc, time::Duration};

use hickory_resolver::{
    Hosts,
    config::{NameServerConfig, ResolverConfig, ResolverOpts},
    proto::rr::Name,
};
use k3s_arc_container::{Container, Net};

use super::{Found, routed::Routed};

/// Finds addresses.
pub(crate) struct Resolver(hickory_resolver::Resolver<Routed>);

impl Resolver {
    /// Reads the texts of a `resolv.conf` and a `hosts` file, and asks through a pod's network.
    pub(crate) fn new(resolv_conf: &str, hosts: &str, net: Arc<dyn Net>) -> Result<Self, String> {
        let (config, options) = parse(resolv_conf).map_err(|problem| format!("/etc/resolv.conf is not understood: {problem}"))?;
        let mut builder = hickory_resolver::Resolver::builder_with_config(config, Routed::new(net));
        *builder.options_mut() = options;
        let mut resolver = builder.build().map_err(|error| format!("no resolver: {error}"))?;
        let mut known = Hosts::default();
        known.read_hosts_conf(hosts.as_bytes()).map_err(|error| format!("/etc/hosts is not understood: {error}"))?;
        resolver.set_hosts(Arc::new(known));
        Ok(Self(resolver))
    }

    /// The same with a pod's own files.
    pub(crate) fn of(container: &Container) -> Result<Self, String> {
        let read = |path| super::read(&container.files, path);
        Self::new(&read("/etc/resolv.conf")?, &read("/etc/hosts")?, container.net.clone())
    }

    /// The addresses of a name, and the complete name that had them.
    pub(crate) async fn find(&self, name: &str) -> Result<Found, String> {
        let found = self.0.lookup_ip(name).await.map_err(|error| format!("`{name}`: {error}"))?;
        let mut addresses: Vec<_> = found.iter().collect();
        addresses.sort();
        addresses.dedup();
        Ok(Found { name: found.query().name().to_ascii(), addresses })
    }
}

/// Reads a `resolv.conf`. hickory-resolver does so for the host it runs on, if that has one; a pod has one on any.
fn parse(resolv_conf: &str) -> Result<(ResolverConfig, ResolverOpts), String> {
    let parsed = resolv_conf::Config::parse(resolv_conf).map_err(|error| error.to_string())?;
    if parsed.nameservers.is_empty() {
        return Err("it names no server".to_owned());
    }
    let name = |name: &str| Name::from_str_relaxed(name).map_err(|error| format!("`{name}`: {error}"));
    let domain = parsed.get_domain().map(|domain| name(domain)).transpose()?;
    let search = parsed.get_last_search_or_domain().map(|domain| name(domain)).collect::<Result<_, _>>()?;
    let servers = parsed.nameservers.iter().map(|server| NameServerConfig::udp_and_tcp(server.into())).collect();
    let mut options = ResolverOpts::default();
    options.ndots = parsed.ndots as usize;
    options.timeout = Duration::from_secs(parsed.timeout.into());
    options.attempts = parsed.attempts as usize;
    options.edns0 = parsed.edns0;
    // The C library has none, so an application sees a change as soon as the server tells it.
    options.cache_size = 0;
    Ok((ResolverConfig::from_parts(domain, search, servers), options))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hickory_proto::{
        op::ResponseCode,
        rr::{RData, Record, RecordType, rdata},
    };
    use rstest::rstest;

    use super::*;
    use crate::{probe::dns::server, testing::Behind};

    const RESOLV_CONF: &str =
        "search mine.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.43.0.10\noptions ndots:5\n";

    fn resolver(server: SocketAddr, hosts: &str) -> Resolver {
        Resolver::new(RESOLV_CONF, hosts, Arc::new(Behind { seen: "10.43.0.10:53".parse().unwrap(), real: server })).unwrap()
    }

    /// Knows one Service.
    async fn cluster_dns() -> SocketAddr {
        server::serve(|reply, question| {
            if question.name().to_ascii() != "kubernetes.default.svc.cluster.local." {
                reply.metadata.response_code = ResponseCode::NXDomain;
            } else if question.query_type() == RecordType::A {
                let data = RData::A(rdata::A::new(10, 43, 0, 1));
                reply.add_answer(Record::from_rdata(question.name().clone(), 5, data));
            }
        })
        .await
    }

    #[rstest]
    #[tokio::test]
    async fn the_search_list_completes_a_name(
        #[values(
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "kubernetes.default.svc.cluster.local."
        )]
        name: &str,
    ) {
        let found = resolver(cluster_dns().await, "").find(name).await.unwrap();
        assert_eq!(
            found,
            Found { name: "kubernetes.default.svc.cluster.local.".to_owned(), addresses: vec!["10.43.0.1".parse().unwrap()] }
        );
    }

    #[rstest]
    #[case::of_another_namespace("kubernetes")]
    #[case::complete_as_it_stands("kubernetes.default.")]
    #[tokio::test]
    async fn a_name_that_no_completion_makes_is_not_found(#[case] name: &str) {
        let error = resolver(cluster_dns().await, "").find(name).await.unwrap_err();
        assert!(error.starts_with(&format!("`{name}`: ")), "{error}");
    }

    #[tokio::test]
    async fn an_answer_too_long_for_a_datagram_comes_over_a_connection() {
        let server = server::serve(|reply, question| {
            for host in 1..=60 {
                let data = RData::A(rdata::A::new(10, 42, 0, host));
                reply.add_answer(Record::from_rdata(question.name().clone(), 5, data));
            }
        })
        .await;
        assert_eq!(resolver(server, "").find("many.").await.unwrap().addresses.len(), 60);
    }

    #[tokio::test]
    async fn hosts_come_first() {
        let found = resolver(cluster_dns().await, "10.42.0.9\tprobe-x\n").find("probe-x").await.unwrap();
        assert_eq!(found.addresses, ["10.42.0.9".parse::<std::net::IpAddr>().unwrap()]);
    }
}

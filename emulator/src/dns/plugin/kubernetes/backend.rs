//! What is behind a name: addresses, ports, aliases (`plugin/kubernetes/kubernetes.go`, `reverse.go`, `ns.go`).

use std::net::IpAddr;
use std::str::FromStr as _;

use hickory_proto::rr::Name;

use super::catalog::Catalog;
use super::names::{Asked, Tree, parse};
use super::{Kubernetes, Pods};
use crate::dns::names;
use crate::net::objects::Service;

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Alias(String),
}

/// One thing behind a name.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) host: Host,
    /// None: it has no port.
    pub(super) port: Option<u16>,
    /// Its own name.
    pub(super) owner: Name,
}

/// The name does not exist.
#[derive(Debug)]
pub(super) struct Missing;

/// What is asked, of whom.
pub(super) struct View<'a> {
    pub(super) plugin: &'a Kubernetes,
    pub(super) catalog: &'a Catalog,
    /// The zone as the question writes it.
    pub(super) zone: &'a Name,
}

impl View<'_> {
    fn exposed(&self, namespace: &str) -> bool {
        let named = &self.plugin.namespaces;
        (named.is_empty() || named.contains(namespace)) && self.catalog.has_namespace(namespace)
    }

    /// A name of the zone.
    pub(super) fn owned<'l>(&self, labels: impl IntoIterator<Item = &'l str>) -> Name {
        let name = Name::from_labels(labels.into_iter().map(str::as_bytes)).unwrap_or_default();
        name.append_domain(self.zone).unwrap_or_default()
    }

    /// The labels of a name before the zone.
    pub(super) fn below(&self, name: &Name) -> Vec<String> {
        let mut labels = names::labels(name);
        labels.truncate(labels.len().saturating_sub(usize::from(self.zone.num_labels())));
        labels
    }

    /// Everything behind a name.
    pub(super) fn items(&self, name: &Name) -> Result<Vec<Item>, Missing> {
        let asked = parse(&self.below(name)).map_err(|()| Missing)?;
        match asked.tree {
            Tree::None => Ok(Vec::new()),
            _ if names::is_reverse(&names::labels(name)) || !self.exposed(&asked.namespace) => Err(Missing),
            _ if asked.service.is_empty() => Ok(Vec::new()),
            Tree::Pods => self.pods(&asked),
            Tree::Services => self.services(&asked),
        }
    }

    fn pods(&self, asked: &Asked) -> Result<Vec<Item>, Missing> {
        let label = &asked.service;
        let is_v4 = label.matches('-').count() == 3 && !label.contains("--");
        let address = IpAddr::from_str(&label.replace('-', if is_v4 { "." } else { ":" })).map_err(|_| Missing)?;
        match self.plugin.pods {
            Pods::Insecure => {}
            Pods::Verified if self.catalog.has_pod(&asked.namespace, address) => {}
            Pods::Verified | Pods::Disabled => return Err(Missing),
        }
        let owner = self.owned([label.as_str(), &asked.namespace, "pod"]);
        Ok(vec![Item { host: Host::Address(address), port: Some(0), owner }])
    }

    fn services(&self, asked: &Asked) -> Result<Vec<Item>, Missing> {
        let service = self.catalog.service(&asked.namespace, &asked.service).ok_or(Missing)?;
        if service.spec.kind == "ExternalName" {
            return self.alias(asked, service);
        }
        let endpoints = self.catalog.endpoints(&asked.namespace, &asked.service);
        let none_ready = || endpoints.iter().all(|slice| slice.addresses.is_empty());
        if self.plugin.ignore_empty && !service.is_headless() && none_ready() {
            return Err(Missing);
        }
        let fits = |port: &str, protocol: &str| {
            (asked.port.is_empty() || asked.port.eq_ignore_ascii_case(port))
                && (asked.protocol.is_empty() || asked.protocol.eq_ignore_ascii_case(protocol))
        };
        let mut items = Vec::new();
        let mut found = false;
        if service.is_headless() || !asked.endpoint.is_empty() {
            for slice in endpoints {
                let wanted = |host: &str| asked.endpoint.is_empty() || asked.endpoint.eq_ignore_ascii_case(host);
                for address in slice.addresses.iter().filter(|address| wanted(&address.host)) {
                    for port in &slice.ports {
                        if fits(port.name.as_deref().unwrap_or_default(), port.protocol.as_deref().unwrap_or_default()) {
                            let owner = self.owned([address.host.as_str(), &asked.service, &asked.namespace, "svc"]);
                            items.push(Item { host: Host::Address(address.ip), port: port.port, owner });
                        }
                    }
                }
            }
            found = !items.is_empty();
        } else {
            let owner = self.owned([asked.service.as_str(), &asked.namespace, "svc"]);
            let ports = service.spec.ports.iter().map(|port| (port.name.as_str(), port.protocol.as_str(), Some(port.port)));
            // A service without ports has one without a number.
            let none = service.spec.ports.is_empty().then_some(("", "", None));
            for (_, _, port) in ports.chain(none).filter(|(name, protocol, _)| fits(name, protocol)) {
                found = true;
                for address in service.cluster_ips().iter().filter_map(|ip| ip.parse().ok()) {
                    items.push(Item { host: Host::Address(address), port, owner: owner.clone() });
                }
            }
        }
        if found { Ok(items) } else { Err(Missing) }
    }

    fn alias(&self, asked: &Asked, service: &Service) -> Result<Vec<Item>, Missing> {
        // It has no endpoints, nor ports that had names; and an address is not an alias.
        let more = !(asked.endpoint.is_empty() && asked.port.is_empty() && asked.protocol.is_empty());
        let target = &service.spec.external_name;
        if more || IpAddr::from_str(target).is_ok() {
            return Err(Missing);
        }
        let owner = self.owned([asked.service.as_str(), &asked.namespace, "svc"]);
        Ok(vec![Item { host: Host::Alias(target.clone()), port: Some(0), owner }])
    }

    /// The names of an address.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<Name> {
        let listed = |namespace: &str| self.plugin.namespaces.is_empty() || self.exposed(namespace);
        let whole = |labels: &[&str]| {
            let name = Name::from_labels(labels.iter().map(|label| label.as_bytes())).unwrap_or_default();
            name.append_domain(self.plugin.primary_zone()).unwrap_or_default()
        };
        if let Some((namespace, service)) = self.catalog.service_at(address).filter(|(namespace, _)| listed(namespace)) {
            return vec![whole(&[service, namespace, "svc"])];
        }
        let endpoints = self.catalog.endpoints_at(address).iter().filter(|((namespace, _), _)| listed(namespace));
        let mut names: Vec<Name> = Vec::new();
        for ((namespace, service), host) in endpoints {
            let name = whole(&[host, service, namespace, "svc"]);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The zone's name servers: the services that this very server is an endpoint of, or itself.
    pub(super) fn servers(&self) -> Vec<(Name, IpAddr)> {
        let own = self.plugin.net.address();
        let mut servers = Vec::new();
        let of = self.catalog.endpoints_at(own);
        for ((namespace, name), _) in of {
            let Some(service) = self.catalog.service(namespace, name) else { continue };
            if service.is_headless() {
                for address in self.catalog.endpoints(namespace, name).iter().flat_map(|slice| &slice.addresses) {
                    servers.push((self.owned([address.host.as_str(), name, namespace, "svc"]), address.ip));
                }
            } else {
                let addresses = service.cluster_ips().iter().filter_map(|ip| ip.parse().ok());
                servers.extend(addresses.map(|ip| (self.owned([name.as_str(), namespace, "svc"]), ip)));
            }
        }
        if of.is_empty() {
            servers.push((self.owned(["ns", "dns"]), own));
        }
        servers
    }
}

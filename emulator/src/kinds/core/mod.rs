//! Rules of the core group's kinds, but for the workloads.

pub(crate) mod allocation;
pub(crate) mod claim;
pub(crate) mod config;
mod endpoints;
pub(crate) mod event;
pub(crate) mod namespace;
mod node;
mod quota;
pub(crate) mod service;
mod service_account;
pub(crate) mod volume;

use super::Rules;

pub(crate) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "namespaces" => &namespace::NAMESPACE,
        "configmaps" => &config::CONFIG_MAP,
        "secrets" => &config::SECRET,
        "serviceaccounts" => &service_account::SERVICE_ACCOUNT,
        "services" => &service::SERVICE,
        "endpoints" => &endpoints::ENDPOINTS,
        "nodes" => &node::NODE,
        "persistentvolumes" => &volume::VOLUME,
        "persistentvolumeclaims" => &claim::CLAIM,
        "events" => &event::EVENT,
        "resourcequotas" => &quota::RESOURCE_QUOTA,
        "limitranges" => &quota::LIMIT_RANGE,
        _ => &Rules::PLAIN,
    }
}

//! Do names resolve as they should?
//!
//! Arc data services find each other, their controller and their databases by name, so a DNS that is nearly right makes
//! for a deployment that nearly works. What is asked here is what Kubernetes promises ("DNS for Services and Pods" and
//! its specification, kubernetes/dns `docs/specification.md`) and what K3s adds, the nodes' own names.
//!
//! Names are looked at from inside a pod, by queries whose reply is seen as it stands, and by look-ups as an
//! application makes them.

mod cluster_dns;
mod coredns_restart;
mod headless;
mod node_names;
mod objects;
mod resolv_conf;
mod search_path;
mod services;
mod stateful_pods;
mod survey;
mod transports;

pub use self::{
    coredns_restart::COREDNS_RESTART,
    headless::HEADLESS_SERVICE,
    node_names::NODE_NAMES,
    resolv_conf::RESOLV_CONF,
    search_path::SEARCH_PATH,
    services::{CLUSTER_IP, EXTERNAL_NAME, MISSING_NAMES, NAMED_PORTS, REVERSE},
    stateful_pods::STATEFUL_PODS,
    transports::TRANSPORTS,
};
use super::Check;

/// The area's checks.
pub const CHECKS: &[Check] = &[
    RESOLV_CONF,
    SEARCH_PATH,
    CLUSTER_IP,
    HEADLESS_SERVICE,
    STATEFUL_PODS,
    NAMED_PORTS,
    REVERSE,
    EXTERNAL_NAME,
    MISSING_NAMES,
    NODE_NAMES,
    TRANSPORTS,
    COREDNS_RESTART,
];

//! Is it up, and does it answer?
//!
//! First the cluster (API, node, what K3s packages), then Arc data services on it (launcher, DataController, components).

mod api;
mod components;
mod data_controller;
mod launcher;
mod node;
mod packaged;
mod steady;
mod workload;

pub use self::{
    api::API,
    components::COMPONENTS,
    data_controller::DATA_CONTROLLER,
    launcher::LAUNCHER,
    node::NODES,
    packaged::{DEFAULT_STORAGE_CLASS, PACKAGED_COMPONENTS},
    steady::STEADY,
};
use super::Check;

/// The area's checks.
pub const CHECKS: &[Check] =
    &[API, NODES, PACKAGED_COMPONENTS, DEFAULT_STORAGE_CLASS, LAUNCHER, DATA_CONTROLLER, COMPONENTS, STEADY];

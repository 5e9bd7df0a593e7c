//! Resources: are requests and limits what they should be, and is everybody held to them?
//!
//! Weak hardware is where Arc data services fail first: pods that do not fit, are killed over their memory, or crawl
//! under their CPU limit. These checks show that the cluster enforces and tells each of them.

mod allocatable;
mod cgroups;
mod components;
mod cpu;
mod limit_range;
mod memory;
mod pods;
mod quota;
mod scheduling;

pub use self::{
    allocatable::REQUESTS_FIT_THE_NODES, cgroups::COMPONENTS_ARE_HELD_TO_THEIR_LIMITS,
    components::COMPONENTS_ARE_SIZED_AS_DOCUMENTED, cpu::CPU_LIMIT_THROTTLES,
    limit_range::LIMIT_RANGE_GIVES_DEFAULTS_AND_REFUSES, memory::MEMORY_LIMIT_KILLS, quota::QUOTA_REFUSES,
    scheduling::UNSCHEDULABLE_IS_EXPLAINED,
};
use super::Check;

/// The area's checks.
pub const CHECKS: &[Check] = &[
    MEMORY_LIMIT_KILLS,
    CPU_LIMIT_THROTTLES,
    QUOTA_REFUSES,
    LIMIT_RANGE_GIVES_DEFAULTS_AND_REFUSES,
    UNSCHEDULABLE_IS_EXPLAINED,
    COMPONENTS_ARE_SIZED_AS_DOCUMENTED,
    COMPONENTS_ARE_HELD_TO_THEIR_LIMITS,
    REQUESTS_FIT_THE_NODES,
];

/// The resources that components request.
const CPU: &str = "cpu";
const MEMORY: &str = "memory";

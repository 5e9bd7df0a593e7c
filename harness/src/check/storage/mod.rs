//! Storage: are claims provisioned, bound, written and reclaimed as K3s's local-path provisioner documents it?
//!
//! What to expect is in K3s's documentation ("Volumes and Storage", <https://docs.k3s.io/storage>) and in the manifest
//! that K3s deploys (`manifests/local-storage.yaml` of k3s-io/k3s).

mod access_modes;
mod binding;
mod capacity;
mod claims;
mod default_class;
mod permissions;
mod persistence;
mod reclaim;
mod stateful_set;

pub use self::{
    access_modes::READ_WRITE_MANY_IS_REFUSED,
    binding::A_CLAIM_WAITS_THEN_BINDS,
    capacity::CAPACITY_IS_NOT_ENFORCED,
    default_class::DEFAULT_CLASS,
    permissions::VOLUMES_ARE_OPEN_TO_ANY_USER,
    persistence::DATA_OUTLIVES_ITS_POD,
    reclaim::{RECLAIM_DELETE, RECLAIM_RETAIN},
    stateful_set::CLAIMS_OUTLIVE_THEIR_STATEFUL_SET,
};
use super::Check;

/// The area's checks.
pub const CHECKS: &[Check] = &[
    DEFAULT_CLASS,
    A_CLAIM_WAITS_THEN_BINDS,
    VOLUMES_ARE_OPEN_TO_ANY_USER,
    DATA_OUTLIVES_ITS_POD,
    READ_WRITE_MANY_IS_REFUSED,
    CAPACITY_IS_NOT_ENFORCED,
    RECLAIM_DELETE,
    RECLAIM_RETAIN,
    CLAIMS_OUTLIVE_THEIR_STATEFUL_SET,
];

/// The StorageClass that K3s brings.
const LOCAL_PATH: &str = "local-path";

/// Who makes its volumes.
const PROVISIONER: &str = "rancher.io/local-path";

/// Where its volumes are on a node (`--default-local-storage-path`).
const STORAGE_DIRECTORY: &str = "/var/lib/rancher/k3s/storage";

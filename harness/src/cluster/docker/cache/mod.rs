//! The warm cache: what a first boot leaves in K3s's data directory (datastore, certificates, imported images) is kept in a volume, and
//! later boots of an equal key begin with a copy of it.
//!
//! An entry is made right after a boot from nothing has been proven: the container is frozen, as a power cut would, and copied; SQLite's
//! log and containerd's database are made for that. The manifest is written last. A boot from an entry is proven as any
//! other, by new work; an entry that is half-written, damaged, of another format, or whose K3s does not serve, is discarded, told of, and
//! made anew.
//!
//! Nobody locks anything: an entry's volume is born in use by the container that fills it, each boot's container has it mounted while
//! it copies, and Docker removes no volume that is in use. Two runs that make the same entry at once make two, of which the
//! older goes. Entries carry a label of their own and not a run's, which the reaper would remove.

mod bounds;
mod fill;
mod key;
mod restore;
mod store;

use testcontainers::bollard::Docker;

use self::restore::MOUNT;
pub use self::store::{clear, list};
pub(super) use self::{
    fill::{FillError, fill},
    restore::{RESTORE, pin, refusal},
    store::Stored,
};
use super::DockerError;
use crate::{cluster::ClusterSpec, image::Standin};

/// The layout of an entry and of its manifest; the scripts know it too.
const FORMAT: &str = "2";

/// Where boots of one spec look for an entry, and put one.
#[derive(Debug)]
pub(super) struct Cache {
    key: String,
}

impl Cache {
    /// The cache of a spec, if what it boots can be kept.
    pub(super) async fn of(engine: &Docker, spec: &ClusterSpec, standin: &Standin) -> Result<Option<Self>, DockerError> {
        Ok(key::of(engine, spec, standin).await?.map(|key| Self { key }))
    }

    /// Digits that its entries share.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The newest entry that nobody is filling just now.
    pub(super) async fn newest(&self, engine: &Docker) -> Result<Option<Stored>, DockerError> {
        let mut stored = store::stored(engine, Some(&self.key)).await?;
        stored.retain(|entry| !entry.filling);
        Ok(stored.into_iter().max_by_key(|entry| entry.created))
    }
}

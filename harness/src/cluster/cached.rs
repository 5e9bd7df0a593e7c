//! The entries of the warm cache, whoever keeps them, as people and programs are told of them.

/// An entry of the cache, as `k3s-arc cache` shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cached {
    /// What it is found by; entries of one key are interchangeable.
    pub key: String,
    /// The Docker volume it is in, or the VM that it is.
    pub volume: String,
    /// The K3s image.
    pub k3s: String,
    /// How that K3s was started.
    pub command: String,
    /// Whether it can be booted from.
    pub state: CachedState,
    /// Whether a run uses it, so that it cannot be removed.
    pub in_use: bool,
    /// Its size in bytes, once it is whole.
    pub bytes: Option<u64>,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// When it was last booted from, in seconds since 1970.
    pub used: Option<u64>,
}

/// Whether an entry can be booted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CachedState {
    /// It can.
    Whole,
    /// Not yet: a run fills it.
    BeingFilled,
    /// Its run was killed before it was whole.
    HalfWritten,
    /// Another version of this program made it.
    OtherFormat,
}

/// What became of an entry that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// Its key.
    pub key: String,
    /// The Docker volume it was in, or the VM that it was.
    pub volume: String,
    /// Whether it is gone; a run that uses it keeps it.
    pub removed: bool,
}

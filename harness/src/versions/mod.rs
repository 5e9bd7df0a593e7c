//! Which K3s releases there are, which of them a matrix should run, and which of them this host can.
//!
//! K3s publishes *channels*: names (`stable`, `latest`, `v1.34`) that stand for the newest release of a line
//! (<https://docs.k3s.io/upgrades/manual#release-channels>). Whoever names a channel wants what is newest today, so that the names
//! are looked up; but a test run must not hang, nor end, because a server on the internet does not answer. So an answer is kept for a
//! day, and where there is none, a table that is built in takes its place, and says its date.

mod cache;
mod channels;
mod fetch;
mod host;
mod matrix;
mod table;
mod version;
mod wanted;

pub use self::{
    channels::{Channel, ChannelError, Channels, Source},
    host::Host,
    matrix::{DEFAULT_MINORS, Entry, Matrix},
    version::K3sVersion,
    wanted::{Wanted, resolve},
};

/// The day of the newest release that this program knows of: no clock that is right shows an earlier one.
pub(crate) fn table_date() -> String {
    table::table().date
}

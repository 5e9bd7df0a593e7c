//! Exchanges with the API of a cluster: scripts of them, their answers, and how alike two answers are.
//!
//! The answers of a real cluster are kept beside the scripts. Playing a script to another one and comparing what
//! it answers with what was kept is the measure of how faithful that other one is.

mod channels;
mod client;
mod compare;
mod normal;
mod play;
mod script;
mod text;

pub use client::Cluster;
pub use compare::{Outcome, compare, differences};
pub use play::{play, replay};
pub use script::{Recording, Script};

/// Whatever stops a script from being played; an unexpected *answer* is none.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

//! Faults: what goes wrong with a cluster while it is asked is survived or named, in bounded time, and leaves nothing.
//!
//! Each test breaks a cluster that is the faults' own, asks, mends what it broke, and proves that it is mended.

mod cluster;
mod machine;
mod proxy;
mod questions;
mod victim;

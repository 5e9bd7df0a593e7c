//! The Multipass provider, on the `multipass` of `tests/multipass`: what a VM can fail in ends in an error of its own with its remedy, and leaves
//! nothing; what is somebody else's is left alone.
//!
//! It needs Docker with the image that machines are made of, and where K3s is booted, K3s's release in `K3S_ARC_AIRGAP_DIR`. Where that is
//! lacking, the cases are ignored.

mod boots;
mod failures;
mod host;
mod machines;
mod warm;

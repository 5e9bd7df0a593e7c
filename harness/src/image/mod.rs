//! Images: OCI archives written in Rust, and the stand-in's among them.

mod oci;
mod standin;

pub(crate) use self::standin::{PROGRAM_PATH, emulated};
pub use self::{
    oci::{OciArchive, OciError},
    standin::{Standin, StandinError},
};

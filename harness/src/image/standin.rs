//! The stand-in's image: built in on Linux, published by name elsewhere.

use k3s_arc_emulator::container::Image;

use super::{OciArchive, OciError};
use crate::digest;

/// The stand-in's static binary, which the build script made.
#[cfg(embedded_standin)]
const PROGRAM: Option<&[u8]> = Some(include_bytes!(env!("K3S_ARC_STANDIN_BINARY")));
#[cfg(not(embedded_standin))]
const PROGRAM: Option<&[u8]> = None;

/// Where the program is in its image; also the image's entrypoint.
pub(crate) const PROGRAM_PATH: &str = "/k3s-arc-standin";

/// What a pod runs that names no arguments.
const DEFAULT_ARGUMENTS: [&str; 1] = ["launcher"];

/// What emulated nodes have it under where there is no binary whose digest could be the tag.
const EMULATED: &str = "docker.io/k3s-arc/standin:emulated";

/// The stand-in as emulated nodes have it: the code itself.
pub(crate) fn emulated() -> Image {
    let image = Image::new().program(PROGRAM_PATH, k3s_arc_standin::run);
    image.entrypoint([PROGRAM_PATH]).command(DEFAULT_ARGUMENTS)
}

/// Where the stand-in comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standin {
    /// From the binary built into this program, under a tag that is its digest.
    BuiltIn {
        /// The image's full reference.
        reference: String,
    },
    /// From a registry, or wherever the node finds an image by this name.
    Published {
        /// The image's full reference.
        reference: String,
    },
}

/// Why there is no stand-in to be had.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum StandinError {
    /// This program was built where a Linux binary cannot be.
    #[error("no stand-in is built into this program: it was built on a host other than Linux with glibc")]
    #[diagnostic(
        code(k3s_arc::standin),
        help("set K3S_ARC_STANDIN_IMAGE to a published image of the stand-in that the node can pull")
    )]
    NotBuiltIn,
    /// The archive could not be written.
    #[error(transparent)]
    Archive(#[from] OciError),
}

impl Standin {
    /// The published one if it is named, else the built-in one.
    ///
    /// # Errors
    /// [`StandinError::NotBuiltIn`], where neither is there.
    pub fn new(published: Option<&str>) -> Result<Self, StandinError> {
        if let Some(reference) = published {
            return Ok(Self::Published { reference: reference.to_owned() });
        }
        let program = PROGRAM.ok_or(StandinError::NotBuiltIn)?;
        // The tag is the content: a node that kept another build's image never runs it by mistake.
        Ok(Self::BuiltIn { reference: format!("docker.io/k3s-arc/standin:{}", digest::short(program)) })
    }

    /// The full reference under which emulated nodes have it: the same as real ones, so that manifests need not differ. They run
    /// its code as it is compiled into this program, so it need not be built in as a binary.
    pub fn emulated_reference(published: Option<&str>) -> String {
        Self::new(published).map_or_else(|_| EMULATED.to_owned(), |standin| standin.reference().to_owned())
    }

    /// The image's full reference.
    pub fn reference(&self) -> &str {
        match self {
            Self::BuiltIn { reference } | Self::Published { reference } => reference,
        }
    }

    /// The archive to import into a node, for a stand-in that no registry has.
    ///
    /// # Errors
    /// [`StandinError::Archive`].
    pub fn archive(&self) -> Result<Option<Vec<u8>>, StandinError> {
        let (Self::BuiltIn { reference }, Some(program)) = (self, PROGRAM) else { return Ok(None) };
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let archive = OciArchive { reference, path: PROGRAM_PATH, program, default_arguments: &DEFAULT_ARGUMENTS, architecture };
        Ok(Some(archive.to_tar()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_image_needs_no_archive() {
        let standin = Standin::new(Some("registry.example/standin:1")).unwrap();
        assert_eq!(standin.reference(), "registry.example/standin:1");
        assert_eq!(standin.archive().unwrap(), None);
    }

    #[test]
    fn emulated_nodes_have_it_under_the_name_that_others_have() {
        assert_eq!(Standin::emulated_reference(Some("registry.example/standin:1")), "registry.example/standin:1");
        let known = Standin::new(None).map_or_else(|_| EMULATED.to_owned(), |standin| standin.reference().to_owned());
        assert_eq!(Standin::emulated_reference(None), known);
        let image = emulated();
        assert_eq!(image.programs.paths().collect::<Vec<_>>(), image.entrypoint);
    }

    #[cfg(embedded_standin)]
    #[test]
    fn the_built_in_image_is_static_and_at_most_ten_megabytes() {
        let standin = Standin::new(None).unwrap();
        let archive = standin.archive().unwrap().unwrap();
        assert!(archive.len() <= 10_000_000, "{} bytes", archive.len());
        let program = PROGRAM.unwrap();
        assert_eq!(&program[..4], b"\x7fELF");
        assert!(!program_headers(program).contains(&PT_INTERP), "the stand-in asks for a dynamic loader");
    }

    /// The program header of a dynamic program, which names its loader: elf(5).
    #[cfg(embedded_standin)]
    const PT_INTERP: u32 = 3;

    /// The types of a 64-bit little-endian ELF program's headers.
    #[cfg(embedded_standin)]
    fn program_headers(program: &[u8]) -> Vec<u32> {
        let field =
            |at: usize, size: usize| program[at..at + size].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (table, size, count) = (field(32, 8), field(54, 2), field(56, 2));
        (0..count).map(|header| field(table + header * size, 4) as u32).collect()
    }
}

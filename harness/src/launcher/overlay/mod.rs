//! The Kustomize tree that puts the launcher on a cluster: found, staged, rendered.
//!
//! Its shape is Microsoft's (`arc_data_services/test/launcher` in `microsoft/azure_arc`): a base, and an
//! overlay per distribution. Upstream has none for K3s; the one of this project is built in, and any other
//! tree, a clone of azure_arc with an overlay for K3s added among them, is taken as it is.

mod embedded;
mod kustomization;
mod placeholders;
mod render;
mod stage;

use std::{
    io,
    path::{Path, PathBuf},
};

use self::kustomization::kustomization_file;
pub(crate) use self::render::title;
pub use self::{
    render::{Rendered, Renderer},
    stage::{Inputs, Staged},
};
use super::input::InputError;
use crate::cluster::NodeError;

/// Where, below what a user names, the overlay for K3s may be: a clone of azure_arc, its launcher folder, the overlay itself.
const BELOW: [&str; 3] = ["", "overlays/k3s", "arc_data_services/test/launcher/overlays/k3s"];

/// A tree, found.
#[derive(Debug, Clone)]
pub struct Overlay {
    root: Root,
}

#[derive(Debug, Clone)]
enum Root {
    /// The tree of `tests/fixtures/launcher`, part of this program.
    Embedded,
    /// The overlay's folder in a tree on disk.
    Folder(PathBuf),
}

impl Overlay {
    /// The tree in `folder`, or the one built in.
    ///
    /// # Errors
    /// [`OverlayError::NoOverlay`].
    pub fn locate(folder: Option<&Path>) -> Result<Self, OverlayError> {
        let Some(folder) = folder else { return Ok(Self { root: Root::Embedded }) };
        let mut candidates = BELOW.iter().map(|below| if below.is_empty() { folder.to_owned() } else { folder.join(below) });
        match candidates.find(|candidate| kustomization_file(candidate).is_some()) {
            Some(found) => Ok(Self { root: Root::Folder(found) }),
            None => Err(OverlayError::NoOverlay { folder: folder.to_owned(), others: overlays_in(folder) }),
        }
    }

    /// Copies the tree to a private folder, with the inputs filled in, and validates them.
    ///
    /// # Errors
    /// [`OverlayError`]; [`OverlayError::Input`] tells everything that is wrong with `.test.env` and `patch.json`.
    pub fn stage(&self, inputs: &Inputs) -> Result<Staged, OverlayError> {
        Staged::new(&self.root, inputs)
    }
}

/// The names of the overlays that a launcher folder, or a clone of azure_arc, does have.
fn overlays_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = ["overlays", "arc_data_services/test/launcher/overlays"]
        .iter()
        .filter_map(|below| folder.join(below).read_dir().ok())
        .flat_map(|entries| entries.flatten())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Why a tree cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OverlayError {
    /// There is no overlay for K3s where the user pointed.
    #[error("no overlay for K3s in {}{}", .folder.display(), instead(.others))]
    #[diagnostic(
        code(k3s_arc::launcher::overlay),
        help(
            "name the overlay's folder itself, or a folder with overlays/k3s in it: a kustomization.yaml with `resources: [../../base]` \
             and a configMapGenerator control-patch of configs/patch.json; without K3S_ARC_LAUNCHER_DIR the built-in tree is used"
        )
    )]
    NoOverlay {
        /// Where it was looked for.
        folder: PathBuf,
        /// The overlays that are there.
        others: Vec<String>,
    },
    /// A kustomization cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    #[diagnostic(code(k3s_arc::launcher::overlay))]
    Kustomization {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The tree does not make the launcher's Secret or ConfigMap.
    #[error("no kustomization of the tree has a {generator} `{name}`")]
    #[diagnostic(code(k3s_arc::launcher::overlay), help("the launcher mounts {file} from it; see {} of microsoft/azure_arc", .place))]
    NotGenerated {
        /// `secretGenerator` or `configMapGenerator`.
        generator: &'static str,
        /// Its name.
        name: &'static str,
        /// The file that it is to hold.
        file: &'static str,
        /// Where upstream has it.
        place: &'static str,
    },
    /// A file that the user has to make is not there.
    #[error("{} is missing", .path.display())]
    #[diagnostic(code(k3s_arc::launcher::overlay))]
    MissingFile {
        /// Which.
        path: PathBuf,
        /// How to make it.
        #[help]
        remedy: String,
    },
    /// What drives the launch is wrong, or a kustomization asks for what cannot be done.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Input(#[from] InputError),
    /// Far too much would have to be copied.
    #[error("the tree around {} has more than {megabytes} MiB", .folder.display())]
    #[diagnostic(
        code(k3s_arc::launcher::overlay),
        help("a launcher's tree is a few KiB; see that K3S_ARC_LAUNCHER_DIR names the right folder")
    )]
    TooBig {
        /// The overlay's folder.
        folder: PathBuf,
        /// The limit.
        megabytes: u64,
    },
    /// The tree cannot be copied.
    #[error("cannot copy the launcher's tree: {}", .path.display())]
    #[diagnostic(code(k3s_arc::launcher::overlay))]
    Copy {
        /// The file or folder at which it failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The node cannot run its Kustomize.
    #[error("the node cannot render the launcher's tree")]
    #[diagnostic(code(k3s_arc::launcher::render), help("see that the node runs and has kubectl or k3s, which has it built in"))]
    NoRenderer {
        /// What became of it.
        source: NodeError,
    },
    /// Kustomize refused the tree.
    #[error("`{command}` failed: {message}")]
    #[diagnostic(
        code(k3s_arc::launcher::render),
        help("see that every file and folder which the kustomizations of {folder} name is there")
    )]
    Kustomize {
        /// What ran.
        command: String,
        /// The overlay's folder, as the user knows it.
        folder: String,
        /// What it printed.
        message: String,
    },
    /// What Kustomize made cannot be read.
    #[error("what Kustomize made of the tree cannot be read: {reason}")]
    #[diagnostic(code(k3s_arc::launcher::render))]
    Objects {
        /// Why.
        reason: String,
    },
}

fn instead(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!("; there are overlays for {}", others.join(", ")) }
}

#[cfg(test)]
mod tests;

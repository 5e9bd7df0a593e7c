//! Rendering a staged tree: by the node's own Kustomize, or by this program's.

use std::{
    fmt::{self, Debug},
    io,
    path::Path,
};

use kube::{ResourceExt, core::DynamicObject};

use super::{OverlayError, Staged};
use crate::{
    cluster::{Capability, Cluster, NodeAccess, NodeError},
    launcher::kustomize,
};

/// Who renders a tree.
#[derive(Debug, Clone, Copy)]
pub enum Renderer<'a> {
    /// The node's `kubectl kustomize`: what its users' cluster would do.
    Node(&'a dyn NodeAccess),
    /// This program, as `kubectl kustomize` would (module `launcher::kustomize`).
    BuiltIn,
}

/// What runs on the node: whatever comes of it, the tree with its secrets is gone afterwards.
const ON_NODE: &str = "if command -v kubectl >/dev/null 2>&1; then kubectl kustomize \"$1/$2\"; \
    elif command -v k3s >/dev/null 2>&1; then k3s kubectl kustomize \"$1/$2\"; \
    else echo 'no kubectl and no k3s on the node' >&2; false; fi; code=$?; rm -rf \"$1\"; exit $code";

/// What a tree renders to.
pub struct Rendered {
    objects: Vec<DynamicObject>,
}

impl<'a> Renderer<'a> {
    /// The node's where it has one, and this program's where it has none.
    pub fn of(cluster: &'a Cluster) -> Self {
        if cluster.can(Capability::NodeKubectl) { Self::Node(cluster.node()) } else { Self::BuiltIn }
    }

    /// Renders a tree.
    ///
    /// # Errors
    /// [`OverlayError::NoRenderer`], [`OverlayError::Kustomize`], [`OverlayError::Input`] or [`OverlayError::Objects`].
    pub async fn render(self, staged: &Staged) -> Result<Rendered, OverlayError> {
        let yaml = match self {
            Self::Node(node) => on_node(node, staged).await.map_err(|error| match error {
                NodeError::Exit { stderr, .. } if !stderr.contains("no kubectl and no k3s on the node") => {
                    refused("kubectl kustomize", staged, &stderr)
                }
                source => OverlayError::NoRenderer { source },
            })?,
            Self::BuiltIn => kustomize::build(staged.overlay(), &|path| staged.shown(path))?,
        };
        Rendered::parse(&yaml)
    }
}

/// Renders on the node. Not below `/run`, where the tree would be in memory only: what the Docker Engine unpacks into
/// a container lands beneath a tmpfs that is mounted there.
async fn on_node(node: &dyn NodeAccess, staged: &Staged) -> Result<String, NodeError> {
    let folder = on_node_folder(staged);
    let overlay = staged.overlay().strip_prefix(staged.folder()).unwrap_or(Path::new("")).to_string_lossy();
    let make = ["mkdir", "-p", "-m", "0700", &folder];
    node.exec(&make).await?.success(&make)?;
    let rendered = async {
        let archive = archive(staged.folder())
            .map_err(|source| NodeError::Unreachable { command: format!("tar -x -C {folder}"), source: source.into() })?;
        node.unpack(archive, &folder).await?;
        let render = ["sh", "-c", ON_NODE, "render", &folder, &overlay];
        let output = node.exec(&render).await?;
        output.success(&["kubectl", "kustomize", &overlay])
    };
    let rendered = rendered.await;
    if rendered.is_err() {
        // The command that removes it may not have run.
        let remove = ["rm", "-rf", &folder];
        if let Err(error) = node.exec(&remove).await.and_then(|output| output.success(&remove)) {
            tracing::warn!("the launcher's tree is left on the node: {}", crate::chain(&error));
        }
    }
    rendered
}

/// Where the copy is on the node: new, and as hard to guess as the staged folder's name.
fn on_node_folder(staged: &Staged) -> String {
    format!("/tmp/{}", staged.folder().file_name().unwrap_or_default().to_string_lossy())
}

/// The tree as a tar archive, files for root alone.
fn archive(folder: &Path) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.mode(tar::HeaderMode::Deterministic);
    let mut pending = vec![folder.to_owned()];
    while let Some(current) = pending.pop() {
        for entry in current.read_dir()? {
            let path = entry?.path();
            let name = path.strip_prefix(folder).unwrap_or(&path).to_owned();
            if path.is_dir() {
                archive.append_dir(&name, &path)?;
                pending.push(path);
            } else {
                let mut header = tar::Header::new_gnu();
                let content = std::fs::read(&path)?;
                header.set_mode(0o600);
                header.set_size(content.len() as u64);
                archive.append_data(&mut header, &name, content.as_slice())?;
            }
        }
    }
    archive.into_inner()
}

fn refused(command: &str, staged: &Staged, message: &str) -> OverlayError {
    let message = staged.test_env().masker().mask(message.trim()).into_owned();
    // The copy is gone when somebody reads this; the original is what there is to mend.
    let overlay = staged.overlay().strip_prefix(staged.folder()).unwrap_or(Path::new(""));
    let message = [on_node_folder(staged), staged.folder().display().to_string()]
        .iter()
        .fold(message, |message, copy| message.replace(&format!("{copy}/{}", overlay.display()), staged.origin()));
    OverlayError::Kustomize { command: command.to_owned(), folder: staged.origin().to_owned(), message }
}

impl Rendered {
    /// Reads what Kustomize printed.
    ///
    /// # Errors
    /// [`OverlayError::Objects`].
    pub fn parse(yaml: &str) -> Result<Self, OverlayError> {
        let fail = |reason: String| OverlayError::Objects { reason };
        // No snippets in errors: the text holds the Secret.
        let options = serde_saphyr::options! { with_snippet: false };
        let documents: Vec<serde_json::Value> =
            serde_saphyr::from_multiple_with_options(yaml, options).map_err(|error| fail(error.to_string()))?;
        let objects = documents
            .into_iter()
            .enumerate()
            .map(|(index, document)| {
                let object: DynamicObject =
                    serde_json::from_value(document).map_err(|error| fail(format!("document {}: {error}", index + 1)))?;
                match (&object.types, &object.metadata.name) {
                    (Some(_), Some(_)) => Ok(on_one_line(object)),
                    _ => Err(fail(format!("document {} is no Kubernetes object", index + 1))),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        if objects.is_empty() { Err(fail("it is empty".to_owned())) } else { Ok(Self { objects }) }
    }

    /// The objects, in the order in which they are to be applied.
    pub fn objects(&self) -> &[DynamicObject] {
        &self.objects
    }

    pub(crate) fn into_objects(self) -> Vec<DynamicObject> {
        self.objects
    }
}

/// Kustomize breaks a Secret's base64 into lines, which Go's decoder passes over and others do not.
fn on_one_line(mut object: DynamicObject) -> DynamicObject {
    let is_secret = object.types.as_ref().is_some_and(|types| types.api_version == "v1" && types.kind == "Secret");
    if let (true, Some(serde_json::Value::Object(data))) = (is_secret, object.data.get_mut("data")) {
        for value in data.values_mut() {
            if let serde_json::Value::String(text) = value {
                text.retain(|character| character != '\n');
            }
        }
    }
    object
}

/// Kinds and names only: one of the objects is a Secret.
impl Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.objects.iter().map(title)).finish()
    }
}

/// An object as kubectl would name it: `job.batch/arc-ci-launcher`.
pub(crate) fn title(object: &DynamicObject) -> String {
    let types = object.types.clone().unwrap_or_default();
    let kind = types.kind.to_lowercase();
    match types.api_version.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", object.name_any()),
        None => format!("{kind}/{}", object.name_any()),
    }
}

//! What the harness reads of a kustomization: which folders it reaches, and which files drive the launch.
//! Everything else is Kustomize's own business.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::OverlayError;
use crate::launcher::{consistency::LauncherTag, input::Source};

/// The file names that Kustomize takes (its reference, "Kustomization File").
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The image's name in the base, which its kustomization replaces.
const LAUNCHER_IMAGE: &str = "arc-ci-launcher";

/// The kustomization file of a folder.
pub(super) fn kustomization_file(folder: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Kustomization {
    /// Deprecated, but still what upstream's overlays have.
    bases: Vec<String>,
    resources: Vec<String>,
    components: Vec<String>,
    secret_generator: Vec<Generator>,
    config_map_generator: Vec<Generator>,
    images: Vec<Image>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Generator {
    name: String,
    /// `path` or `key=path`.
    files: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    name: String,
    new_tag: Option<Spanned<String>>,
}

impl Kustomization {
    /// Reads the kustomization of a folder; gives its file and text, too.
    pub(super) fn read(folder: &Path) -> Result<(Self, PathBuf, String), OverlayError> {
        let path = kustomization_file(folder).unwrap_or_else(|| folder.join(NAMES[0]));
        let fail = |reason| OverlayError::Kustomization { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
        // An empty kustomization is Kustomize's to refuse.
        let read: Option<Self> = serde_saphyr::from_str(&text).map_err(|error| fail(error.to_string()))?;
        Ok((read.unwrap_or_default(), path, text))
    }

    /// The local folders that it builds on, relative to its own.
    pub(super) fn reaches(&self) -> impl Iterator<Item = &str> {
        self.bases.iter().chain(&self.resources).chain(&self.components).map(String::as_str)
    }

    /// The file that a Secret of this name gets under this key, relative to the kustomization.
    pub(super) fn secret_file(&self, name: &str, key: &str) -> Option<PathBuf> {
        file(&self.secret_generator, name, key)
    }

    /// The file that a ConfigMap of this name gets under this key, relative to the kustomization.
    pub(super) fn config_map_file(&self, name: &str, key: &str) -> Option<PathBuf> {
        file(&self.config_map_generator, name, key)
    }

    /// The tag it gives the launcher's image; `source` is its own text.
    pub(super) fn launcher_tag(&self, source: Source) -> Option<LauncherTag> {
        // An overlay sees the image by the name that the base gave it.
        let is_launcher =
            |image: &&Image| image.name.rsplit_once('/').map_or(image.name.as_str(), |(_, name)| name) == LAUNCHER_IMAGE;
        let tag = self.images.iter().filter(is_launcher).find_map(|image| image.new_tag.as_ref())?;
        let span = tag.referenced.span();
        let at = span.byte_offset().and_then(|offset| usize::try_from(offset).ok()).unwrap_or_default();
        let length = span.byte_len().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        Some(LauncherTag { tag: tag.value.clone(), source, at: at..at + length })
    }
}

fn file(generators: &[Generator], name: &str, key: &str) -> Option<PathBuf> {
    let generator = generators.iter().find(|generator| generator.name == name)?;
    generator.files.iter().find_map(|entry| match entry.split_once('=') {
        Some((entry_key, path)) => (entry_key == key).then(|| PathBuf::from(path)),
        None => Some(PathBuf::from(entry)).filter(|path| path.file_name().is_some_and(|file| file == key)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Kustomization {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kustomization.yml"), text).unwrap();
        Kustomization::read(folder.path()).unwrap().0
    }

    #[test]
    fn it_tells_what_it_reaches_and_which_files_it_takes() {
        let read = read(
            "bases: [../a]\nresources: [b.yaml, ../c]\nsecretGenerator:\n- name: test-env\n  files: [.test.env=secret/my.env]\n\
             configMapGenerator:\n- name: other\n  files: [configs/patch.json]\n- name: control-patch\n  files: [x.json, configs/patch.json]\n",
        );
        assert_eq!(read.reaches().collect::<Vec<_>>(), ["../a", "b.yaml", "../c"]);
        assert_eq!(read.secret_file("test-env", ".test.env"), Some("secret/my.env".into()));
        assert_eq!(read.config_map_file("control-patch", "patch.json"), Some("configs/patch.json".into()));
        assert_eq!(read.config_map_file("control-patch", "y.json"), None);
    }

    #[test]
    fn it_tells_the_launchers_tag_and_where() {
        let text =
            "# é\nimages:\n- name: busybox\n  newTag: '1'\n- name: mcr.microsoft.com/arcdata/arc-ci-launcher\n  newTag: v2\n";
        let tag = read(text).launcher_tag(Source::new("kustomization.yaml", text)).unwrap();
        assert_eq!((tag.tag.as_str(), &text[tag.at.clone()]), ("v2", "v2"));
    }

    #[test]
    fn an_empty_one_reaches_nothing() {
        assert_eq!(read("# nothing\n").reaches().count(), 0);
    }
}

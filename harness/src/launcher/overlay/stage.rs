//! A private copy of the tree with the user's inputs in it, ready to be rendered.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use tempfile::TempDir;

use super::{OverlayError, Root, embedded, kustomization::Kustomization, placeholders};
use crate::launcher::{
    ControlPatch, InputError, Problem, TestEnv,
    consistency::{self, LauncherTag},
    input::Source,
    test_env::with_overrides,
};

/// A launcher's tree is a few KiB; a folder that was not meant is not.
const LIMIT_BYTES: u64 = 8 << 20;

/// The StorageClass that K3s brings, and the built-in tree asks for.
const LOCAL_PATH: &str = "local-path";

/// What a tree is to be filled in with.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The `.test.env` to use in place of the tree's own.
    pub test_env: Option<PathBuf>,
    /// Where there is no `.test.env`, its template is filled in with values that lead nowhere: enough for the
    /// stand-in. Microsoft's launcher needs the user's own.
    pub fill_in: bool,
    /// Variables of `.test.env` that are to have other values.
    pub overrides: Vec<(String, String)>,
    /// The StorageClass that the built-in tree asks for, where K3s's is not to be had.
    pub storage_class: Option<String>,
    /// Where the copy is made, which holds the secrets of `.test.env`; the temporary directory, where nothing is said.
    pub within: Option<PathBuf>,
}

/// A tree in a folder of its own, which only this user can read and which is gone when this is dropped.
#[derive(Debug)]
pub struct Staged {
    folder: TempDir,
    /// The overlay's folder below it.
    overlay: PathBuf,
    /// The overlay's folder as the user knows it.
    origin: String,
    /// The folder of the copy as the user knows it.
    shown: PathBuf,
    test_env: TestEnv,
    control_patch: ControlPatch,
    warnings: Vec<Problem>,
}

impl Staged {
    pub(super) fn new(root: &Root, inputs: &Inputs) -> Result<Self, OverlayError> {
        let within = inputs.within.clone().unwrap_or_else(std::env::temp_dir);
        let folder =
            tempfile::Builder::new().prefix("k3s-arc-overlay-").permissions(Permissions::from_mode(0o700)).tempdir_in(&within);
        let folder = folder.map_err(|source| OverlayError::Copy { path: within, source })?;
        let tree = match root {
            Root::Embedded => {
                for (path, text) in embedded::FILES {
                    let text = match &inputs.storage_class {
                        Some(class) => text.replace(LOCAL_PATH, class),
                        None => text.to_string(),
                    };
                    write(&folder.path().join(path), text.as_bytes())?;
                }
                let origin = Path::new("the built-in tree");
                Tree::read(&folder.path().join(embedded::OVERLAY))?.moved(folder.path(), origin)
            }
            Root::Folder(overlay) => Tree::read(overlay)?.copied(overlay, folder.path())?,
        };

        let (generated, relative) =
            tree.generated(Kustomization::secret_file, "secretGenerator", "test-env", ".test.env", "base/kustomization.yaml")?;
        let (text, name) = test_env(inputs, &tree, &generated.join(&relative))?;
        let text = with_overrides(&text, &inputs.overrides);
        write(&tree.staged(&generated).join(&relative), text.as_bytes())?;

        let (generated, relative) = tree.generated(
            Kustomization::config_map_file,
            "configMapGenerator",
            "control-patch",
            "patch.json",
            "overlays/aks/kustomization.yaml",
        )?;
        let path = tree.staged(&generated).join(&relative);
        let shown = tree.shown(&generated).join(&relative);
        let patch = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OverlayError::MissingFile {
                remedy: "make it from the patch.json.tmpl beside it: registry, repository, tag and pull policy of the images, and K3s's storage class, local-path".to_owned(),
                path: shown.clone(),
            },
            _ => InputError::Unreadable { path: shown.clone(), source }.into(),
        })?;

        // Everything that is wrong with either file is told at once.
        let (test_env, control_patch) =
            match (TestEnv::parse(&name, &text), ControlPatch::parse(&shown.display().to_string(), &patch)) {
                (Ok(test_env), Ok(control_patch)) => (test_env, control_patch),
                (Err(InputError::Invalid { mut problems }), Err(InputError::Invalid { problems: more })) => {
                    problems.extend(more);
                    return Err(InputError::Invalid { problems }.into());
                }
                (Err(error), _) | (_, Err(error)) => return Err(error.into()),
            };
        let mut warnings = [test_env.warnings(), control_patch.warnings()].concat();
        warnings.extend(consistency::check(&test_env, &control_patch, tree.launcher_tag().as_ref()));
        let origin = tree.shown(&tree.overlay).display().to_string();
        Ok(Self { overlay: tree.staged(&tree.overlay), shown: tree.shown, folder, origin, test_env, control_patch, warnings })
    }

    /// The folder of the copy.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The overlay's folder in the copy.
    pub fn overlay(&self) -> &Path {
        &self.overlay
    }

    /// The overlay's folder as the user knows it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A file of the copy as the user knows it.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        let folder = self.folder().canonicalize();
        let below = folder.ok().and_then(|folder| path.strip_prefix(folder).ok().map(Path::to_owned));
        below.map_or_else(|| path.to_owned(), |below| self.shown.join(below))
    }

    /// What drives the launcher.
    pub fn test_env(&self) -> &TestEnv {
        &self.test_env
    }

    /// What is patched in the data controller.
    pub fn control_patch(&self) -> &ControlPatch {
        &self.control_patch
    }

    /// What is odd in these files, or between them, but does not prevent a launch.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

/// The text of `.test.env`, and the name to show it by.
fn test_env(inputs: &Inputs, tree: &Tree, path: &Path) -> Result<(String, String), OverlayError> {
    let read = |path: &Path, shown: &Path| {
        fs::read_to_string(path).map_err(|source| InputError::Unreadable { path: shown.to_owned(), source })
    };
    let shown = tree.shown(path);
    if let Some(given) = &inputs.test_env {
        return Ok((read(given, given)?, given.display().to_string()));
    }
    let staged = tree.staged(path);
    if staged.exists() {
        return Ok((read(&staged, &shown)?, shown.display().to_string()));
    }
    let with_ending = |path: &Path| PathBuf::from(format!("{}.tmpl", path.display()));
    let template = with_ending(&staged);
    if inputs.fill_in && template.exists() {
        let tag = tree.launcher_tag().map_or_else(|| "latest".to_owned(), |found| found.tag);
        let shown = with_ending(&shown);
        return Ok((placeholders::filled(&read(&template, &shown)?, &tag), format!("{} (filled in)", shown.display())));
    }
    Err(OverlayError::MissingFile {
        path: shown,
        remedy:
            "make it from the .test.env.tmpl beside it and fill in your Azure credentials, or name a file by K3S_ARC_TEST_ENV; \
                 with the stand-in as launcher, the template alone suffices"
                .to_owned(),
    })
}

/// A kustomization, read.
struct Read {
    folder: PathBuf,
    file: PathBuf,
    text: String,
    kustomization: Kustomization,
}

/// The folders that an overlay reaches, and what their kustomizations say. Paths are those of the original.
struct Tree {
    overlay: PathBuf,
    kustomizations: Vec<Read>,
    /// What the folders have in common.
    root: PathBuf,
    /// Where its copy is.
    copy: PathBuf,
    /// How it is shown.
    shown: PathBuf,
}

impl Tree {
    fn read(overlay: &Path) -> Result<Self, OverlayError> {
        let resolve = |path: &Path| path.canonicalize().map_err(|source| OverlayError::Copy { path: path.to_owned(), source });
        let overlay = resolve(overlay)?;
        let mut kustomizations = Vec::new();
        let mut seen = BTreeSet::from([overlay.clone()]);
        let mut pending = vec![overlay.clone()];
        while let Some(folder) = pending.pop() {
            let (kustomization, file, text) = Kustomization::read(&folder)?;
            for path in kustomization.reaches().map(|path| folder.join(path)).filter(|path| path.is_dir()) {
                let path = resolve(&path)?;
                if seen.insert(path.clone()) {
                    pending.push(path);
                }
            }
            kustomizations.push(Read { folder, file, text, kustomization });
        }
        let root = kustomizations
            .iter()
            .map(|read| read.folder.clone())
            .reduce(|a, b| common(&a, &b))
            .unwrap_or_else(|| overlay.clone());
        Ok(Self { copy: root.clone(), shown: root.clone(), overlay, kustomizations, root })
    }

    /// The same tree, which is in its place already and is shown as another.
    fn moved(mut self, copy: &Path, shown: &Path) -> Self {
        self.copy = copy.to_owned();
        self.shown = shown.to_owned();
        self
    }

    /// The same tree, its folders copied; `named` is how the user named the overlay.
    fn copied(mut self, named: &Path, to: &Path) -> Result<Self, OverlayError> {
        let mut budget = LIMIT_BYTES;
        for Read { folder, .. } in &self.kustomizations {
            let target = to.join(folder.strip_prefix(&self.root).unwrap_or(Path::new("")));
            if !copy_folder(folder, &target, &mut budget)? {
                return Err(OverlayError::TooBig { folder: named.to_owned(), megabytes: LIMIT_BYTES >> 20 });
            }
        }
        self.copy = to.to_owned();
        Ok(self)
    }

    /// Where a path of the original is in the copy.
    fn staged(&self, path: &Path) -> PathBuf {
        self.copy.join(path.strip_prefix(&self.root).unwrap_or(path))
    }

    /// How a path of the original is shown.
    fn shown(&self, path: &Path) -> PathBuf {
        self.shown.join(path.strip_prefix(&self.root).unwrap_or(path))
    }

    /// The folder of the kustomization with this generator, and the generator's file relative to it.
    fn generated(
        &self,
        file: fn(&Kustomization, &str, &str) -> Option<PathBuf>,
        generator: &'static str,
        name: &'static str,
        key: &'static str,
        place: &'static str,
    ) -> Result<(PathBuf, PathBuf), OverlayError> {
        self.kustomizations
            .iter()
            .find_map(|read| file(&read.kustomization, name, key).map(|file| (read.folder.clone(), file)))
            // Kustomize refuses files outside the kustomization's folder; so do we, before writing there.
            .filter(|(_, file)| file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)))
            .ok_or(OverlayError::NotGenerated { generator, name, file: key, place })
    }

    fn launcher_tag(&self) -> Option<LauncherTag> {
        self.kustomizations.iter().find_map(|read| {
            let source = Source::new(&self.shown(&read.file).display().to_string(), &read.text);
            read.kustomization.launcher_tag(source)
        })
    }
}

fn common(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(part, _)| part).collect()
}

/// Copies a folder; `false` when there is more than the budget allows.
fn copy_folder(from: &Path, to: &Path, budget: &mut u64) -> Result<bool, OverlayError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| OverlayError::Copy { path, source }
    };
    for entry in from.read_dir().map_err(fail(from))? {
        let entry = entry.map_err(fail(from))?;
        let path = entry.path();
        // A link's target, not the link: it may lead out of the tree.
        let metadata = fs::metadata(&path).map_err(fail(&path))?;
        if metadata.is_dir() {
            // A linked folder could lead back here.
            if entry.file_name() != ".git"
                && !entry.file_type().map_err(fail(&path))?.is_symlink()
                && !copy_folder(&path, &to.join(entry.file_name()), budget)?
            {
                return Ok(false);
            }
        } else if metadata.is_file() {
            let Some(left) = budget.checked_sub(metadata.len()) else { return Ok(false) };
            *budget = left;
            write(&to.join(entry.file_name()), &fs::read(&path).map_err(fail(&path))?)?;
        }
    }
    Ok(true)
}

/// Writes a file for this user alone.
fn write(path: &Path, content: &[u8]) -> Result<(), OverlayError> {
    let written = (|| {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(content)
    })();
    written.map_err(|source| OverlayError::Copy { path: path.to_owned(), source })
}

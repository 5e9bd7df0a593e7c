//! Trees, what they render to, and what is said of those that cannot be rendered.

mod against_kubectl;
mod generated;
mod objects;
mod refused;

use std::{fs, path::Path};

use tempfile::TempDir;

use super::*;
use crate::launcher::input::rendered;

/// The trees of `testdata`: each a file of what it is about, its files behind lines `-- path --`, and at the end what
/// `kubectl kustomize` makes of it.
const RENDERED: &str = "rendered";

struct Case {
    name: String,
    about: String,
    files: Vec<(String, String)>,
    rendered: String,
}

impl Case {
    fn parse(name: &str, text: &str) -> Self {
        let mut sections = vec![(String::new(), String::new())];
        for line in text.split_inclusive('\n') {
            match (line.trim_end().strip_prefix("-- ").and_then(|line| line.strip_suffix(" --")), sections.last_mut()) {
                (Some(path), _) => sections.push((path.to_owned(), String::new())),
                (None, Some((_, text))) => text.push_str(line),
                (None, None) => {}
            }
        }
        let mut take = |name: &str| {
            let at = sections.iter().position(|(path, _)| path == name);
            at.map(|at| sections.remove(at).1).unwrap_or_default()
        };
        let (about, rendered) = (take(""), take(RENDERED));
        Self { name: name.to_owned(), about, files: sections, rendered }
    }

    fn text(&self) -> String {
        let files: String = self.files.iter().map(|(path, text)| format!("-- {path} --\n{text}")).collect();
        format!("{}{files}-- {RENDERED} --\n{}", self.about, self.rendered)
    }

    fn laid_out(&self) -> TempDir {
        lay_out(&self.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>())
    }
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/launcher/kustomize/testdata")
}

fn cases() -> Vec<Case> {
    let entries = testdata().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<Case> = entries
        .map(|path| Case::parse(&path.file_stem().unwrap().to_string_lossy(), &fs::read_to_string(&path).unwrap()))
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn lay_out(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Renders the folder `overlay` of a tree, or the whole tree where there is none.
fn overlay(tree: &Path) -> PathBuf {
    let overlay = tree.join("overlay");
    if overlay.is_dir() { overlay } else { tree.to_owned() }
}

fn built(tree: &Path) -> Result<String, InputError> {
    let root = tree.canonicalize().unwrap();
    build(&overlay(&root), &move |path| path.strip_prefix(&root).unwrap_or(path).to_owned())
}

#[test]
fn every_recorded_tree_renders_as_kubectl_rendered_it() {
    let cases = cases();
    assert!(cases.len() > 25, "{} cases", cases.len());
    for case in cases {
        let tree = case.laid_out();
        let built = built(tree.path()).unwrap_or_else(|error| panic!("{}: {}", case.name, rendered(&error)));
        assert_eq!(built, case.rendered, "{}: {}", case.name, case.about);
    }
}

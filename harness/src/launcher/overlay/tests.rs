use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use tempfile::TempDir;

use super::*;
use crate::{
    cluster::{NodeAccess, NodeError, NodeOutput},
    launcher::{Stage, input::rendered, kustomize},
};

/// The built-in tree, staged for the stand-in, as kubectl 1.32 (Kustomize 5.5) renders it.
const RECORDED: &str = include_str!("../../../../tests/fixtures/rendered/k3s.yaml");

fn fill_in() -> Inputs {
    Inputs { fill_in: true, ..Inputs::default() }
}

/// A launcher folder on disk as upstream's is, with an overlay for K3s that a user added.
fn clone_of_upstream() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let launcher = folder.path().join("arc_data_services/test/launcher");
    for (path, text) in embedded::FILES {
        let path = launcher.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("resources:\n- ../../base", "bases:\n - ../../base")).unwrap();
    }
    fs::create_dir_all(launcher.join("overlays/aks")).unwrap();
    folder
}

fn stage(folder: &Path, inputs: &Inputs) -> Result<Staged, OverlayError> {
    Overlay::locate(Some(folder)).unwrap().stage(inputs)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_built_in_tree_is_staged_for_this_user_alone_and_removed() {
    let staged = Overlay::locate(None).unwrap().stage(&fill_in()).unwrap();
    assert_eq!(staged.warnings().len(), 0);
    assert_eq!(mode(staged.folder()), 0o700);
    let test_env = staged.folder().join("base/configs/.test.env");
    assert_eq!(mode(&test_env), 0o600);
    let folder = staged.folder().to_owned();
    drop(staged);
    assert!(!folder.exists());
}

#[test]
fn microsofts_launcher_needs_the_users_own_test_env() {
    let error = Overlay::locate(None).unwrap().stage(&Inputs::default()).unwrap_err();
    insta::assert_snapshot!(rendered(&error));
}

#[test]
fn a_given_test_env_is_used_with_its_overrides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.env");
    fs::write(&path, include_str!("../../../../tests/fixtures/filled.test.env")).unwrap();
    let inputs = Inputs {
        test_env: Some(path),
        overrides: vec![(Stage::Postclean.variable().to_owned(), "1".to_owned())],
        fill_in: false,
        ..Inputs::default()
    };
    let staged = Overlay::locate(None).unwrap().stage(&inputs).unwrap();
    assert_eq!(staged.test_env().get("RESOURCE_GROUP_NAME"), Some("arc-on-k3s"));
    assert!(staged.test_env().skips(Stage::Postclean));
    let written = fs::read_to_string(staged.folder().join("base/configs/.test.env")).unwrap();
    assert!(written.contains("export SKIP_POSTCLEAN=\"1\"\n") && !written.contains("export SKIP_POSTCLEAN=\"0\""));
}

#[test]
fn the_overlay_is_found_wherever_the_user_points() {
    let folder = clone_of_upstream();
    let launcher = folder.path().join("arc_data_services/test/launcher");
    for named in [folder.path().to_owned(), launcher.clone(), launcher.join("overlays/k3s")] {
        let staged = stage(&named, &fill_in()).unwrap();
        assert!(staged.overlay().ends_with("overlays/k3s"), "{staged:?}");
        assert!(staged.folder().join("base/launcher.yaml").exists());
        assert!(!staged.folder().join("overlays/aks").exists(), "only what the overlay reaches is copied");
    }
}

#[test]
fn the_trees_own_test_env_is_used_before_its_template() {
    let folder = clone_of_upstream();
    let own = folder.path().join("arc_data_services/test/launcher/base/configs/.test.env");
    fs::write(&own, include_str!("../../../../tests/fixtures/filled.test.env")).unwrap();
    let staged = stage(folder.path(), &fill_in()).unwrap();
    assert_eq!(staged.test_env().get("RESOURCE_GROUP_NAME"), Some("arc-on-k3s"));
}

#[test]
fn a_tree_without_an_overlay_for_k3s_is_told_from_one() {
    let folder = clone_of_upstream();
    fs::remove_dir_all(folder.path().join("arc_data_services/test/launcher/overlays/k3s")).unwrap();
    let error = Overlay::locate(Some(folder.path())).unwrap_err().to_string();
    assert!(error.ends_with("; there are overlays for aks"), "{error}");
}

#[test]
fn what_the_user_forgot_is_named() {
    let folder = clone_of_upstream();
    let overlay = folder.path().join("arc_data_services/test/launcher/overlays/k3s");
    fs::remove_file(overlay.join("configs/patch.json")).unwrap();
    let error = stage(folder.path(), &fill_in()).unwrap_err();
    assert!(
        matches!(&error, OverlayError::MissingFile { path, .. } if path.ends_with("overlays/k3s/configs/patch.json")),
        "{error:?}"
    );

    fs::write(overlay.join("kustomization.yaml"), "resources: [../../base]\n").unwrap();
    let error = stage(folder.path(), &fill_in()).unwrap_err();
    assert_eq!(error.to_string(), "no kustomization of the tree has a configMapGenerator `control-patch`");

    fs::write(overlay.join("kustomization.yaml"), "resources: [\n").unwrap();
    let error = stage(folder.path(), &fill_in()).unwrap_err();
    assert!(matches!(&error, OverlayError::Kustomization { .. }), "{error:?}");
}

#[test]
fn both_files_problems_are_told_at_once() {
    let folder = clone_of_upstream();
    let launcher = folder.path().join("arc_data_services/test/launcher");
    fs::write(launcher.join("base/configs/.test.env"), "export CONNECTIVITY_MODE=\"indirect\"\r\n").unwrap();
    fs::write(
        launcher.join("overlays/k3s/configs/patch.json"),
        include_str!("../../../../tests/fixtures/bad-inputs/json-pointer.patch.json"),
    )
    .unwrap();
    let Err(OverlayError::Input(InputError::Invalid { problems })) = stage(folder.path(), &fill_in()) else {
        panic!("both files are bad")
    };
    let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(told.contains("CRLF") && told.contains("SUBSCRIPTION_ID") && told.contains("JSON Pointer"), "{told}");
}

#[test]
fn a_file_outside_the_tree_is_not_written() {
    let folder = clone_of_upstream();
    let base = folder.path().join("arc_data_services/test/launcher/base/kustomization.yaml");
    let text = fs::read_to_string(&base).unwrap();
    fs::write(&base, text.replace("configs/.test.env", "../../../../../../../../.test.env")).unwrap();
    let error = stage(folder.path(), &fill_in()).unwrap_err();
    assert!(matches!(error, OverlayError::NotGenerated { .. }), "{error:?}");
}

#[test]
fn a_folder_that_was_not_meant_is_not_copied() {
    let folder = clone_of_upstream();
    let big = fs::File::create(folder.path().join("arc_data_services/test/launcher/base/image.tar")).unwrap();
    big.set_len(9 << 20).unwrap();
    let error = stage(folder.path(), &fill_in()).unwrap_err();
    assert!(matches!(error, OverlayError::TooBig { megabytes: 8, .. }), "{error:?}");
}

#[test]
fn a_rendering_is_read_in_its_order() {
    let rendered = Rendered::parse(RECORDED).unwrap();
    insta::assert_snapshot!(format!("{rendered:#?}"));
}

#[test]
fn the_built_in_tree_renders_here_as_it_was_recorded() {
    let staged = Overlay::locate(None).unwrap().stage(&fill_in()).unwrap();
    assert_eq!(kustomize::build(staged.overlay(), &|path| staged.shown(path)).unwrap(), RECORDED);
}

#[tokio::test]
async fn what_cannot_be_rendered_here_is_told_where_it_stands_in_the_users_own_tree() {
    let folder = clone_of_upstream();
    let overlay = folder.path().join("arc_data_services/test/launcher/overlays/k3s/kustomization.yaml");
    fs::write(&overlay, fs::read_to_string(&overlay).unwrap() + "helmCharts:\n- name: x\n").unwrap();
    let staged = stage(folder.path(), &fill_in()).unwrap();
    let error = Renderer::BuiltIn.render(&staged).await.unwrap_err();
    let root = folder.path().canonicalize().unwrap();
    insta::assert_snapshot!(rendered(&error).replace(&root.display().to_string(), "{root}"));
}

/// The recording must be renewed when the tree changes: `kubectl kustomize` of a staged copy.
#[test]
fn the_recorded_rendering_is_of_the_built_in_tree() {
    let staged = Overlay::locate(None).unwrap().stage(&fill_in()).unwrap();
    let objects = Rendered::parse(RECORDED).unwrap().into_objects();
    let secret: Secret = objects[4].clone().try_parse().unwrap();
    let config_map: ConfigMap = objects[3].clone().try_parse().unwrap();
    let read = |path: &str| fs::read_to_string(staged.folder().join(path)).unwrap();
    let test_env = String::from_utf8(secret.data.unwrap()[".test.env"].0.clone()).unwrap();
    assert_eq!(test_env, read("base/configs/.test.env"));
    assert_eq!(config_map.data.unwrap()["patch.json"], read("overlays/k3s/configs/patch.json"));
}

#[test]
fn what_is_no_rendering_is_told_without_its_text() {
    for text in [
        "",
        "kind: Secret\ndata: {x: aHVudGVyMg==}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {x: [aHVudGVyMg==\n",
    ] {
        let error = format!("{:?}", Rendered::parse(text).unwrap_err());
        assert!(!error.contains("aHVudGVyMg"), "{error}");
    }
}

/// A node that answers `sh` with a rendering, or as told.
#[derive(Debug, Default)]
struct FakeNode {
    stderr: &'static str,
    broken_unpack: bool,
    seen: Mutex<Vec<String>>,
    unpacked: Mutex<Vec<(PathBuf, u32)>>,
}

impl NodeAccess for FakeNode {
    fn exec<'a>(&'a self, command: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>> {
        async move {
            let shown = if command[0] == "sh" { format!("sh {}", command[3..].join(" ")) } else { command.join(" ") };
            self.seen.lock().unwrap().push(shown);
            let renders = command[0] == "sh";
            let fails = renders && !self.stderr.is_empty();
            Ok(NodeOutput {
                exit_code: i64::from(fails),
                stdout: if renders && !fails { RECORDED.to_owned() } else { String::new() },
                stderr: if fails { self.stderr.replace("{folder}", command[4]) } else { String::new() },
            })
        }
        .boxed()
    }

    fn unpack<'a>(&'a self, archive: Vec<u8>, directory: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            self.seen.lock().unwrap().push(format!("unpack {directory}"));
            let mut archive = tar::Archive::new(archive.as_slice());
            let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
            self.unpacked
                .lock()
                .unwrap()
                .extend(entries.map(|entry| (entry.path().unwrap().into_owned(), entry.header().mode().unwrap())));
            if self.broken_unpack {
                return Err(NodeError::Unreachable { command: "tar".to_owned(), source: "no space left".into() });
            }
            Ok(())
        }
        .boxed()
    }
}

#[tokio::test]
async fn the_node_renders_and_keeps_nothing() {
    let node = FakeNode::default();
    let staged = Overlay::locate(None).unwrap().stage(&fill_in()).unwrap();
    let rendered = Renderer::Node(&node).render(&staged).await.unwrap();
    assert_eq!(rendered.objects().len(), 6);
    let name = format!("/tmp/{}", staged.folder().file_name().unwrap().to_string_lossy());
    let expected = [format!("mkdir -p -m 0700 {name}"), format!("unpack {name}"), format!("sh render {name} overlays/k3s")];
    assert_eq!(*node.seen.lock().unwrap(), expected, "the command that renders also removes");
    let unpacked = node.unpacked.lock().unwrap();
    assert!(unpacked.contains(&("base/configs/.test.env".into(), 0o600)), "{unpacked:?}");
}

#[tokio::test]
async fn a_node_that_fails_midway_is_cleaned() {
    let node = FakeNode { broken_unpack: true, ..FakeNode::default() };
    let staged = Overlay::locate(None).unwrap().stage(&fill_in()).unwrap();
    let error = Renderer::Node(&node).render(&staged).await.unwrap_err();
    assert!(matches!(error, OverlayError::NoRenderer { .. }), "{error:?}");
    let seen = node.seen.lock().unwrap();
    assert!(seen.last().unwrap().starts_with("rm -rf /tmp/k3s-arc-overlay-"), "{seen:?}");
}

#[tokio::test]
async fn what_kustomize_says_is_told_of_the_users_own_tree_without_secrets() {
    let node = FakeNode {
        stderr: "error: the-stand-in-needs-none: lstat {folder}/overlays/k3s/nope.yaml: no such file",
        ..FakeNode::default()
    };
    let staged = Overlay::locate(None).unwrap().stage(&fill_in()).unwrap();
    let error = Renderer::Node(&node).render(&staged).await.unwrap_err();
    insta::assert_snapshot!(rendered(&error));
}

#[test]
fn the_built_in_tree_asks_for_another_class_where_the_cluster_has_no_local_path() {
    let inputs = Inputs { storage_class: Some("managed-csi".to_owned()), ..fill_in() };
    let staged = Overlay::locate(None).unwrap().stage(&inputs).unwrap();
    let rendered = crate::launcher::kustomize::build(staged.overlay(), &|path| path.to_owned()).unwrap();
    assert!(rendered.contains("managed-csi") && !rendered.contains("local-path"), "{rendered}");
    assert_eq!(staged.test_env().get("KUBERNETES_STORAGECLASS"), Some("managed-csi"));
    assert_eq!(staged.warnings().len(), 1, "all places name the same class, which is not K3s's own: {:?}", staged.warnings());
}

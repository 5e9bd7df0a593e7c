//! What runs left elsewhere, whose directory this configuration does not know: a temporary one, and the machine went down meanwhile.

use std::{
    collections::HashMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use k3s_arc_harness::{
    cluster::{docker, host},
    fixture::{Target, Verdict},
};
use rstest::rstest;
use testcontainers::bollard::{models::VolumeCreateRequest, query_parameters::RemoveVolumeOptions};

use crate::OWN;

/// A process that was there before any other, and is not there now.
const GONE: (u32, u64) = (4_194_304, 1);

/// A run that has a directory and a volume, and no process.
struct Left {
    directory: PathBuf,
    volume: String,
}

impl Left {
    /// As a run of this test leaves it that keeps its clusters so.
    async fn new(parent: &Path, which: &str, keep: &str) -> Self {
        let id = format!("left-{which}-{}", std::process::id());
        let directory = parent.join(&id);
        let cluster = directory.join("clusters/one");
        fs::create_dir_all(&cluster).expect("a directory");
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).expect("it is ours");
        let (pid, started) = GONE;
        let run = format!(r#"{{"id":"{id}","root":{{"pid":{pid},"started":{started}}},"keep":"{keep}","keep_seconds":3600}}"#);
        fs::write(directory.join("run.json"), run).expect("a record");
        let cluster_record =
            r#"{"provider":"docker","run":"","version":"","standin_image":"","capabilities":[],"handle":"","commands":[]}"#;
        fs::write(cluster.join("cluster.json"), cluster_record).expect("a record of a cluster");
        fs::write(directory.join("docker"), "").expect("a mark");

        let labels = HashMap::from([
            ("k3s-arc.run".to_owned(), id.clone()),
            ("k3s-arc.host".to_owned(), host()),
            ("k3s-arc.owner".to_owned(), format!("{pid}@{started}")),
            ("k3s-arc.directory".to_owned(), directory.display().to_string()),
        ]);
        let volume = VolumeCreateRequest { name: Some(id.clone()), labels: Some(labels), ..VolumeCreateRequest::default() };
        docker::client().await.expect("an engine").create_volume(volume).await.expect("a volume");
        Self { directory, volume: id }
    }

    /// Whether its directory and its volume are there; then they are not any more.
    async fn was_there(&self) -> (bool, bool) {
        let engine = docker::client().await.expect("an engine");
        let there = (self.directory.exists(), engine.inspect_volume(&self.volume).await.is_ok());
        // One that is gone already is as it should be.
        let _ = engine.remove_volume(&self.volume, None::<RemoveVolumeOptions>).await;
        there
    }
}

fn down(directory: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_k3s-arc"));
    let down = command.args(["down", "--all"]).env("K3S_ARC_RUN_DIR", directory).env_remove("NEXTEST_RUN_ID");
    let output = down.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_run_elsewhere_that_nobody_ends_is_removed_and_one_that_is_kept_is_not(#[case] _target: Target) -> Verdict {
    let (here, elsewhere) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    let abandoned = Left::new(elsewhere.path(), "abandoned", "never").await;
    let kept = Left::new(elsewhere.path(), "kept", "always").await;
    let told = down(&here.path().join("runs"));
    let (abandoned_was, kept_was) = (abandoned.was_there().await, kept.was_there().await);
    assert_eq!(abandoned_was, (false, false), "{told}");
    assert_eq!(kept_was, (true, true), "{told}");
    assert!(told.contains(&format!("removed volume {}, of a run that nobody knows any more", abandoned.volume)), "{told}");
    Ok(())
}

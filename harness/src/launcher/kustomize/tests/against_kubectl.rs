//! The same trees by a `kubectl` of this machine.

use std::process::Command;

use super::*;

/// What to run: `K3S_ARC_KUBECTL`, or else `kubectl`.
fn kubectl() -> Command {
    Command::new(std::env::var_os("K3S_ARC_KUBECTL").unwrap_or_else(|| "kubectl".into()))
}

/// What the real one makes of a folder: YAML, or why it refuses.
pub(super) fn kustomized(folder: &Path) -> Result<String, String> {
    let output = kubectl().arg("kustomize").arg(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Whether it is recent enough to compare with: 5.7 is what kubectl 1.34 has; those before render some things otherwise.
pub(super) fn check_version() {
    let output = kubectl().args(["version", "--client", "-o", "yaml"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split("kustomizeVersion: v").nth(1).unwrap_or_else(|| panic!("no Kustomize in this kubectl: {text}"));
    let mut parts = version.split('.').map(|part| part.trim().parse().unwrap_or(0));
    let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    assert!(version >= (5, 7), "Kustomize {version:?} is too old");
}

/// With `K3S_ARC_RECORD`, the recordings become what it says.
#[test]
#[ignore = "needs a kubectl with Kustomize 5.7 or later on PATH, or in K3S_ARC_KUBECTL"]
fn the_recordings_are_what_kubectl_says() {
    check_version();
    for mut case in cases() {
        let tree = case.laid_out();
        let real = kustomized(&overlay(tree.path())).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        if std::env::var_os("K3S_ARC_RECORD").is_some() {
            case.rendered = real;
            fs::write(testdata().join(format!("{}.txt", case.name)), case.text()).unwrap();
        } else {
            assert_eq!(case.rendered, real, "{}", case.name);
        }
    }
}

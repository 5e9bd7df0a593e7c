//! Builds the stand-in as a static Linux binary and hands it to the harness to embed.
//!
//! A bare `cargo run` and a bare `cargo test` must come to have the image that probes and the stand-in run
//! in, without Docker, a registry or a step before. Cargo has no stable way to depend on another package's
//! binary built with flags of its own (`-Z bindeps` is unstable), so this script calls Cargo once more, into a
//! target directory of its own beside the outer one's (the same directory would be locked).
//!
//! The musl target that people use for static binaries is a download; `+crt-static` on the GNU target is
//! not. Hosts other than Linux cannot link it: there the harness asks for a published image by name
//! (`K3S_ARC_STANDIN_IMAGE`).

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

/// The profile in the workspace's Cargo.toml that keeps the binary small.
const PROFILE: &str = "standin";
const BINARY: &str = "k3s-arc-standin";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rustc-check-cfg=cfg(embedded_standin)");
    println!("cargo::rerun-if-changed=build.rs");
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    let container = ["emulator/container/src", "emulator/container/Cargo.toml"];
    for input in ["standin/src", "standin/Cargo.toml", "Cargo.toml", "Cargo.lock"].iter().chain(&container) {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" || env::var("CARGO_CFG_TARGET_ENV")? != "gnu" {
        return Ok(());
    }
    let binary = build(&workspace)?;
    println!("cargo::rustc-cfg=embedded_standin");
    println!("cargo::rustc-env=K3S_ARC_STANDIN_BINARY={}", binary.display());
    Ok(())
}

fn build(workspace: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = env::var("TARGET")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // target/<profile>/build/<package>/out
    let target_dir = out.ancestors().nth(4).ok_or("OUT_DIR is not inside a target directory")?.join("standin");
    let mut cargo = Command::new(env::var("CARGO")?);
    // What the outer build was told about flags and wrappers (clippy's among them) is not meant for this one.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_ENCODED")
            || name.starts_with("CARGO_PROFILE")
            || name.starts_with("RUSTC_")
            || name == "RUSTFLAGS"
        {
            cargo.env_remove(&*name);
        }
    }
    let status = cargo
        .current_dir(workspace)
        .args(["build", "--quiet", "--locked", "--package", BINARY, "--bin", BINARY, "--profile", PROFILE])
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .status()?;
    if !status.success() {
        return Err(format!("the stand-in did not build as a static {target} binary ({status}); its errors are above").into());
    }
    Ok(target_dir.join(target).join(PROFILE).join(BINARY))
}

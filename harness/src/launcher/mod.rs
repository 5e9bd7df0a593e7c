//! The launcher: its overlay, its inputs, and a launch from apply to clean-up.

mod consistency;
mod control_patch;
mod input;
mod kustomize;
mod launch;
mod overlay;
mod secret;
mod test_env;

use std::time::Duration;

pub use self::{
    control_patch::ControlPatch,
    input::{InputError, Problem},
    launch::{Launch, LaunchError, LaunchOptions, LauncherMode, POD_READY},
    overlay::{Inputs, Overlay, OverlayError, Rendered, Renderer, Staged},
    secret::{Masker, Secret},
    test_env::{ConnectivityMode, Stage, TestEnv},
};

/// How a launch ended.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// The launcher container's exit code: its tests' return code.
    pub exit_code: i32,
    /// Why its container ended, as Kubernetes says: `Completed`, `Error`, `OOMKilled` ...
    pub reason: String,
    /// Whether the stand-in played the launcher and the data services.
    pub standin: bool,
    /// The image that ran as launcher.
    pub image: String,
    /// The namespace the launcher put the data services in (`ns<epoch>`); empty where it made none.
    pub namespace: String,
    /// The name of the DataController (`dc<epoch>`); empty where it made none.
    pub data_controller: String,
    /// From apply to the launcher pod's Ready.
    pub pod_ready_after: Duration,
    /// From apply to the launcher's exit.
    pub took: Duration,
    /// The launcher's whole log, secrets masked.
    pub log: String,
}

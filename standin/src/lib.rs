//! The stand-in: plays the Arc launcher, controller and components where Microsoft's images are not to be had.
//!
//! One binary, a role per subcommand. It is real Kubernetes work on a real cluster, with only Microsoft's
//! logic left out. [`run`] is the whole of it, in a container and in an emulated node.
//!
//! | role | what it does |
//! | --- | --- |
//! | [`launcher`] | runs the stages of `arc-ci-launcher`, in the pod of its Job |
//! | [`bootstrapper`] | reconciles a DataController into the components of [`arc::COMPONENTS`] |
//! | [`component`] | one of those: a server that keeps data; and the sidecar beside it |
//! | [`probe`] | looks from inside a pod, and reports |

pub mod arc;
pub mod bootstrapper;
pub mod component;
pub mod control_patch;
pub mod kubernetes;
pub mod launcher;
pub mod log;
mod manifest;
mod pod_state;
pub mod probe;
mod roles;
pub mod shutdown;
mod subset;
pub mod test_env;
#[cfg(test)]
mod testing;

pub use roles::run;

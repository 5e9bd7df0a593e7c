//! A K3s cluster inside the process, as K3s v1.34.1 is: its API, what happens behind it, and nodes that run pods.
//!
//! kubectl, kube-rs and client-go talk to it as they talk to K3s: over HTTPS, with certificates or tokens. What it answers is
//! measured against recordings of a real K3s (`tests/replay.rs`); what it does not emulate, it refuses with an error that says so.
//!
//! Pods run as tasks of this process. An image is a [`container::Image`]: programs written in Rust that see the files, the network, the
//! limits and the signals of their container ([`container::Process`]). CoreDNS and local-path are such programs, and so is a busybox,
//! with a shell, that is there from the start; [`Builder::image`] adds others.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use k3s_arc_emulator::Emulator;
//!
//! let emulator = Emulator::builder().start().await?;
//! std::fs::write("kubeconfig", emulator.kubeconfig())?;
//! // KUBECONFIG=kubeconfig kubectl get namespaces
//! emulator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! What goes wrong on a real cluster goes wrong here on demand: [`Emulator::fail_pulls`], [`Emulator::node`], [`Emulator::server`].
//! [`Builder::speed`] lets the cluster's time pass faster for who does not want to wait for a back-off of five minutes.
//!
//! With the feature `client`, a test has a kube client in one line; the cluster is gone when the emulator is dropped.
//!
#![cfg_attr(feature = "client", doc = "```")]
#![cfg_attr(not(feature = "client"), doc = "```ignore")]
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use k3s_arc_emulator::Emulator;
//! use kube::api::{Api, DynamicObject, ListParams};
//! use kube::core::{ApiResource, GroupVersionKind};
//!
//! let emulator = Emulator::builder().start().await?;
//! let client = emulator.client().await?;
//! let namespaces = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
//! let all = Api::<DynamicObject>::all_with(client, &namespaces).list(&ListParams::default()).await?;
//! assert!(all.items.iter().any(|namespace| namespace.metadata.name.as_deref() == Some("kube-system")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod admission;
mod api;
mod boot;
mod clock;
mod cluster;
mod controllers;
mod custom;
mod dns;
mod emulator;
mod faults;
pub mod field;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod kinds;
pub mod merge;
mod net;
mod node;
mod packaged;
mod passing;
mod proto;
mod registry;
mod scheduler;
pub mod schema;
pub mod selector;
pub mod status;
mod store;
mod table;
mod verbs;

pub use access::authority::AuthorityError;
pub use api::server::EMULATED;
#[cfg(feature = "client")]
pub use emulator::ClientError;
pub use emulator::{Builder, Emulator, StartError};
pub use faults::ServerControl;
pub use k3s_arc_container as container;
pub use node::NodeSpec;
pub use node::command::NodeOutput;
pub use node::control::NodeControl;
pub use node::images::{PullFailure, PullFault};
pub use node::kubelet::Pressure;

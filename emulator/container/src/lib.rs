//! What a program in a container has: arguments, environment, files, a network, limits, signals.
//!
//! A program that is written against a [`Process`] instead of `std::env`, `std::fs` and sockets runs in both worlds: as the one process
//! of a real container ([`Process::native`]), and as a task of a process that emulates a node, with a root folder, an address and
//! limits of its own. It needs neither root nor a kernel's namespaces there, and many of them fit into one test binary.
//!
//! ```
//! use k3s_arc_container::{Image, Process};
//! use std::io::Write as _;
//!
//! async fn greet(mut process: Process) -> i32 {
//!     let name = process.var("NAME").unwrap_or("nobody").to_owned();
//!     match writeln!(process.stdout, "hello, {name}") {
//!         Ok(()) => 0,
//!         Err(_) => 1,
//!     }
//! }
//!
//! let image = Image::new().program("/bin/greet", greet).entrypoint(["/bin/greet"]).env("NAME", "world");
//! ```

mod breath;
mod container;
mod executable;
pub mod files;
mod image;
mod limits;
mod net;
mod pipe;
mod process;
pub mod processes;
mod program;
pub mod resolver;
mod signals;
mod stdio;

pub use breath::{breathe, poll_breath};
pub use container::{Container, User};
pub use executable::Executable;
pub use files::Files;
pub use image::Image;
pub use limits::{Allocation, Cpu, Memory, Throttling};
pub use net::{HostNet, Net, Transport};
pub use process::Process;
pub use processes::Processes;
pub use program::{DEFAULT_PATH, NotFound, Program, Programs};
pub use resolver::{ResolveError, Resolver};
pub use signals::{INTERRUPT, KILL, Killer, Signals, TERMINATE};
pub use stdio::{Input, Output};

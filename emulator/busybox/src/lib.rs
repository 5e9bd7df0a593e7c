//! The busybox of emulated containers: a shell and the commands that test pods and probes run.
//!
//! Each is a program of its container ([`k3s_arc_container::Program`]): a task of this process, which has the container's files, network,
//! limits and processes and nothing else; no command is run, and no file is touched, outside of it. Their messages and exit codes are
//! those of busybox 1.36; what is left out is not there, as a shell says it (`sh: vi: not found`).

mod applet;
mod applets;
mod condition;
mod deep;
mod duration;
mod echo;
mod escapes;
mod expression;
mod held;
mod inherited;
mod kill;
mod mode;
mod printf;
mod proc;
mod reason;
mod shell;
mod streams;
mod users;
mod view;

use std::future::Future;

use k3s_arc_container::{Image, Process, Program};

/// Who there is in it.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\n";

/// The image.
#[must_use]
pub fn image() -> Image {
    let mut image = Image::new()
        .program("/bin/sh", process_of(shell::sh))
        .program("/bin/ash", process_of(shell::sh))
        .program("/bin/busybox", process_of(applets::busybox))
        .file("/etc/passwd", PASSWD, 0o644)
        .file("/etc/group", GROUP, 0o644)
        .env("PATH", k3s_arc_container::DEFAULT_PATH)
        .command(["sh"]);
    for known in applets::all() {
        image = image.program(format!("/bin/{}", known.name), process_of(move |process| applets::run(known, process)));
    }
    image
}

/// A program whose processes are listed among those of its container, whoever starts them.
fn process_of<F, Running>(run: F) -> impl Program
where
    F: Fn(Process) -> Running + Send + Sync + 'static,
    Running: Future<Output = i32> + Send + 'static,
{
    let run = std::sync::Arc::new(run);
    move |process: Process| {
        let run = run.clone();
        async move {
            let processes = &process.container.processes;
            if processes.pid_of(&process.signals).is_some() {
                return run(process).await;
            }
            let entry = processes.enter(0, &process);
            entry.run(run(process)).await.code()
        }
    }
}

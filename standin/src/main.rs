//! The stand-in as a program of the operating system's: the one process of a container.

use std::process::ExitCode;

use k3s_arc_container::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Process::native() {
        // A program's exit code is what fits into a byte.
        Ok(process) => u8::try_from(k3s_arc_standin::run(process).await).map_or(ExitCode::FAILURE, ExitCode::from),
        // Without handlers of signals it could not be stopped.
        Err(_) => ExitCode::FAILURE,
    }
}

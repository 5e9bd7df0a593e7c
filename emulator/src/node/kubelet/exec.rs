//! Commands in running containers.

use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use k3s_arc_container::{Input, Output, Signals};

use super::Streams;
use super::attempt::{Attempt, CRASHED, KILLED, new_id, words_of};

/// Runs a command to its end, or to the container's. Returns its exit code.
///
/// # Errors
/// As runc says it, when there is no such program.
pub(super) async fn run(attempt: &Arc<Attempt>, command: &[String], streams: Streams) -> Result<i32, String> {
    let found = attempt.recipe.executable(command);
    let found = found.map_err(|why| format!("OCI runtime exec failed: exec failed: unable to start container process: {why}"))?;
    let (_killer, signals) = Signals::by_hand();
    let mut stderr = streams.stderr.clone();
    let process = attempt.process(found.command(command.to_vec()), streams.stdin, streams.stdout, streams.stderr, signals);
    let entry = attempt.recipe.container.processes.enter(0, &process);
    let running = async move {
        let running = AssertUnwindSafe(async move { found.program.run(process).await });
        running.catch_unwind().await.unwrap_or_else(|panic| {
            // Whoever reads it may be gone.
            let _ = writeln!(stderr, "panicked: {}", words_of(&*panic));
            CRASHED
        })
    };
    tokio::select! {
        ended = entry.run(running) => Ok(ended.code() & 0xff),
        () = attempt.exited() => Ok(KILLED),
    }
}

/// The most bytes of a command's output that the kubelet keeps for itself.
const MOST_OUTPUT: usize = 10 * 1024;

/// Runs a command, both outputs of which are kept together. Returns its exit code and the output.
///
/// # Errors
/// As the runtime says it, when it could not be started.
pub(super) async fn output(attempt: &Arc<Attempt>, command: &[String]) -> Result<(i32, String), String> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    let sink = Output::new(move |bytes| {
        let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    });
    let streams = Streams { stdin: Input::empty(), stdout: sink.clone(), stderr: sink };
    let code = run(attempt, command, streams).await.map_err(|why| {
        format!("rpc error: code = Unknown desc = failed to exec in container: failed to start exec \"{}\": {why}", new_id())
    })?;
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((code, String::from_utf8_lossy(&kept).into_owned()))
}

//! Commands on a node itself, by busybox: what a person would log in for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use k3s_arc_container::{Container, Cpu, Input, Memory, Output, Process, Signals};

use super::Node;

/// How a command ended, and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOutput {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained.
    pub stderr: Vec<u8>,
}

/// What is written, kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn output(&self) -> Output {
        let kept = self.0.clone();
        Output::new(move |bytes| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(())
        })
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs a command as root, in the node's own files and network.
pub(crate) async fn run(node: &Node, command: &[String]) -> NodeOutput {
    let (stdout, stderr) = (Kept::default(), Kept::default());
    let container = Container {
        files: node.files(),
        net: node.network.host(node.number),
        memory: Arc::new(Memory::unlimited()),
        cpu: Arc::new(Cpu::unlimited()),
        programs: k3s_arc_busybox::image().programs,
        hostname: node.name().to_owned(),
        processes: Arc::default(),
    };
    let found = match container.executable(command.first().map_or("", String::as_str), Path::new("/"), None) {
        Ok(found) => found,
        // As a shell says it.
        Err(error) => return NodeOutput { code: 127, stdout: Vec::new(), stderr: format!("{error}\n").into_bytes() },
    };
    let (_killer, signals) = Signals::by_hand();
    let process = Process {
        args: found.command(command.to_vec()),
        env: BTreeMap::from([("PATH".to_owned(), k3s_arc_container::DEFAULT_PATH.to_owned())]),
        cwd: PathBuf::from("/"),
        stdin: Input::empty(),
        stdout: stdout.output(),
        stderr: stderr.output(),
        signals,
        container: Arc::new(container),
    };
    let code = found.program.run(process).await;
    NodeOutput { code, stdout: stdout.take(), stderr: stderr.take() }
}

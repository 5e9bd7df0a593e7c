//! The node itself, through the VM that it is.

use std::{net::Ipv4Addr, time::Duration};

use futures::{FutureExt, future::BoxFuture};

use super::{
    MultipassError,
    command::{CallError, Input, Multipass, Output},
    info::{State, Vm},
    launch,
};
use crate::cluster::{Machine, MachineState, NodeAccess, NodeError, NodeOutput};

/// How long a command may take in a VM: several times what the slowest (a rendering by kubectl) takes.
const COMMAND: Duration = Duration::from_secs(120);

/// How long a file may take to get into a VM. K3s's own images are of half a gigabyte, and users bring theirs.
const TRANSFER: Duration = Duration::from_secs(900);

/// How long Multipass may take to tell how a VM is. It asks a VM that runs for its addresses, by SSH.
const LOOK: Duration = Duration::from_secs(15);

/// K3s's API in a VM: <https://docs.k3s.io/installation/requirements#networking>.
pub(super) const API_PORT: u16 = 6443;

/// Where files get into a VM: what `transfer` writes is the user's, in whose home there is room.
const UPLOAD: &str = "/home/ubuntu/k3s-arc.upload";

/// A VM of ours.
#[derive(Debug)]
pub(super) struct VmNode {
    multipass: Multipass,
    name: String,
    /// Uploads have one place, and are many.
    uploads: tokio::sync::Mutex<()>,
}

impl VmNode {
    pub(super) fn new(multipass: Multipass, name: String) -> Self {
        Self { multipass, name, uploads: tokio::sync::Mutex::new(()) }
    }

    /// The node of a VM that runs, or is suspended.
    pub(super) async fn running(multipass: Multipass, name: String) -> Result<Self, MultipassError> {
        let vm = launch::look(&multipass, &name, launch::ANSWER).await?;
        let state = vm.as_ref().map_or(MachineState::Gone, state);
        if state.is_over() {
            return Err(MultipassError::Gone { name, state });
        }
        Ok(Self::new(multipass, name))
    }

    /// Runs a command as root. One in a VM that is stopped would start it: `exec` does so of itself.
    pub(super) async fn sudo(&self, command: &[&str], limit: Duration) -> Result<Output, CallError> {
        let arguments = ["exec", &self.name, "--", "sudo"];
        let arguments: Vec<&str> = arguments.iter().chain(command).copied().collect();
        let output = self.multipass.call(&arguments, Input::Nothing, limit).await?;
        if output.is_multipasss_own() {
            let command = format!("multipass exec {} -- sudo {}", self.name, command.first().unwrap_or(&""));
            return Err(CallError::Failed { command, code: output.code, output: output.all() });
        }
        Ok(output)
    }

    /// Puts a file into the VM, with this mode and root for its owner; its directory is made.
    pub(super) async fn upload(&self, input: Input<'_>, path: &str, mode: &str) -> Result<(), CallError> {
        let _one_after_the_other = self.uploads.lock().await;
        self.transfer(input).await?;
        let script = r#"mkdir -p "$(dirname "$2")" && chown root:root "$0" && chmod "$1" "$0" && mv "$0" "$2""#;
        let moved = self.sudo(&["sh", "-c", script, UPLOAD, mode, path], COMMAND).await?;
        succeeded(&format!("mv {UPLOAD} {path}"), moved).map(drop)
    }

    async fn transfer(&self, input: Input<'_>) -> Result<(), CallError> {
        self.multipass.run(&["transfer", "-", &format!("{}:{UPLOAD}", self.name)], input, TRANSFER).await.map(drop)
    }

    async fn unpacked(&self, archive: &[u8], directory: &str) -> Result<NodeOutput, CallError> {
        let _one_after_the_other = self.uploads.lock().await;
        self.transfer(Input::Bytes(archive)).await?;
        let script = r#"tar -x -C "$1" -f "$0"; code=$?; rm -f "$0"; exit $code"#;
        self.sudo(&["sh", "-c", script, UPLOAD, directory], COMMAND).await.map(node_output)
    }
}

/// What a command in a VM printed, if it ended with 0.
pub(super) fn succeeded(command: &str, output: Output) -> Result<String, CallError> {
    match output.code {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        code => Err(CallError::Failed { command: command.to_owned(), code, output: output.all() }),
    }
}

fn node_output(output: Output) -> NodeOutput {
    NodeOutput {
        exit_code: output.code.map_or(-1, i64::from),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: output.stderr,
    }
}

/// What became of a call, as one on a node.
fn on_the_node<T>(command: String, called: Result<T, CallError>) -> Result<T, NodeError> {
    called.map_err(|error| match error {
        CallError::Silent { after, .. } => NodeError::Silent { attempted: format!("`{command}`"), after },
        error => NodeError::Unreachable { command, source: error.into() },
    })
}

/// How a VM is, as a machine.
pub(super) fn state(vm: &Vm) -> MachineState {
    match vm.state {
        State::Suspending | State::Suspended => MachineState::Paused,
        State::Stopped | State::Unavailable => MachineState::Stopped,
        // It can be recovered from the trash, and nobody of us does.
        State::Deleted => MachineState::Gone,
        State::Running if vm.address().is_none() => MachineState::Unreachable,
        // What is on its way runs again, or has ended, at the next look.
        State::Running | State::Starting | State::Restarting | State::DelayedShutdown => MachineState::Running,
        // Multipass says so of a VM that does not answer it.
        State::Unknown | State::Other(_) => MachineState::Unreachable,
    }
}

/// Where a VM's API is.
pub(super) fn api(address: Ipv4Addr) -> String {
    format!("{address}:{API_PORT}")
}

impl NodeAccess for VmNode {
    fn exec<'a>(&'a self, command: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>> {
        async move { on_the_node(command.join(" "), self.sudo(command, COMMAND).await.map(node_output)) }.boxed()
    }

    fn unpack<'a>(&'a self, archive: Vec<u8>, directory: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            let command = format!("tar -x -C {directory}");
            let unpacked = on_the_node(command.clone(), self.unpacked(&archive, directory).await)?;
            unpacked.success(&[&command]).map(drop)
        }
        .boxed()
    }

    fn machine(&self) -> BoxFuture<'_, Result<Option<Machine>, NodeError>> {
        async move {
            let looked = launch::look(&self.multipass, &self.name, LOOK).await;
            let looked = looked.map_err(|source| NodeError::Host { host: "Multipass".to_owned(), source: source.into() })?;
            Ok(Some(Machine {
                kind: "VM".to_owned(),
                name: self.name.clone(),
                state: looked.as_ref().map_or(MachineState::Gone, state),
                restarted: None,
                api: looked.as_ref().and_then(Vm::address).map(api),
            }))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::command::tests::scripted, *};

    #[rstest]
    #[case::running("Running", r#""10.97.0.76", "10.42.0.1""#, "VM vm runs", Some("10.97.0.76:6443"))]
    #[case::lost_its_address("Running", r#""10.42.0.1""#, "VM vm runs, and is not reached", None)]
    #[case::suspended("Suspended", "", "VM vm is paused", None)]
    #[case::stopped("Stopped", "", "VM vm is stopped", None)]
    #[case::deleted("Deleted", "", "VM vm does not exist any more", None)]
    #[case::starting("Starting", "", "VM vm runs", None)]
    #[case::stuck("Unknown", "", "VM vm runs, and is not reached", None)]
    #[tokio::test]
    async fn a_vms_state_is_told(#[case] state: &str, #[case] ipv4: &str, #[case] told: &str, #[case] api: Option<&str>) {
        let directory = tempfile::tempdir().unwrap();
        let script = format!(r#"echo '{{"info": {{"vm": {{"state": "{state}", "ipv4": [{ipv4}]}}}}}}'"#);
        let node = VmNode::new(scripted(directory.path(), &script), "vm".to_owned());
        let machine = node.machine().await.unwrap().unwrap();
        assert_eq!((machine.to_string().as_str(), machine.api.as_deref()), (told, api));
    }

    #[tokio::test]
    async fn a_daemon_that_is_gone_is_named_and_a_vm_that_is_gone_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let script = "echo 'info failed: cannot connect to the multipass socket' >&2; exit 2";
        let node = VmNode::new(scripted(directory.path(), script), "vm".to_owned());
        let error = crate::chain(&node.machine().await.unwrap_err());
        assert!(error.starts_with("Multipass does not say how the node's machine is: the Multipass daemon"), "{error}");
        let multipass = scripted(directory.path(), r#"echo 'info failed: instance "vm" does not exist' >&2; exit 2"#);
        let error = VmNode::running(multipass, "vm".to_owned()).await.unwrap_err();
        assert_eq!(error.to_string(), "the VM vm of this run does not exist any more");
    }

    #[tokio::test]
    async fn a_commands_own_failure_is_none_of_multipass() {
        let directory = tempfile::tempdir().unwrap();
        let script = r#"shift 3; [ "$1" = sudo ] && shift; exec "$@""#;
        let node = VmNode::new(scripted(directory.path(), script), "vm".to_owned());
        let output = node.exec(&["sh", "-c", "echo out; echo 'it''s err' >&2; exit 2"]).await.unwrap();
        assert_eq!((output.exit_code, output.stdout.as_str(), output.stderr.as_str()), (2, "out\n", "its err"));
        let lost = scripted(directory.path(), "echo 'exec failed: ssh failed to authenticate' >&2; exit 255");
        let error = VmNode::new(lost, "vm".to_owned()).exec(&["true"]).await.unwrap_err();
        assert!(matches!(error, NodeError::Unreachable { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn an_exec_that_hangs_is_ended_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let node = VmNode::new(scripted(directory.path(), "exec sleep 600"), "vm".to_owned());
        let hangs = node.sudo(&["true"], Duration::from_millis(200)).await;
        let error = on_the_node("true".to_owned(), hangs).unwrap_err();
        assert!(matches!(error, NodeError::Silent { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_file_goes_by_way_of_the_users_home_and_becomes_roots() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let script = format!(r#"echo "$@" >>{0}; [ "$1" != transfer ] || cat >>{0}"#, log.display());
        let node = VmNode::new(scripted(directory.path(), &script), "vm".to_owned());
        node.upload(Input::Bytes(b"content\n"), "/usr/local/bin/k3s", "0755").await.unwrap();
        let log = std::fs::read_to_string(log).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[..2], ["transfer - vm:/home/ubuntu/k3s-arc.upload", "content"]);
        assert!(lines[2].starts_with("exec vm -- sudo sh -c mkdir -p"), "{}", lines[2]);
        assert!(lines[2].ends_with("/home/ubuntu/k3s-arc.upload 0755 /usr/local/bin/k3s"), "{}", lines[2]);
    }
}

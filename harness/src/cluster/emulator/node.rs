//! The node of an emulated cluster: its own files, and a busybox.

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};
use k3s_arc_emulator::container::Files;

use super::running::{self, Running};
use crate::cluster::{Machine, MachineState, NodeAccess, NodeError, NodeOutput};

/// The one node of a cluster that runs in this process.
#[derive(Debug)]
pub(super) struct EmulatedNode(Arc<Running>);

impl EmulatedNode {
    pub(super) fn of(cluster: Arc<Running>) -> Self {
        Self(cluster)
    }

    async fn run(&self, command: &[&str]) -> io::Result<NodeOutput> {
        let state = self.0.machine.state();
        if state != MachineState::Running {
            return Err(io::Error::other(format!("the node {state}")));
        }
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let cluster = self.0.clone();
        // Where the emulator runs, not where the test does: what a command leaves running must not end with the test.
        let ran = running::spawn(async move { cluster.emulator.node_exec(&cluster.node, &command).await })?;
        let output = ran.await.map_err(io::Error::other)?.ok_or_else(|| self.is_gone())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(NodeOutput { exit_code: output.code.into(), stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    fn is_gone(&self) -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, format!("the emulator has no node {}", self.0.node))
    }
}

impl NodeAccess for EmulatedNode {
    fn exec<'a>(&'a self, command: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>> {
        let unreachable = |source: io::Error| NodeError::Unreachable { command: command.join(" "), source: source.into() };
        self.run(command).map(move |ran| ran.map_err(unreachable)).boxed()
    }

    fn unpack<'a>(&'a self, archive: Vec<u8>, directory: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            let node = self.0.emulator.node(&self.0.node).ok_or_else(|| self.is_gone());
            let unpacked = node.and_then(|node| unpack(&node.files(), &archive, Path::new(directory)));
            let command = format!("tar -x -C {directory}");
            unpacked.map_err(|source| NodeError::Unreachable { command, source: source.into() })
        }
        .boxed()
    }

    fn machine(&self) -> BoxFuture<'_, Result<Option<Machine>, NodeError>> {
        let machine = Machine {
            kind: "emulated machine".to_owned(),
            name: self.0.node.clone(),
            state: self.0.machine.state(),
            restarted: None,
            api: Some(self.0.emulator.address().to_string()),
        };
        std::future::ready(Ok(Some(machine))).boxed()
    }
}

/// Directories and regular files; an archive of ours has nothing else.
fn unpack(files: &Files, archive: &[u8], directory: &Path) -> io::Result<()> {
    if !files.exists(directory) {
        return Err(io::ErrorKind::NotFound.into());
    }
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = directory.join(entry.path()?);
        match entry.header().entry_type() {
            tar::EntryType::Directory => files.create_dir_all(&path)?,
            tar::EntryType::Regular => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                files.write(&path, content)?;
            }
            other => return Err(io::Error::other(format!("{}: entries of type {other:?} are not unpacked", path.display()))),
        }
        files.set_mode(&path, entry.header().mode()? & 0o7777)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use k3s_arc_emulator::container::{
        User,
        files::{Disk, Mount},
    };

    use super::*;

    #[test]
    fn an_archive_is_unpacked_below_the_directory_with_its_modes() {
        let root = tempfile::tempdir().unwrap();
        let mount = Mount { at: "/".into(), source: root.path().into(), lower: None, read_only: false };
        let files = Files::new(vec![mount], User::default(), Arc::new(Disk::default()));
        let mut archive = tar::Builder::new(Vec::new());
        let mut append = |path: &str, kind, mode, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content).unwrap();
        };
        append("a/", tar::EntryType::Directory, 0o700, b"");
        append("a/secret", tar::EntryType::Regular, 0o600, b"x");
        let archive = archive.into_inner().unwrap();

        assert_eq!(unpack(&files, &archive, Path::new("/tmp")).unwrap_err().kind(), io::ErrorKind::NotFound);
        files.create_dir("/tmp").unwrap();
        unpack(&files, &archive, Path::new("/tmp")).unwrap();
        assert_eq!(files.read("/tmp/a/secret").unwrap(), b"x");
        assert_eq!((files.metadata("/tmp/a").unwrap().mode, files.metadata("/tmp/a/secret").unwrap().mode), (0o700, 0o600));
    }
}

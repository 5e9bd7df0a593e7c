//! A process that a test can look at: its own streams and files, this machine's network.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
};

use futures::{FutureExt, future::BoxFuture};
use k3s_arc_container::{
    Container, Cpu, Files, HostNet, Input, Memory, Net, Output, Process, Programs, Signals, Transport, User,
    files::{Disk, Mount},
};
use tokio::net::{TcpListener, UdpSocket};

/// What a process has printed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Printed([Arc<Mutex<Vec<u8>>>; 2]);

impl Printed {
    fn output(&self, stream: usize) -> Output {
        let to = self.0[stream].clone();
        Output::new(move |bytes| {
            to.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        })
    }

    fn text(&self, stream: usize) -> String {
        String::from_utf8(self.0[stream].lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        self.text(0)
    }

    pub(crate) fn stderr(&self) -> String {
        self.text(1)
    }
}

/// A process of this machine's with these arguments and no environment. It lives in the test's own files.
pub(crate) fn process(args: &[&str]) -> (Process, Printed) {
    let printed = Printed::default();
    let process = Process {
        args: ["k3s-arc-standin"].iter().chain(args).map(|&word| word.to_owned()).collect(),
        env: BTreeMap::new(),
        cwd: "/".into(),
        stdin: Input::empty(),
        stdout: printed.output(0),
        stderr: printed.output(1),
        signals: Signals::by_hand().1,
        container: Arc::new(Container::native()),
    };
    (process, printed)
}

/// A network in which one server is elsewhere than it seems, and nobody else is there.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) seen: SocketAddr,
    pub(crate) real: SocketAddr,
}

impl Net for Behind {
    fn address(&self) -> IpAddr {
        HostNet.address()
    }

    fn listen(&self, port: u16) -> BoxFuture<'_, io::Result<TcpListener>> {
        async move { HostNet.listen(port).await }.boxed()
    }

    fn bind(&self, port: u16) -> BoxFuture<'_, io::Result<UdpSocket>> {
        async move { HostNet.bind(port).await }.boxed()
    }

    fn route(&self, to: SocketAddr, _: Transport) -> io::Result<SocketAddr> {
        if to == self.seen { Ok(self.real) } else { Err(io::ErrorKind::HostUnreachable.into()) }
    }
}

/// A container whose root is a folder, and whose user is not root.
pub(crate) fn contained(root: &Path) -> Container {
    let mount = Mount { at: "/".into(), source: root.to_owned(), lower: None, read_only: false };
    let user = User { uid: 1000, gid: 2000, groups: vec![] };
    Container {
        files: Files::new(vec![mount], user, Arc::new(Disk::default())),
        net: Arc::new(HostNet),
        memory: Arc::new(Memory::limited(8 << 20)),
        cpu: Arc::new(Cpu::unlimited()),
        programs: Programs::default(),
        processes: Arc::default(),
        hostname: "contained".into(),
    }
}

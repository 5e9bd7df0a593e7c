//! A way to the API that can be cut, as by a proxy or a firewall between client and server.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes connections on, until it cuts them.
pub(super) struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub(super) port: u16,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    /// One to a port of 127.0.0.1.
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let own = listener.local_addr().expect("it listens").port();
        let cuts = watch::Sender::new(0);
        let accepted = cuts.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut cut = accepted.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port: own, cuts }
    }

    /// Cuts every connection that it has.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

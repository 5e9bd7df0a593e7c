//! A component of the control plane: a server that keeps data on its volumes; and the sidecar beside it.

mod fluentbit;
mod server;
mod store;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use k3s_arc_container::{Container, Files};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use self::server::{State, router};
pub use self::{
    fluentbit::fluentbit,
    server::{About, Counters, VolumeState},
};
use crate::{log::Log, shutdown::Shutdown};

/// How long requests that are under way may take to end once the component is told to stop: less than the pod's
/// grace period, since a client that keeps its connection open could hold the server for ever.
const GRACE: Duration = Duration::from_secs(3);

/// What a component is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which component it plays.
    pub name: String,
    /// The pod it runs in.
    pub pod: String,
    /// Where it keeps data, if it has a volume for that.
    pub data: Option<PathBuf>,
    /// Where it logs, if it has a volume for that.
    pub logs: Option<PathBuf>,
}

/// Serves on `port` of the container until it is told to stop.
///
/// # Errors
/// When the port cannot be listened on.
pub async fn run(options: Options, port: u16, container: Arc<Container>, log: Log, shutdown: Shutdown) -> io::Result<()> {
    let listener = container.net.listen(port).await?;
    log.info(format_args!("{} answers on {}", options.name, SocketAddr::new(container.net.address(), port)));
    serve(options, listener, container.files.clone(), log, shutdown).await
}

/// Serves on `listener` until it is told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(options: Options, listener: TcpListener, files: Files, log: Log, shutdown: Shutdown) -> io::Result<()> {
    let name = options.name.clone();
    let state = Arc::new(State::new(options, files));
    if let Err(error) = state.log_start().await {
        // Not the end of it: its readiness says the same until the volume can be written to.
        log.warn(format_args!("{name} cannot write its log: {error}"));
    }
    let router = router(state);
    let mut connections = JoinSet::new();
    // Not axum::serve: its connections are tasks of their own, which would go on answering when this process is killed.
    while let Some(accepted) = shutdown.or(accept(&listener, &mut connections)).await {
        connections.spawn(answer(accepted?, router.clone(), shutdown.clone()));
    }
    drop(listener);
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    log.info(format_args!("{name} stops"));
    Ok(())
}

/// The next connection; meanwhile those that have ended are put away.
async fn accept(listener: &TcpListener, connections: &mut JoinSet<()>) -> io::Result<TcpStream> {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => return Ok(stream),
                // The client was gone already.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(error) => return Err(error),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the requests of one connection; once the component is told to stop, the one that is under way is the last.
async fn answer(stream: TcpStream, router: Router, shutdown: Shutdown) {
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    if shutdown.or(connection.as_mut()).await.is_none() {
        connection.as_mut().graceful_shutdown();
        // Who broke the connection knows it.
        let _ = connection.await;
    }
}

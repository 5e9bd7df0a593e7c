//! A component of the control plane: a server that keeps data on its volumes; and the sidecar beside it.

mod fluentbit;
mod server;
mod store;

use std::{io, net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use tokio::net::TcpListener;

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

/// Serves on `port` of all addresses until it is told to stop.
///
/// # Errors
/// When the port cannot be listened on.
pub async fn run(options: Options, port: u16, log: Log, shutdown: Shutdown) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    serve(options, listener, log, shutdown).await
}

/// Serves on `listener` until it is told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(options: Options, listener: TcpListener, log: Log, shutdown: Shutdown) -> io::Result<()> {
    let name = options.name.clone();
    log.info(format_args!("{name} answers on {}", listener.local_addr()?));
    let state = Arc::new(State::new(options));
    if let Err(error) = state.log_start().await {
        // Not the end of it: its readiness says the same until the volume can be written to.
        log.warn(format_args!("{name} cannot write its log: {error}"));
    }
    let (asked, over) = (shutdown.clone(), shutdown);
    let served = axum::serve(listener, router(state)).with_graceful_shutdown(async move { asked.requested().await });
    let stopped = tokio::select! {
        stopped = served.into_future() => stopped,
        () = async { over.requested().await; tokio::time::sleep(GRACE).await } => Ok(()),
    };
    log.info(format_args!("{name} stops"));
    stopped
}

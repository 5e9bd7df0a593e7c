//! The cluster's API, from inside a pod.

use std::net::SocketAddr;

use k3s_arc_container::{Process, Transport};
use kube::{Client, Config};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// The field manager of everything that the stand-in applies.
pub const FIELD_MANAGER: &str = "k3s-arc-standin";

/// Why there is no client of the cluster's API.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// This is not a pod, or one without a service account's token.
    #[error("not in a pod with a service account's token: {0}")]
    NotInCluster(#[from] kube::config::InClusterError),
    /// What the pod has of a service account does not lead to the API.
    #[error("the pod's service account cannot be used: {0}")]
    Unusable(String),
    /// The configuration makes no client.
    #[error("no client can be made of the pod's service account: {0}")]
    Client(#[from] kube::Error),
}

/// Where a pod has its service account's token, and the authority that it is to trust.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A name that the API server's certificate has, whatever address it is reached by.
const SERVER_NAME: &str = "kubernetes.default.svc";

/// A client that uses the pod's service account.
///
/// The API is reached by the address in `KUBERNETES_SERVICE_HOST`: a static binary has no resolver of the C
/// library's, and the launcher must work where the cluster's DNS does not.
///
/// # Errors
/// [`ConnectError`].
pub fn connect(process: &Process) -> Result<Client, ConnectError> {
    let config = if process.container.files.is_native() { Config::incluster_env()? } else { emulated(process)? };
    Ok(Client::try_from(config)?)
}

/// What [`Config::incluster_env`] reads, where the environment, the files and the network are not the operating system's.
fn emulated(process: &Process) -> Result<Config, ConnectError> {
    let unusable = ConnectError::Unusable;
    let variable = |name: &str| process.var(name).ok_or_else(|| unusable(format!("{name} is not set")));
    let host = variable("KUBERNETES_SERVICE_HOST")?;
    let host = host.parse().map_err(|_| unusable(format!("KUBERNETES_SERVICE_HOST is no address: {host}")))?;
    let port = variable("KUBERNETES_SERVICE_PORT")?;
    let port = port.parse().map_err(|_| unusable(format!("KUBERNETES_SERVICE_PORT is no port: {port}")))?;
    let api = SocketAddr::new(host, port);
    let reached = process.container.net.route(api, Transport::Tcp).map_err(|error| unusable(format!("{api}: {error}")))?;
    let read = |name: &str| {
        let path = format!("{ACCOUNT}/{name}");
        process.container.files.read_to_string(&path).map_err(|error| unusable(format!("{path}: {error}")))
    };
    let authority = read("ca.crt")?;
    let authority: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(authority.as_bytes()).collect();
    let authority = authority.map_err(|error| unusable(format!("{ACCOUNT}/ca.crt: {error}")))?;
    let url = format!("https://{reached}").parse().map_err(|error| unusable(format!("{reached}: {error}")))?;
    let mut config = Config::new(url);
    config.default_namespace = read("namespace")?;
    config.root_cert = Some(authority.iter().map(|certificate| certificate.to_vec()).collect());
    config.auth_info.token = Some(read("token")?.into());
    config.tls_server_name = Some(SERVER_NAME.to_owned());
    Ok(config)
}

/// What went wrong, in one line: the API's own words where it answered.
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({} {})", status.message, status.code, status.reason),
        other => chain(other),
    }
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors repeat their source's text in their own.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether the API said that there is no such thing.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Takes "no such thing" for an answer.
///
/// # Errors
/// Every other error.
pub fn unless_not_found<T>(result: kube::Result<T>) -> kube::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the API answered to something that was attempted.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {}", explain(.source))]
pub struct ApiError {
    /// What was attempted, as in "listing the pods of namespace arc".
    pub attempted: String,
    /// What came back.
    pub source: kube::Error,
}

/// Says what an API call was for, should it fail.
pub trait Attempted<T> {
    /// The same, with what was attempted.
    ///
    /// # Errors
    /// The call's.
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, ApiError>;
}

impl<T> Attempted<T> for kube::Result<T> {
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, ApiError> {
        self.map_err(|source| ApiError { attempted: what(), source })
    }
}

//! The cluster's API, from inside a pod.

use kube::{Client, Config};

/// The field manager of everything that the stand-in applies.
pub const FIELD_MANAGER: &str = "k3s-arc-standin";

/// Why there is no client of the cluster's API.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// This is not a pod, or one without a service account's token.
    #[error("not in a pod with a service account's token: {0}")]
    NotInCluster(#[from] kube::config::InClusterError),
    /// The configuration makes no client.
    #[error("no client can be made of the pod's service account: {0}")]
    Client(#[from] kube::Error),
}

/// A client that uses the pod's service account.
///
/// The API is reached by the address in `KUBERNETES_SERVICE_HOST`: a static binary has no resolver of the C
/// library's, and the launcher must work where the cluster's DNS does not.
///
/// # Errors
/// [`ConnectError`].
pub fn connect() -> Result<Client, ConnectError> {
    Ok(Client::try_from(Config::incluster_env()?)?)
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

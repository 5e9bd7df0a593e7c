//! A cluster, as a kubeconfig names it, and plain HTTP exchanges with it. Nothing is interpreted on the way: the tasks want
//! what the server says, to the byte.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use miette::{Context as _, IntoDiagnostic as _, Report, miette};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The parts of a kubeconfig that K3s writes.
#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    certificate_authority_data: String,
    server: String,
}

#[derive(Deserialize)]
struct NamedUser {
    user: UserEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    client_certificate_data: String,
    client_key_data: String,
}

/// Where a cluster listens and who asks.
pub(crate) struct Cluster {
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

fn pem(data: &str) -> miette::Result<Vec<u8>> {
    STANDARD.decode(data).into_diagnostic()
}

impl Cluster {
    /// The first cluster and the first user of a kubeconfig with embedded certificates, such as K3s writes.
    pub(crate) fn from_kubeconfig(file: &Path) -> miette::Result<Self> {
        let text = std::fs::read_to_string(file).into_diagnostic().wrap_err_with(|| file.display().to_string())?;
        let read: Kubeconfig = serde_saphyr::from_str(&text).into_diagnostic()?;
        let cluster = &read.clusters.first().ok_or_else(|| miette!("no cluster in {}", file.display()))?.cluster;
        let user = &read.users.first().ok_or_else(|| miette!("no user in {}", file.display()))?.user;

        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem(&cluster.certificate_authority_data)?) {
            roots.add(certificate.into_diagnostic()?).into_diagnostic()?;
        }
        let chain = CertificateDer::pem_slice_iter(&pem(&user.client_certificate_data)?)
            .collect::<Result<Vec<_>, _>>()
            .into_diagnostic()?;
        let key = PrivateKeyDer::from_pem_slice(&pem(&user.client_key_data)?).into_diagnostic()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .into_diagnostic()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .into_diagnostic()?;

        let server: http::Uri = cluster.server.parse().into_diagnostic()?;
        let host = server.host().ok_or_else(|| miette!("no host in {}", cluster.server))?.to_owned();
        let address = format!("{host}:{}", server.port_u16().unwrap_or(443));
        let name = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { address, name: ServerName::try_from(name).into_diagnostic()?, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// One request on a connection of its own; the body is left to be read, so that a watch can be followed.
    pub(crate) async fn send(&self, mut request: http::Request<Bytes>) -> miette::Result<http::Response<Incoming>> {
        let tcp = TcpStream::connect(&self.address).await.into_diagnostic().wrap_err_with(|| self.address.clone())?;
        let tls = self.tls.connect(self.name.clone(), tcp).await.into_diagnostic()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.into_diagnostic()?;
        // The connection ends with the answer or when the caller drops its body; either way there is no one to tell.
        tokio::spawn(connection);
        let host = http::HeaderValue::from_str(&self.address).into_diagnostic()?;
        request.headers_mut().insert(http::header::HOST, host);
        sender.send_request(request.map(Full::new)).await.into_diagnostic()
    }

    /// A connection for one request after the other.
    pub(crate) async fn connect(&self) -> miette::Result<Connection> {
        let tcp = TcpStream::connect(&self.address).await.into_diagnostic().wrap_err_with(|| self.address.clone())?;
        tcp.set_nodelay(true).into_diagnostic()?;
        let tls = self.tls.connect(self.name.clone(), tcp).await.into_diagnostic()?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.into_diagnostic()?;
        tokio::spawn(connection);
        Ok(Connection { sender, host: http::HeaderValue::from_str(&self.address).into_diagnostic()? })
    }

    /// The body of a GET that succeeds.
    pub(crate) async fn get(&self, path: &str, accept: &str) -> miette::Result<Bytes> {
        let request = http::Request::get(path).header(http::header::ACCEPT, accept).body(Bytes::new()).into_diagnostic()?;
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await.into_diagnostic()?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(Report::msg(format!("GET {path}: {status}: {}", String::from_utf8_lossy(&body))))
        }
    }

    /// The same, read as JSON.
    pub(crate) async fn get_json(&self, path: &str, accept: &str) -> miette::Result<serde_json::Value> {
        let body = self.get(path, accept).await?;
        serde_json::from_slice(&body).into_diagnostic().wrap_err_with(|| path.to_owned())
    }
}

/// A connection that is kept open.
pub(crate) struct Connection {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    host: http::HeaderValue,
}

impl Connection {
    /// The body of a request that succeeds.
    pub(crate) async fn ask(&mut self, mut request: http::Request<Bytes>) -> miette::Result<Bytes> {
        request.headers_mut().insert(http::header::HOST, self.host.clone());
        self.sender.ready().await.into_diagnostic()?;
        let response = self.sender.send_request(request.map(Full::new)).await.into_diagnostic()?;
        let status = response.status();
        let body = response.into_body().collect().await.into_diagnostic()?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(Report::msg(format!("{status}: {}", String::from_utf8_lossy(&body)))) }
    }
}

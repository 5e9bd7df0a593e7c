//! HTTP as it is on the wire: the answers are looked at, so nothing may interpret them before.

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Error;

/// A cluster to play scripts to.
#[derive(Debug)]
pub struct Cluster {
    host: String,
    address: String,
    admin: Arc<ClientConfig>,
    anonymous: Arc<ClientConfig>,
    /// The kubeconfig's user may be known by a token instead of a certificate.
    token: Option<String>,
}

pub(super) type Connection = http1::SendRequest<Full<Bytes>>;

impl Cluster {
    /// The cluster and user of a kubeconfig's first entries.
    ///
    /// # Errors
    /// When the file is unusable.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, Error> {
        Self::from_yaml(&std::fs::read_to_string(path)?)
    }

    /// The same from the text of one.
    ///
    /// # Errors
    /// When it is unusable.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        let config: Value = serde_saphyr::from_str(text)?;
        let read = |pointer: &str| config.pointer(pointer).and_then(Value::as_str);
        let pem = |pointer: &str| read(pointer).map(|text| STANDARD.decode(text)).transpose();

        let server = read("/clusters/0/cluster/server").ok_or("the kubeconfig names no server")?;
        let address = server.strip_prefix("https://").ok_or("the server is not reached by https")?.trim_end_matches('/');
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);

        let mut roots = RootCertStore::empty();
        let authority = pem("/clusters/0/cluster/certificate-authority-data")?.ok_or("no certificate-authority-data")?;
        for certificate in CertificateDer::pem_slice_iter(&authority) {
            roots.add(certificate?)?;
        }
        let builder = || {
            Ok::<_, Error>(
                ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(roots.clone()),
            )
        };
        let anonymous = Arc::new(builder()?.with_no_client_auth());
        let admin = match (pem("/users/0/user/client-certificate-data")?, pem("/users/0/user/client-key-data")?) {
            (Some(certificates), Some(key)) => {
                let chain = CertificateDer::pem_slice_iter(&certificates).collect::<Result<_, _>>()?;
                Arc::new(builder()?.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?)
            }
            _ => anonymous.clone(),
        };
        let token = read("/users/0/user/token").map(|token| format!("Bearer {token}"));
        Ok(Self { host: host.to_owned(), address: address.to_owned(), admin, anonymous, token })
    }

    /// A connection as the kubeconfig's user, or without a certificate.
    pub(super) async fn connect(&self, admin: bool) -> Result<Connection, Error> {
        let stream = TcpStream::connect(&self.address).await?;
        let config = if admin { &self.admin } else { &self.anonymous };
        let name = ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned())?;
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // How it ends is seen by whoever reads the answer.
            let _ = driver.with_upgrades().await;
        });
        Ok(connection)
    }

    pub(super) async fn send(
        &self,
        connection: &mut Connection,
        (method, path): (&str, &str),
        headers: HeaderMap,
        body: Bytes,
        admin: bool,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = Request::builder().method(method).uri(path).header("Host", &self.address);
        if let Some(token) = self.token.as_ref().filter(|_| admin) {
            request = request.header("Authorization", token);
        }
        let mut request = request.body(Full::new(body))?;
        request.headers_mut().extend(headers);
        connection.ready().await?;
        Ok(connection.send_request(request).await?)
    }
}

//! The cluster's certificates: one authority for servers and one for clients, as K3s has them.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::Digest as _;

use super::{AUTHENTICATED, User};

/// Why the cluster has no certificates.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate or its key could not be made or read.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused them.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates could not be made.
    #[error("verifier of client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// They could not be kept in the state directory.
    #[error("keeping certificates: {0}")]
    Io(#[from] io::Error),
    /// A kept key is no PEM.
    #[error("a kept key cannot be read: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

struct Root {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// Signs the certificates of the server and of its clients.
pub(crate) struct Authority {
    server: Root,
    client: Root,
    /// Signs service-account tokens.
    pub(crate) tokens: KeyPair,
}

impl Authority {
    /// New, or as kept in a directory; what is new is kept there, readable by its owner alone.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self, AuthorityError> {
        let tokens = match kept(directory, "service.key")? {
            Some(pem) => KeyPair::from_pem(&pem)?,
            None => {
                let key = KeyPair::generate()?;
                keep(directory, "service.key", &key.serialize_pem())?;
                key
            }
        };
        Ok(Self { server: Root::open("k3s-server-ca", directory)?, client: Root::open("k3s-client-ca", directory)?, tokens })
    }

    /// What a client trusts.
    pub(crate) fn server_ca(&self) -> &str {
        &self.server.pem
    }

    /// A client's certificate. It does not end before the authority does.
    pub(crate) fn identify(&self, user: &str, group: &str) -> Result<Identity, AuthorityError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, user);
        parameters.distinguished_name.push(DnType::OrganizationName, group);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.client.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// How the server presents itself at an address, and whom it asks for.
    pub(crate) fn tls(&self, address: IpAddr) -> Result<ServerConfig, AuthorityError> {
        let names =
            ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
        let mut parameters = CertificateParams::new(names.map(String::from).to_vec())?;
        parameters.distinguished_name.push(DnType::CommonName, "k3s");
        parameters.distinguished_name.push(DnType::OrganizationName, "k3s");
        for ip in [address, IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 43, 0, 1])] {
            parameters.subject_alt_names.push(SanType::IpAddress(ip));
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.server.issuer)?;

        let mut clients = RootCertStore::empty();
        clients.add(CertificateDer::from_pem_slice(self.client.pem.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(clients.into(), provider.clone()).allow_unauthenticated().build()?;
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl Root {
    fn open(name: &str, directory: Option<&Path>) -> Result<Self, AuthorityError> {
        let (cert_file, key_file) = (format!("{name}.crt"), format!("{name}.key"));
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name.push(DnType::CommonName, name);
        if let (Some(pem), Some(key)) = (kept(directory, &cert_file)?, kept(directory, &key_file)?) {
            // The name and the key are what a signature refers to, and both are the same again.
            return Ok(Self { issuer: Issuer::new(parameters, KeyPair::from_pem(&key)?), pem });
        }
        let key = KeyPair::generate()?;
        keep(directory, &key_file, &key.serialize_pem())?;
        let pem = parameters.self_signed(&key)?.pem();
        keep(directory, &cert_file, &pem)?;
        Ok(Self { issuer: Issuer::new(parameters, key), pem })
    }
}

fn kept(directory: Option<&Path>, name: &str) -> io::Result<Option<String>> {
    let Some(directory) = directory else { return Ok(None) };
    match fs::read_to_string(directory.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn keep(directory: Option<&Path>, name: &str, text: &str) -> io::Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    private(&directory.join(name))?.write_all(text.as_bytes())
}

/// A new file that only its owner can read.
pub(crate) fn private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Who a client's certificate says it is: the common name is the user, organizations are the groups.
pub(crate) fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned);
    let mut groups: Vec<String> = groups.collect();
    groups.push(AUTHENTICATED.to_owned());
    let mut user = User { name, groups, ..User::default() };
    // The API server names the certificate, so that an audit can tell two of the same user apart.
    let fingerprint = sha2::Sha256::digest(certificate.as_raw());
    let fingerprint: String = fingerprint.iter().map(|b| format!("{b:02x}")).collect();
    user.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("X509SHA256={fingerprint}")]);
    Some(user)
}

//! CertificateSubjectRestriction: nobody becomes a master by way of a certificate request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use super::{Attributes, Operation};
use crate::access::MASTERS;
use crate::kinds::view::text;
use crate::status::Refusal;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(super) fn validate(attributes: &Attributes) -> Result<(), Refusal> {
    let ours = attributes.is("certificates.k8s.io", "certificatesigningrequests") && attributes.operation == Operation::Create;
    let spec = &attributes.object["spec"];
    if !ours || text(&spec["signerName"]) != CLIENT_SIGNER {
        return Ok(());
    }
    let pem = STANDARD.decode(text(&spec["request"])).unwrap_or_default();
    let Some(Ok(pem)) = Pem::iter_from_buffer(&pem).next() else { return Ok(()) };
    let Ok((_, request)) = X509CertificationRequest::from_der(&pem.contents) else { return Ok(()) };
    let mut groups = request.certification_request_info.subject.iter_organization();
    if groups.any(|group| group.as_str() == Ok(MASTERS)) {
        return Err(attributes.forbidden(&format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")));
    }
    Ok(())
}

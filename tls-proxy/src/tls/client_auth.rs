//! Asking clients for certificates (`ssl_verify_client`).
//!
//! nginx finishes every handshake and answers 400 afterwards, so that people
//! see a page and not a broken connection. So rustls is told that any
//! certificate is fine, but the client's signature with its key is checked;
//! what the certificate is worth is found out afterwards, also when a session
//! is resumed.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::certificate::Certificate;
use super::der;
use super::keys::public_key_info;
use super::signature::{PublicKey, is_handshake_signed};

/// Takes any certificate whose key the peer has.
#[derive(Debug)]
pub(super) struct AnyClient {
    authorities: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyClient {
    /// `authorities` are those that clients are told of
    /// (`ssl_client_certificate`).
    pub(super) fn new(authorities: &[Certificate]) -> Self {
        let names = authorities.iter().filter_map(|own| {
            der::only(&own.raw_subject, der::SEQUENCE).map(DistinguishedName::in_sequence)
        });
        Self {
            authorities: names.collect(),
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }
}

/// Checks a signature of TLS 1.2 without asking more of the certificate than
/// its key.
pub(super) fn check_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = public_key_info(certificate).and_then(PublicKey::parse);
    if key.is_some_and(|key| is_handshake_signed(message, signed, key, algorithms)) {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// The same for TLS 1.3.
pub(super) fn check_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = public_key_info(certificate).ok_or(CertificateError::BadEncoding)?;
    let key = SubjectPublicKeyInfoDer::from(key);
    rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_tls12(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_tls13(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

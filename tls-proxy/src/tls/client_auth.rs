//! Client certificates (`ssl_verify_client`).
//!
//! nginx completes every handshake and responds with 400 afterwards, so that users see a
//! page instead of a broken connection. So the verifier given to rustls accepts every
//! certificate but checks the signature made with its key; the certificate itself is
//! verified afterwards, also when a session is resumed.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::certificate::Certificate;
use super::der;
use super::keys::public_key_info;
use super::signature::{PublicKey, is_handshake_signed};

/// The most certificates of a client: each takes memory, however short it is.
const MAX_CHAIN: usize = 100;

/// Accepts every certificate for which the peer has the key.
#[derive(Debug)]
pub(super) struct AnyClient {
    authorities: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyClient {
    /// `authorities` are the CA names sent to clients (`ssl_client_certificate`).
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

/// Checks a TLS 1.2 signature; only the key of the certificate is used.
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
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if others.len() >= MAX_CHAIN {
            return Err(Error::General("too many certificates".to_owned()));
        }
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

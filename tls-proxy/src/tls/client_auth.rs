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
/// The most elements of DER in all certificates of a peer: each name, extension or constraint takes
/// some hundred bytes when it is parsed, and two on the wire.
const MAX_ELEMENTS: usize = 4096;
/// Certificates are not nested deeper.
const DEPTH: u8 = 20;

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

/// Whether parsing the certificates takes too much memory.
pub(super) fn has_too_many_elements<'a>(
    mut shown: impl Iterator<Item = &'a CertificateDer<'a>>,
) -> bool {
    let mut left = MAX_ELEMENTS;
    shown.any(|own| {
        let count = der::count(own, DEPTH);
        let fits = left.checked_sub(count);
        left = fits.unwrap_or(0);
        fits.is_none()
    })
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
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if others.len() >= MAX_CHAIN {
            return Err(Error::General("too many certificates".to_owned()));
        }
        if has_too_many_elements([first].into_iter().chain(others)) {
            let what = "too many names or extensions in certificates";
            return Err(Error::General(what.to_owned()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_very_many_elements_are_not_parsed() {
        // An extension of empty DNS names.
        let names = [&[0x30, 0x82, 0x10, 0x00][..], &[0x82, 0x00].repeat(0x800)].concat();
        let value = [&[0x04, 0x82, 0x10, 0x04][..], &names].concat();
        let one = CertificateDer::from(value);
        assert_eq!(der::count(&one, DEPTH), 2 + 0x800);
        assert!(!has_too_many_elements([&one].into_iter()));
        assert!(has_too_many_elements([&one, &one].into_iter()));
        // What follows them does not matter.
        let broken = CertificateDer::from([&names[4..], &names[4..], &[0x30, 0x84]].concat());
        assert!(!has_too_many_elements([&broken].into_iter()));
        let broken = CertificateDer::from([&broken[..], &[0x05, 0x00], &broken].concat());
        assert_eq!(der::count(&broken, DEPTH), 2 * 0x800);
    }
}

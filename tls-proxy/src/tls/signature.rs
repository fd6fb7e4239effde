//! Signatures of certificates, of lists of revoked ones and of handshakes, by
//! the algorithms rustls itself uses. Nothing but keys and bytes is looked at,
//! so certificates of version 1 are as good as others.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::der::{self, BIT_STRING, SEQUENCE};

/// A SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7), taken apart.
#[derive(Clone, Copy)]
pub(super) struct PublicKey<'a> {
    algorithm: &'a [u8],
    key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    pub(super) fn parse(info: &'a [u8]) -> Option<Self> {
        let mut rest = der::only(info, SEQUENCE)?;
        let algorithm = der::next(&mut rest, SEQUENCE)?;
        let key = bits(der::next(&mut rest, BIT_STRING)?)?;
        Some(Self { algorithm, key })
    }
}

/// A BIT STRING of whole bytes.
fn bits(content: &[u8]) -> Option<&[u8]> {
    content.strip_prefix(&[0])
}

/// Whether `signed` — a certificate or a list of revoked ones — carries a
/// signature by `key`.
pub(super) fn is_signed_by(
    signed: &[u8],
    key: PublicKey<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let check = || {
        let whole = der::only(signed, SEQUENCE)?;
        let (body, mut rest) = der::element(whole)?;
        let algorithm = der::next(&mut rest, SEQUENCE)?;
        let signature = bits(der::next(&mut rest, BIT_STRING)?)?;
        let fitting = algorithms.all.iter().find(|own| {
            own.signature_alg_id().as_ref() == algorithm
                && own.public_key_alg_id().as_ref() == key.algorithm
        })?;
        fitting
            .verify_signature(key.key, body.whole, signature)
            .ok()
    };
    check().is_some()
}

/// Whether `signed` is a signature of `message` by the certificate with this
/// public key, under a scheme that was offered (TLS 1.2).
pub(super) fn is_handshake_signed(
    message: &[u8],
    signed: &DigitallySignedStruct,
    key: PublicKey<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let scheme: SignatureScheme = signed.scheme;
    let offered = algorithms.mapping.iter().find(|(own, _)| *own == scheme);
    let mut fitting = offered.into_iter().flat_map(|(_, all)| all.iter());
    fitting.any(|own| {
        own.public_key_alg_id().as_ref() == key.algorithm
            && own
                .verify_signature(key.key, message, signed.signature())
                .is_ok()
    })
}

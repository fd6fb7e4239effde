//! Signatures of certificates, CRLs and handshakes, by rustls' own algorithms. Only keys
//! and bytes are used, so version 1 certificates work like others.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::der::{self, BIT_STRING, INTEGER, OBJECT_ID, SEQUENCE};

/// A parsed SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
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

/// The signature algorithm inside the signed part (RFC 5280, section 4.1.2.3) and outside
/// (section 4.1.1.2), which must be the same.
fn algorithms_of(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = der::only(certificate, SEQUENCE)?;
    let body = der::all(der::next(&mut rest, SEQUENCE)?)?;
    let (outside, _) = der::element(rest)?;
    // After the version, which is absent in version 1, and the serial number.
    let at = 1 + usize::from(body.first()?.tag == der::fields(0));
    Some((body.get(at)?.whole, outside.whole))
}

/// Whether the signature algorithm is the same inside and outside of the signed part.
pub(super) fn is_same_algorithm(certificate: &[u8]) -> bool {
    algorithms_of(certificate).is_some_and(|(inside, outside)| inside == outside)
}

/// Object identifiers of algorithms (RFC 3279, RFC 8410 and others).
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const RSA_KEY: u8 = 1;
const RSA_PSS: u8 = 10;
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const P192: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
const DSA_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
const DSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3];
const DSA: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3];
/// Ed25519 and Ed448: the same identifier for key and signature.
const EDWARDS: &[u8] = &[0x2b, 0x65];

fn object_id(algorithm: &[u8]) -> Option<&[u8]> {
    der::first(der::only(algorithm, SEQUENCE)?, OBJECT_ID)
}

/// Whether the certificate's signature algorithm fits a key of this kind
/// (SubjectPublicKeyInfo). The signature is not verified.
pub(super) fn is_signed_by_kind_of(certificate: &[u8], key: &[u8]) -> bool {
    let own = algorithms_of(certificate).and_then(|(inside, _)| object_id(inside));
    let key = der::first(key, SEQUENCE)
        .and_then(|info| der::element(info))
        .and_then(|(algorithm, _)| object_id(algorithm.whole));
    let (Some(own), Some(key)) = (own, key) else {
        return false;
    };
    match key {
        EC_KEY => own.starts_with(ECDSA),
        DSA_KEY => own.starts_with(DSA) || own == DSA_SHA1,
        key if key.starts_with(EDWARDS) => own == key,
        key => match key.strip_prefix(RSA) {
            Some([RSA_KEY]) => own.starts_with(RSA),
            Some([RSA_PSS]) => own.strip_prefix(RSA) == Some(&[RSA_PSS]),
            _ => false,
        },
    }
}

/// Whether a key is weaker than 112 bits, OpenSSL's security level 2, the default in
/// nginx's images and Debian: RSA below 2048 bits, P-192. Keys unknown to rustls are
/// rejected later, since their signatures cannot be verified.
pub(super) fn is_weak_key(info: &[u8]) -> bool {
    let check = || {
        let mut rest = der::only(info, SEQUENCE)?;
        let algorithm = der::element(rest)?.0;
        let id = object_id(algorithm.whole)?;
        der::next(&mut rest, SEQUENCE)?;
        let key = bits(der::next(&mut rest, BIT_STRING)?)?;
        if id == EC_KEY {
            return Some(algorithm.content.ends_with(P192));
        }
        id.strip_prefix(RSA)?;
        let modulus = der::first(der::first(key, SEQUENCE)?, INTEGER)?;
        let mut digits = modulus.iter().skip_while(|digit| **digit == 0);
        let top = digits.next()?;
        Some(8 * (digits.count() + 1) - (top.leading_zeros() as usize) < 2048)
    };
    check() == Some(true)
}

/// Whether a certificate is signed with a hash weaker than that: MD2, MD4, MD5, SHA-1.
pub(super) fn has_weak_hash(certificate: &[u8]) -> bool {
    let own = algorithms_of(certificate).and_then(|(_, outside)| object_id(outside));
    own.is_some_and(|own| {
        let rsa = own.strip_prefix(RSA);
        matches!(rsa, Some([2..=5])) || own == ECDSA_SHA1 || own == DSA_SHA1
    })
}

/// A BIT STRING of whole bytes.
fn bits(content: &[u8]) -> Option<&[u8]> {
    content.strip_prefix(&[0])
}

/// Whether `signed`, a certificate or CRL, has a valid signature by `key`.
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

/// Whether `signed` is a valid signature of `message` by the certificate with this public
/// key, with an offered scheme (TLS 1.2).
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

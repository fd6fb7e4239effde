//! The TLS 1.3 cipher suites: aws-lc's ciphers with the hashes of this crate.

use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::cipher_suite as theirs;
use rustls::crypto::hash::Hash;
use rustls::crypto::tls13::{Hkdf, HkdfUsingHmac};
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls13CipherSuite};

use super::hashes::{HMAC_SHA256, HMAC_SHA384, SHA256, SHA384};

pub(super) const TLS13_AES_128_GCM_SHA256: SupportedCipherSuite =
    SupportedCipherSuite::Tls13(&AES_128);
pub(super) const TLS13_AES_256_GCM_SHA384: SupportedCipherSuite =
    SupportedCipherSuite::Tls13(&AES_256);
pub(super) const TLS13_CHACHA20_POLY1305_SHA256: SupportedCipherSuite =
    SupportedCipherSuite::Tls13(&CHACHA20);

static AES_128: Tls13CipherSuite =
    with_hashes(&theirs::TLS13_AES_128_GCM_SHA256, &SHA256, &HKDF_SHA256);
static AES_256: Tls13CipherSuite =
    with_hashes(&theirs::TLS13_AES_256_GCM_SHA384, &SHA384, &HKDF_SHA384);
static CHACHA20: Tls13CipherSuite = with_hashes(
    &theirs::TLS13_CHACHA20_POLY1305_SHA256,
    &SHA256,
    &HKDF_SHA256,
);

static HKDF_SHA256: HkdfUsingHmac<'static> = HkdfUsingHmac(&HMAC_SHA256);
static HKDF_SHA384: HkdfUsingHmac<'static> = HkdfUsingHmac(&HMAC_SHA384);

/// The suite with another hash implementation. Evaluated at compile time.
const fn with_hashes(
    suite: &SupportedCipherSuite,
    hash: &'static dyn Hash,
    hkdf: &'static dyn Hkdf,
) -> Tls13CipherSuite {
    let SupportedCipherSuite::Tls13(suite) = suite else {
        panic!("not a suite of TLS 1.3");
    };
    Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: hash,
            confidentiality_limit: suite.common.confidentiality_limit,
        },
        hkdf_provider: hkdf,
        aead_alg: suite.aead_alg,
        quic: None,
    }
}

/// All supported suites in order of preference, as in rustls.
pub(super) fn all() -> Vec<SupportedCipherSuite> {
    let own = [
        TLS13_AES_256_GCM_SHA384,
        TLS13_AES_128_GCM_SHA256,
        TLS13_CHACHA20_POLY1305_SHA256,
    ];
    let mut all = aws_lc_rs::default_provider().cipher_suites;
    for suite in &mut all {
        let same = own.iter().find(|own| own.suite() == suite.suite());
        *suite = *same.unwrap_or(suite);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_hash_of_their_name() {
        let theirs = aws_lc_rs::default_provider().cipher_suites;
        assert_eq!(all(), theirs);
        for (own, theirs) in all().iter().zip(theirs) {
            let (Some(own), Some(theirs)) = (own.tls13(), theirs.tls13()) else {
                continue;
            };
            let (hash, theirs) = (own.common.hash_provider, theirs.common.hash_provider);
            assert_eq!(hash.algorithm(), theirs.algorithm());
            assert_eq!(hash.hash(b"said").as_ref(), theirs.hash(b"said").as_ref());
            let none = own.hkdf_provider.extract_from_zero_ikm(None);
            assert_eq!(none.hash_len(), hash.output_len());
        }
    }
}

//! What is offered to a client: protocols by ALPN, and the cipher suites of TLS 1.3.
//!
//! AES-128 with SHA-256 takes less time than AES-256 with SHA-384, for a handshake as for
//! data. So a client that has AES-256 first and takes AES-128 too is given AES-128. One
//! that has ChaCha20 first has no AES in its hardware, and is given that.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, ServerConfig};

/// What rustls is told.
#[derive(Debug)]
pub(super) struct Offers {
    any: Protocols,
    /// For clients that take AES-128; none where the configuration chooses.
    aes128: Option<Protocols>,
}

/// The same by the protocols that ALPN offers.
#[derive(Debug)]
struct Protocols {
    http1: Arc<ServerConfig>,
    /// HTTP/2 as well.
    http2: Arc<ServerConfig>,
}

impl Offers {
    /// `lighter` is made with a provider `with_aes128`.
    pub(super) fn new(any: ServerConfig, lighter: Option<ServerConfig>) -> Self {
        Self {
            any: Protocols::new(any),
            aes128: lighter.map(Protocols::new),
        }
    }

    /// What a client that offers these `suites` is told.
    pub(super) fn config(&self, suites: &[CipherSuite], http2: bool) -> Arc<ServerConfig> {
        let aes128 = self.aes128.as_ref().filter(|_| takes_aes128(suites));
        let protocols = aes128.unwrap_or(&self.any);
        let config = match http2 {
            true => &protocols.http2,
            false => &protocols.http1,
        };
        config.clone()
    }
}

impl Protocols {
    fn new(mut http1: ServerConfig) -> Self {
        http1.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        let mut http2 = http1.clone();
        http2.alpn_protocols.insert(0, b"h2".to_vec());
        Self {
            http1: Arc::new(http1),
            http2: Arc::new(http2),
        }
    }
}

/// Whether AES-256 is a client's first choice in TLS 1.3, and AES-128 another.
fn takes_aes128(suites: &[CipherSuite]) -> bool {
    use CipherSuite as Suite;
    let mut known = suites.iter().filter(|suite| {
        matches!(
            suite,
            Suite::TLS13_AES_256_GCM_SHA384
                | Suite::TLS13_AES_128_GCM_SHA256
                | Suite::TLS13_CHACHA20_POLY1305_SHA256
        )
    });
    known.next() == Some(&Suite::TLS13_AES_256_GCM_SHA384)
        && known.any(|suite| *suite == Suite::TLS13_AES_128_GCM_SHA256)
}

/// The same suites, but AES-128 alone for TLS 1.3: clients like OpenSSL's have ChaCha20
/// between the two.
pub(super) fn with_aes128(mut provider: CryptoProvider) -> CryptoProvider {
    let aes128 = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_none() || suite.suite() == aes128);
    provider
}

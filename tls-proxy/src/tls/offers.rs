//! What is offered to a client: protocols by ALPN, and the cipher suites of TLS 1.3.
//!
//! AES-128 with SHA-256 costs less than AES-256 with SHA-384, in the handshake and for
//! data. So a client that prefers AES-256 and also offers AES-128 gets AES-128. One that
//! prefers ChaCha20 has no AES in hardware, and gets ChaCha20.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, ServerConfig};

/// The configurations of rustls to choose from.
#[derive(Debug)]
pub(super) struct Offers {
    any: Protocols,
    /// For clients that offer AES-128; `None` if the configuration decides
    /// (`ssl_prefer_server_ciphers`, `Ciphersuites`).
    aes128: Option<Protocols>,
}

/// One of them for each list of protocols offered by ALPN.
#[derive(Debug)]
struct Protocols {
    http1: Arc<ServerConfig>,
    /// HTTP/2 and HTTP/1.1.
    http2: Arc<ServerConfig>,
}

impl Offers {
    /// `aes128` was made with a provider from [`with_aes128`].
    pub(super) fn new(any: ServerConfig, aes128: Option<ServerConfig>) -> Self {
        Self {
            any: Protocols::new(any),
            aes128: aes128.map(Protocols::new),
        }
    }

    /// The configuration for a client that offers these `suites`.
    pub(super) fn config(&self, suites: &[CipherSuite], http2: bool) -> Arc<ServerConfig> {
        let aes128 = self.aes128.as_ref().filter(|_| prefers_aes(suites));
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

/// Whether a client prefers AES-256 in TLS 1.3 and offers AES-128, too.
fn prefers_aes(suites: &[CipherSuite]) -> bool {
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

/// The same suites, but AES-128 alone for TLS 1.3: OpenSSL's clients have ChaCha20 between
/// the two.
pub(super) fn with_aes128(mut provider: CryptoProvider) -> CryptoProvider {
    let aes128 = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_none() || suite.suite() == aes128);
    provider
}

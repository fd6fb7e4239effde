//! Selects which of a server's certificates a client gets.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureScheme, SupportedCipherSuite};

/// Selects a certificate that the client can verify, by preference.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// One certificate for each kind of key.
    keys: Vec<Arc<CertifiedKey>>,
    /// In the server's order of preference.
    suites: Vec<SupportedCipherSuite>,
    /// `ssl_prefer_server_ciphers`.
    own_order: bool,
}

impl Resolver {
    /// For several keys of one kind the last one is used, as in OpenSSL.
    pub(super) fn new(
        certified: Vec<Arc<CertifiedKey>>,
        suites: Vec<SupportedCipherSuite>,
        own_order: bool,
    ) -> Self {
        let mut keys: Vec<Arc<CertifiedKey>> = Vec::new();
        for own in certified {
            keys.retain(|other| other.key.algorithm() != own.key.algorithm());
            keys.push(own);
        }
        Self {
            keys,
            suites,
            own_order,
        }
    }

    /// The same with more certificates, for a single connection.
    pub(super) fn with(&self, more: impl IntoIterator<Item = Arc<CertifiedKey>>) -> Self {
        let all = self.keys.iter().cloned().chain(more).collect();
        Self::new(all, self.suites.clone(), self.own_order)
    }

    /// The certificate for the client's first signature scheme (TLS 1.3), or for the first
    /// cipher suite in common (TLS 1.2).
    fn choose(
        &self,
        schemes: &[SignatureScheme],
        suites: &[CipherSuite],
        tls13: bool,
    ) -> Option<&Arc<CertifiedKey>> {
        let chosen = match tls13 {
            true => schemes.iter().find_map(|scheme| self.signing(&[*scheme])),
            false => self.by_suite(schemes, suites),
        };
        chosen.or_else(|| self.signing(schemes))
    }

    /// The signature scheme of a full handshake with this client.
    pub(super) fn scheme(
        &self,
        offered: &[SignatureScheme],
        suites: &[CipherSuite],
        tls13: bool,
    ) -> Option<SignatureScheme> {
        let chosen = self.choose(offered, suites, tls13)?;
        Some(chosen.key.choose_scheme(offered)?.scheme())
    }

    fn signing(&self, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let mut keys = self.keys.iter();
        keys.find(|key| key.key.choose_scheme(schemes).is_some())
    }

    fn by_suite(
        &self,
        schemes: &[SignatureScheme],
        offered: &[CipherSuite],
    ) -> Option<&Arc<CertifiedKey>> {
        let signed_with = |suite: &SupportedCipherSuite| {
            let mut keys = self.keys.iter();
            keys.find(|key| {
                suite.usable_for_signature_algorithm(key.key.algorithm())
                    && key.key.choose_scheme(schemes).is_some()
            })
        };
        let mut own = self.suites.iter().filter(|suite| suite.tls13().is_none());
        if self.own_order {
            return own
                .filter(|suite| offered.contains(&suite.suite()))
                .find_map(signed_with);
        }
        let own: Vec<_> = own.by_ref().collect();
        let known = |named: &CipherSuite| own.iter().find(|own| own.suite() == *named);
        offered
            .iter()
            .filter_map(known)
            .find_map(|own| signed_with(own))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (schemes, suites) = (hello.signature_schemes(), hello.cipher_suites());
        let of_tls13 = self.suites.iter().filter(|suite| suite.tls13().is_some());
        let mut of_tls13 = of_tls13.map(SupportedCipherSuite::suite);
        let tls13 = of_tls13.any(|suite| suites.contains(&suite));
        let chosen = self.choose(schemes, suites, tls13);
        chosen.or(self.keys.first()).cloned()
    }
}

//! Whether a chain of certificates leads to an authority that is trusted.
//!
//! webpki refuses much that OpenSSL takes: certificates of version 1, a
//! self-signed certificate that is trusted itself, an authority's own as a
//! client's. So the chain is built here, as OpenSSL builds it: trusted
//! certificates first, up to one that signed itself. Of several flaws the last
//! one found is told, as there. Where names are constrained, webpki decides.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::certificate::Certificate;
use super::crl::{self, Crl};
use super::flaw::Flaw;
use super::signature::{PublicKey, is_signed_by};

/// Who may vouch for a peer, and what is known against it.
#[derive(Debug)]
pub(crate) struct Trust {
    authorities: Vec<Certificate>,
    lists: Vec<Crl>,
    /// Most certificates between the peer's and the authority's.
    depth: usize,
    provider: Arc<CryptoProvider>,
}

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    Client,
    Server(&'a ServerName<'a>),
}

impl Trust {
    pub(crate) fn new(authorities: Vec<Certificate>, lists: Vec<Crl>, depth: usize) -> Self {
        Self {
            authorities,
            lists,
            depth,
            provider: Arc::new(aws_lc_rs::default_provider()),
        }
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    /// Examines a peer's chain, its own certificate first.
    pub(crate) fn examine(
        &self,
        shown: &[CertificateDer<'_>],
        purpose: Purpose<'_>,
        now: UnixTime,
    ) -> Result<(), Flaw> {
        let read: Option<Vec<_>> = shown.iter().map(|der| Certificate::parse(der)).collect();
        let read = read
            .filter(|read| !read.is_empty())
            .ok_or(Flaw::Unreadable)?;
        let (chain, mut flaw) = self.build(&read);
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let checks = [
            check_extensions(&chain, purpose),
            self.check_revocation(&chain, seconds),
            self.check_signatures(&chain, seconds),
        ];
        flaw = checks
            .into_iter()
            .filter_map(Result::err)
            .next_back()
            .or(flaw);
        let constrained = chain.iter().skip(1).any(|it| it.constrained);
        if constrained && flaw.is_none_or(Flaw::is_about_trust) {
            flaw = self.check_names(&chain, shown, purpose, now).err().or(flaw);
        }
        flaw.map_or(Ok(()), Err)
    }

    /// The chain as far as it goes, and what is wrong with its end.
    fn build<'a>(&'a self, shown: &'a [Certificate]) -> (Vec<&'a Certificate>, Option<Flaw>) {
        let mut chain = vec![&shown[0]];
        let mut trusted = 0;
        loop {
            let top = chain[chain.len() - 1];
            if top.is_self_issued() {
                let known = trusted > 0 || self.authorities.iter().any(|own| own.der == top.der);
                let flaw = match chain.len() {
                    _ if known => None,
                    1 => Some(Flaw::SelfSigned),
                    _ => Some(Flaw::SelfSignedInChain),
                };
                return (chain, flaw);
            }
            if chain.len() > self.depth.saturating_add(1) {
                return (chain, Some(Flaw::TooLong));
            }
            if let Some(issuer) = self.find_issuer(top, &self.authorities, &chain) {
                chain.push(issuer);
                trusted += 1;
                continue;
            }
            let next = match trusted {
                0 => self.find_issuer(top, &shown[1..], &chain),
                _ => None,
            };
            match next {
                Some(issuer) => chain.push(issuer),
                None => {
                    let flaw = match trusted {
                        0 => Flaw::NoLocalIssuer,
                        _ => Flaw::NoIssuer,
                    };
                    return (chain, Some(flaw));
                }
            }
        }
    }

    /// The issuer of `certificate` among `candidates`: of several by the same
    /// name (an authority may have changed its key) the one that really
    /// signed it.
    fn find_issuer<'a>(
        &self,
        certificate: &Certificate,
        candidates: &'a [Certificate],
        chain: &[&Certificate],
    ) -> Option<&'a Certificate> {
        let named = candidates.iter().filter(|own| {
            certificate.may_be_issued_by(own) && !chain.iter().any(|used| used.der == own.der)
        });
        let mut named = named.peekable();
        let first = *named.peek()?;
        named
            .find(|own| self.signed(certificate, own))
            .or(Some(first))
    }

    fn signed(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        PublicKey::parse(&issuer.key)
            .is_some_and(|key| is_signed_by(&certificate.der, key, self.algorithms()))
    }

    fn check_revocation(&self, chain: &[&Certificate], now: i64) -> Result<(), Flaw> {
        if self.lists.is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        for (index, certificate) in chain.iter().enumerate() {
            // The last one is its own issuer, or its issuer is missing.
            let issuer = chain.get(index + 1).unwrap_or(certificate);
            let checked = crl::check(&self.lists, certificate, issuer, now, self.algorithms());
            result = checked.and(result);
        }
        result
    }

    /// Signatures and times, from the authority down to the peer.
    fn check_signatures(&self, chain: &[&Certificate], now: i64) -> Result<(), Flaw> {
        let mut result = match chain {
            [alone] if !alone.is_self_issued() => Err(Flaw::FirstUnverified),
            _ => Ok(()),
        };
        for (index, certificate) in chain.iter().enumerate().rev() {
            if let Some(issuer) = chain.get(index + 1)
                && !self.signed(certificate, issuer)
            {
                result = Err(Flaw::Signature);
            }
            if certificate.not_before > now {
                result = Err(Flaw::NotYetValid);
            } else if certificate.not_after < now {
                result = Err(Flaw::Expired);
            }
        }
        result
    }

    /// nameConstraints: webpki reads the same chain again.
    fn check_names(
        &self,
        chain: &[&Certificate],
        shown: &[CertificateDer<'_>],
        purpose: Purpose<'_>,
        now: UnixTime,
    ) -> Result<(), Flaw> {
        let mut roots = RootCertStore::empty();
        let between: Vec<_> = chain[1..].iter().map(|own| own.der.clone()).collect();
        let added = between.last().map(|root| roots.add(root.clone()));
        if !matches!(added, Some(Ok(()))) {
            return Err(Flaw::Subtree);
        }
        let (roots, provider) = (Arc::new(roots), self.provider.clone());
        let fits = match purpose {
            Purpose::Client => WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .is_ok_and(|own| own.verify_client_cert(&shown[0], &between, now).is_ok()),
            Purpose::Server(name) => WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .is_ok_and(|own| {
                    own.verify_server_cert(&shown[0], &between, name, &[], now)
                        .is_ok()
                }),
        };
        if fits { Ok(()) } else { Err(Flaw::Subtree) }
    }
}

/// What the certificates say they are for.
fn check_extensions(chain: &[&Certificate], purpose: Purpose<'_>) -> Result<(), Flaw> {
    let mut result = Ok(());
    let mut below = 0;
    for (index, certificate) in chain.iter().enumerate() {
        if certificate.unhandled {
            result = Err(Flaw::CriticalExtension);
        }
        if index > 0 && !certificate.is_authority() {
            result = Err(Flaw::InvalidCa);
        }
        if !serves(certificate, purpose, index == 0) {
            result = Err(Flaw::Purpose);
        }
        if index > 0 {
            if certificate.path_length.is_some_and(|most| below > most) {
                result = Err(Flaw::PathLength);
            }
            below += u32::from(!certificate.is_self_issued());
        }
    }
    result
}

fn serves(certificate: &Certificate, purpose: Purpose<'_>, is_peer: bool) -> bool {
    let extended = certificate.extended.is_none_or(|usage| match purpose {
        Purpose::Client => usage.client,
        Purpose::Server(_) => usage.server,
    });
    let usage = certificate.key_usage.filter(|_| is_peer);
    let plain = usage.is_none_or(|usage| match purpose {
        Purpose::Client => usage.signs_or_agrees,
        Purpose::Server(_) => usage.signs_or_agrees || usage.enciphers,
    });
    extended && plain
}

//! Verifies that a certificate chain leads to a trusted CA.
//!
//! The chain is built and verified as OpenSSL does it for nginx: trusted certificates are
//! preferred, up to a self-signed one. nginx runs every check and reports the last error
//! found; so does this. `docs/client-certificates.md` lists the differences to OpenSSL.

use std::cmp::Reverse;
use std::sync::Arc;

use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};

use super::certificate::{Authority, Certificate};
use super::crl::{self, Crl, RevocationContext};
use super::signature::{PublicKey, has_weak_hash, is_signed_by, is_weak_key};
use super::verify_error::VerifyError;

/// The trusted CAs, the CRLs and the limits.
#[derive(Debug)]
pub(crate) struct Trust {
    authorities: Vec<Certificate>,
    lists: Arc<[Crl]>,
    /// Intermediate certificates, at most.
    depth: usize,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The purpose of a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Client,
    Server,
}

/// The last error found, which nginx reports.
#[derive(Default)]
struct Findings(Option<VerifyError>);

impl Findings {
    fn add(&mut self, is_wrong: bool, error: VerifyError) {
        if is_wrong {
            self.0 = Some(error);
        }
    }

    fn add_result(&mut self, result: Result<(), VerifyError>) {
        self.0 = result.err().or(self.0);
    }
}

impl Trust {
    pub(crate) fn new(authorities: Vec<Certificate>, lists: Arc<[Crl]>, depth: usize) -> Self {
        Self {
            authorities,
            lists,
            depth,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }

    /// Verifies a peer's chain, whose first certificate is its own.
    pub(crate) fn examine(
        &self,
        shown: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<(), VerifyError> {
        let read: Option<Vec<_>> = shown.iter().map(|der| Certificate::parse(der)).collect();
        let read = read
            .filter(|read| !read.is_empty())
            .ok_or(VerifyError::Unreadable)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut found = Findings::default();
        let chain = self.build(&read, now, &mut found);
        check_extensions(&chain, purpose, &mut found);
        check_strength(&chain, &mut found);
        self.check_revocation(&chain, now, &mut found);
        self.check_signatures(&chain, now, &mut found);
        check_names(&chain, &mut found);
        found.0.map_or(Ok(()), Err)
    }

    /// Builds the chain as far as possible; adds the error at its end, if any.
    fn build<'a>(
        &'a self,
        shown: &'a [Certificate],
        now: i64,
        found: &mut Findings,
    ) -> Vec<&'a Certificate> {
        let mut chain = vec![&shown[0]];
        let mut trusted = 0;
        loop {
            let top = chain[chain.len() - 1];
            let is_room = chain.len() <= self.depth.saturating_add(1);
            if top.is_self_signed() {
                let mut authorities = self.authorities.iter();
                let known = trusted > 0 || (is_room && authorities.any(|own| own.der == top.der));
                let error = match chain.len() {
                    1 => VerifyError::SelfSigned,
                    _ => VerifyError::SelfSignedInChain,
                };
                found.add(!known, error);
                return chain;
            }
            let own = is_room.then(|| self.find_authority(top, &chain, now));
            if let Some(issuer) = own.flatten() {
                chain.push(issuer);
                trusted += 1;
                continue;
            }
            let sent = (is_room && trusted == 0).then(|| {
                let candidates = candidates_for(top, &shown[1..], &chain);
                candidates.min_by_key(|own| Reverse(own.validity_order(now)))
            });
            if let Some(issuer) = sent.flatten() {
                chain.push(issuer);
                continue;
            }
            found.add(trusted == 0, VerifyError::NoLocalIssuer);
            found.add(trusted > 0, VerifyError::NoIssuer);
            return chain;
        }
    }

    /// The issuer of `certificate` among the CAs. Of several with the same name (a CA may
    /// have changed its key), one that really signed it, which OpenSSL does not check, then
    /// one that is valid.
    fn find_authority<'a>(
        &'a self,
        certificate: &Certificate,
        chain: &[&Certificate],
        now: i64,
    ) -> Option<&'a Certificate> {
        let named: Vec<_> = candidates_for(certificate, &self.authorities, chain).collect();
        if let [alone] = named.as_slice() {
            return Some(alone);
        }
        named
            .into_iter()
            .min_by_key(|own| Reverse((self.signed(certificate, own), own.validity_order(now))))
    }

    fn signed(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        PublicKey::parse(&issuer.key)
            .is_some_and(|key| is_signed_by(&certificate.der, key, &self.algorithms))
    }

    fn check_revocation(&self, chain: &[&Certificate], now: i64, found: &mut Findings) {
        if self.lists.is_empty() {
            return;
        }
        let asked = RevocationContext {
            lists: &self.lists,
            now,
            algorithms: &self.algorithms,
        };
        for (index, certificate) in chain.iter().enumerate() {
            // The last one is self-signed, or its issuer is missing.
            let above = (index + 1).min(chain.len() - 1);
            found.add_result(crl::check(&asked, certificate, &chain[above..]));
        }
    }

    /// Checks signatures and times, from the CA to the peer.
    fn check_signatures(&self, chain: &[&Certificate], now: i64, found: &mut Findings) {
        let last = chain.len() - 1;
        let is_whole = chain[last].is_self_signed();
        found.add(!is_whole && last == 0, VerifyError::FirstUnverified);
        for (index, certificate) in chain.iter().enumerate().rev() {
            if let Some(issuer) = chain.get(index + 1) {
                let usage = issuer.extensions.key_usage;
                let signs = usage.is_none_or(|usage| usage.signs_certificates);
                found.add(!signs, VerifyError::NoCertificateSigning);
                // Weak keys and hashes have been reported; rustls does not support them.
                let weak = is_weak_key(&issuer.key) || has_weak_hash(&certificate.der);
                let signed = certificate.is_consistent && self.signed(certificate, issuer);
                found.add(!weak && !signed, VerifyError::Signature);
            } else if !is_whole && last > 0 {
                // Without its issuer it cannot be checked.
                continue;
            }
            let (from, to) = (certificate.not_before, certificate.not_after);
            found.add(from.is_none(), VerifyError::NotBeforeFormat);
            found.add(
                from.is_some_and(|time| time > now),
                VerifyError::NotYetValid,
            );
            found.add(to.is_none(), VerifyError::NotAfterFormat);
            found.add(to.is_some_and(|time| time < now), VerifyError::Expired);
        }
    }
}

/// Possible issuers of `certificate` that are not in the chain yet.
fn candidates_for<'a>(
    certificate: &Certificate,
    candidates: &'a [Certificate],
    chain: &[&Certificate],
) -> impl Iterator<Item = &'a Certificate> {
    candidates.iter().filter(|own| {
        certificate.may_be_issued_by(own) && !chain.iter().any(|used| used.der == own.der)
    })
}

/// Checks what the certificates may be used for.
fn check_extensions(chain: &[&Certificate], purpose: Purpose, found: &mut Findings) {
    let mut below = 0;
    for (index, certificate) in chain.iter().enumerate() {
        let own = &certificate.extensions;
        found.add(own.unhandled, VerifyError::CriticalExtension);
        found.add(own.proxy, VerifyError::Proxy);
        let authority = certificate.authority();
        let is_between = index > 0 && index + 1 < chain.len();
        let is_old = authority == Authority::ByOldRules;
        let is_none = index > 0 && authority == Authority::No;
        found.add(is_none || (is_between && is_old), VerifyError::InvalidCa);
        let serves = serves(certificate, purpose, index == 0);
        found.add((is_none || !serves) && !own.invalid, VerifyError::Purpose);
        if index > 0 {
            let longest = own.path_length.unwrap_or(u32::MAX);
            found.add(below > longest, VerifyError::PathLength);
            below += u32::from(!certificate.is_self_issued());
        }
    }
}

fn serves(certificate: &Certificate, purpose: Purpose, is_peer: bool) -> bool {
    let own = &certificate.extensions;
    let extended = own.extended.is_none_or(|usage| match purpose {
        Purpose::Client => usage.client,
        Purpose::Server => usage.server,
    });
    let usage = own.key_usage.filter(|_| is_peer);
    let plain = usage.is_none_or(|usage| match purpose {
        Purpose::Client => usage.signs_or_agrees,
        Purpose::Server => usage.signs_or_agrees || usage.enciphers,
    });
    let netscape = own.netscape.filter(|_| is_peer);
    let netscape = netscape.is_none_or(|usage| match purpose {
        Purpose::Client => usage.client,
        Purpose::Server => usage.server,
    });
    extended && plain && netscape
}

/// Checks the strength of the CAs' keys, and of the hashes they signed.
fn check_strength(chain: &[&Certificate], found: &mut Findings) {
    for (index, certificate) in chain.iter().enumerate() {
        found.add(
            index > 0 && is_weak_key(&certificate.key),
            VerifyError::WeakKey,
        );
        let is_last = index + 1 == chain.len();
        found.add(
            !is_last && has_weak_hash(&certificate.der),
            VerifyError::WeakHash,
        );
    }
}

/// Checks every certificate against the name constraints of all CAs above it, including the
/// root's.
fn check_names(chain: &[&Certificate], found: &mut Findings) {
    for (index, certificate) in chain.iter().enumerate().rev() {
        if index > 0 && certificate.is_self_issued() {
            continue;
        }
        for above in chain[index + 1..].iter().rev() {
            if let Some(constraints) = &above.extensions.constraints {
                found.add_result(constraints.check(certificate, index == 0));
            }
        }
    }
}

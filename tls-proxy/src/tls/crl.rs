//! Lists of revoked certificates (`ssl_crl`; RFC 5280, section 5).

use std::collections::HashSet;

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, ParsedExtension};

use super::certificate::{Certificate, canonical};
use super::flaw::Flaw;
use super::signature::{PublicKey, is_signed_by};

/// One authority's list.
#[derive(Debug)]
pub(crate) struct Crl {
    der: Vec<u8>,
    issuer: Vec<u8>,
    this_update: i64,
    next_update: Option<i64>,
    serials: HashSet<Vec<u8>>,
    /// Has a critical extension that is not understood here.
    unhandled: bool,
}

impl Crl {
    /// Reads a list; `None` where it is none.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = CertificateRevocationList::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let critical = parsed.extensions().iter().any(|extension| {
            extension.critical
                && !matches!(
                    extension.parsed_extension(),
                    ParsedExtension::CRLNumber(_) | ParsedExtension::AuthorityKeyIdentifier(_)
                )
        });
        let revoked = parsed.iter_revoked_certificates();
        // An entry with a critical extension may speak of another issuer.
        let (plain, special): (Vec<_>, Vec<_>) =
            revoked.partition(|entry| entry.extensions().iter().all(|it| !it.critical));
        Some(Self {
            der: der.to_vec(),
            issuer: canonical(parsed.issuer()),
            this_update: parsed.last_update().timestamp(),
            next_update: parsed.next_update().map(|time| time.timestamp()),
            serials: plain
                .iter()
                .map(|entry| entry.raw_serial().to_vec())
                .collect(),
            unhandled: critical || !special.is_empty(),
        })
    }

    fn check_itself(
        &self,
        issuer: &Certificate,
        now: i64,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Flaw> {
        if self.unhandled {
            return Err(Flaw::CrlCriticalExtension);
        }
        let key = PublicKey::parse(&issuer.key);
        let may_sign = issuer.key_usage.is_none_or(|usage| usage.signs_crls);
        if !may_sign || !key.is_some_and(|key| is_signed_by(&self.der, key, algorithms)) {
            return Err(Flaw::CrlSignature);
        }
        if self.this_update > now {
            return Err(Flaw::CrlNotYetValid);
        }
        match self.next_update {
            Some(next) if next < now => Err(Flaw::CrlExpired),
            _ => Ok(()),
        }
    }
}

/// Asks the lists about a certificate. A good list of its issuer must be
/// there; one list that names it is enough to refuse it.
pub(super) fn check(
    lists: &[Crl],
    certificate: &Certificate,
    issuer: &Certificate,
    now: i64,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Flaw> {
    let mut result = Err(Flaw::NoCrl);
    for list in lists
        .iter()
        .filter(|list| list.issuer == certificate.issuer)
    {
        match list.check_itself(issuer, now, algorithms) {
            Ok(()) if list.serials.contains(&certificate.serial) => return Err(Flaw::Revoked),
            Ok(()) => result = Ok(()),
            Err(flaw) if result.is_err() => result = Err(flaw),
            Err(_) => {}
        }
    }
    result
}

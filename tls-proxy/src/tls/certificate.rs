//! One certificate, read once: what the verification of a chain asks of it.

use rustls::pki_types::CertificateDer;
use x509_parser::nom::Parser as _;
use x509_parser::prelude::{X509CertificateParser, X509Version};

use super::der::{self, SEQUENCE};
use super::distinguished_name::Name;
use super::extensions::Extensions;
use super::signature::{is_same_algorithm, is_signed_by_kind_of};
use super::time;

/// A certificate of an authority or a peer.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    pub(super) subject: Name,
    pub(super) issuer: Name,
    /// The subject as it stands, for the list of authorities.
    pub(super) raw_subject: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub(super) key: Vec<u8>,
    pub(super) serial: Vec<u8>,
    /// Seconds since 1970; `None` where it is not written as RFC 5280, section
    /// 4.1.2.5 asks.
    pub(super) not_before: Option<i64>,
    pub(super) not_after: Option<i64>,
    /// The algorithm of its signature is named alike inside and outside of
    /// what is signed.
    pub(super) is_consistent: bool,
    version1: bool,
    pub(super) extensions: Extensions,
}

impl Certificate {
    /// Reads a certificate of any version; `None` where it is none.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (rest, parsed) = parser.parse(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let issuer = Name::parse(parsed.issuer().as_raw())?;
        let (not_before, not_after) = times(parsed.tbs_certificate.as_ref())?;
        let extensions = parsed.extensions().iter();
        let extensions = extensions.map(|own| (own.oid.as_bytes(), own.critical, own.value));
        Some(Self {
            der: CertificateDer::from(der.to_vec()),
            subject: Name::parse(parsed.subject().as_raw())?,
            raw_subject: parsed.subject().as_raw().to_vec(),
            key: parsed.public_key().raw.to_vec(),
            serial: parsed.raw_serial().to_vec(),
            not_before,
            not_after,
            is_consistent: is_same_algorithm(der),
            version1: parsed.version() == X509Version::V1,
            extensions: Extensions::parse(extensions, &issuer),
            issuer,
        })
    }

    /// Whether names, identifiers and the kind of key say that `issuer` issued
    /// it.
    pub(super) fn may_be_issued_by(&self, issuer: &Self) -> bool {
        let (own, above) = (&self.extensions, &issuer.extensions);
        self.issuer == issuer.subject
            && !own.invalid
            && !above.invalid
            && own
                .authority_key_id
                .as_ref()
                .is_none_or(|id| id.is_of(issuer))
            && is_signed_by_kind_of(&self.der, &issuer.key)
    }

    /// Issued by its own subject, but perhaps with another key.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// By all it says it is its own issuer.
    pub(super) fn is_self_signed(&self) -> bool {
        self.may_be_issued_by(self)
    }

    /// Orders issuers by their times: those that are valid first, then those
    /// that were so the longest.
    pub(super) fn standing(&self, now: i64) -> (bool, Option<i64>) {
        let has_begun = self.not_before.is_some_and(|time| time <= now);
        let is_valid = has_begun && self.not_after.is_some_and(|time| time >= now);
        (is_valid, self.not_after.filter(|_| !is_valid))
    }

    /// Whether it may sign certificates (RFC 5280, section 4.2.1.9).
    pub(super) fn authority(&self) -> Authority {
        let own = &self.extensions;
        let signs = own.key_usage.is_none_or(|usage| usage.signs_certificates);
        match own.authority {
            _ if own.invalid || !signs => Authority::No,
            Some(true) => Authority::Yes,
            Some(false) => Authority::No,
            None if self.version1 && self.is_self_signed() => Authority::ByOldRules,
            None if own.key_usage.is_some() => Authority::ByOldRules,
            None => Authority::No,
        }
    }
}

/// How sure a certificate is of being an authority's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authority {
    No,
    /// basicConstraints say so.
    Yes,
    /// A root older than version 3, or keyUsage alone; good enough at the end
    /// of a chain only.
    ByOldRules,
}

/// notBefore and notAfter of a TBSCertificate.
fn times(body: &[u8]) -> Option<(Option<i64>, Option<i64>)> {
    let fields = der::all(der::only(body, SEQUENCE)?)?;
    // Behind version (absent in version 1), serial number, algorithm, issuer.
    let at = 3 + usize::from(fields.first()?.tag == der::fields(0));
    let validity = der::all(fields.get(at)?.content)?;
    let [from, to] = validity.as_slice() else {
        return None;
    };
    Some((time::parse(from), time::parse(to)))
}

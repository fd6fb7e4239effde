//! A parsed certificate: what verifying a chain needs of it.

use rustls::pki_types::CertificateDer;
use x509_parser::nom::Parser as _;
use x509_parser::prelude::{X509CertificateParser, X509Version};

use super::der::{self, SEQUENCE};
use super::distinguished_name::Name;
use super::extensions::Extensions;
use super::signature::{is_same_algorithm, is_signed_by_kind_of};
use super::time;

/// A certificate of a CA or a peer.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    pub(super) subject: Name,
    pub(super) issuer: Name,
    /// The subject in DER, for the list of CA names.
    pub(super) raw_subject: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub(super) key: Vec<u8>,
    pub(super) serial: Vec<u8>,
    /// Seconds since 1970; `None` if it does not have the form of RFC 5280, section
    /// 4.1.2.5.
    pub(super) not_before: Option<i64>,
    pub(super) not_after: Option<i64>,
    /// The signature algorithm is the same inside and outside of the signed part.
    pub(super) is_consistent: bool,
    version1: bool,
    pub(super) extensions: Extensions,
}

impl Certificate {
    /// Parses a certificate of any version; `None` if it is invalid.
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

    /// Whether `issuer` may have issued it, by names, key identifiers and kind of key.
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

    /// Subject and issuer are the same; the key need not be.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// It may have been issued by itself.
    pub(super) fn is_self_signed(&self) -> bool {
        self.may_be_issued_by(self)
    }

    /// An order of issuers by validity: valid ones first, then the ones that expired last.
    pub(super) fn validity_order(&self, now: i64) -> (bool, Option<i64>) {
        let has_begun = self.not_before.is_some_and(|time| time <= now);
        let is_valid = has_begun && self.not_after.is_some_and(|time| time >= now);
        (is_valid, self.not_after.filter(|_| !is_valid))
    }

    /// Whether it is a CA certificate (RFC 5280, section 4.2.1.9).
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

/// Whether a certificate is a CA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authority {
    No,
    /// By its basicConstraints.
    Yes,
    /// By being a root older than version 3, or by keyUsage alone; accepted at the end of a
    /// chain only.
    ByOldRules,
}

/// notBefore and notAfter of a TBSCertificate.
fn times(body: &[u8]) -> Option<(Option<i64>, Option<i64>)> {
    let fields = der::all(der::only(body, SEQUENCE)?)?;
    // After version (absent in version 1), serial number, algorithm and issuer.
    let at = 3 + usize::from(fields.first()?.tag == der::fields(0));
    let validity = der::all(fields.get(at)?.content)?;
    let [from, to] = validity.as_slice() else {
        return None;
    };
    Some((time::parse(from), time::parse(to)))
}

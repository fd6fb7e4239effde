//! Certificate revocation lists (`ssl_crl`; RFC 5280, section 5), used as OpenSSL does for
//! nginx, except for delta CRLs.

use std::cmp::Reverse;
use std::sync::OnceLock;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateRevocationListDer;

use super::certificate::Certificate;
use super::der::{self, BOOLEAN, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE, fields};
use super::distinguished_name::Name;
use super::distribution_point::{EVERY_REASON, IssuingPoint, Reasons, reasons_for};
use super::extensions::{AUTHORITY_KEY_ID, KeyIdentifier};
use super::general_name::GeneralName;
use super::signature::{PublicKey, is_signed_by};
use super::time;
use super::verify_error::VerifyError;
use crate::message::fields::append;

/// A CRL.
#[derive(Debug)]
pub(crate) struct Crl {
    der: CertificateRevocationListDer<'static>,
    issuer: Name,
    /// Seconds since 1970; `None` if its form is invalid.
    this_update: Option<i64>,
    next_update: Option<Option<i64>>,
    serials: Serials,
    authority_key_id: Option<KeyIdentifier>,
    point: Option<IssuingPoint>,
    number: Option<Vec<u8>>,
    /// It is a delta CRL.
    delta: bool,
    /// It has an unknown critical extension.
    unhandled: bool,
    /// The first key that was found to have signed it: it need not be tried for each
    /// handshake.
    signed_by: OnceLock<Vec<u8>>,
}

/// Serial numbers, in little more memory than in the list itself: it may have very many.
#[derive(Debug, Default)]
struct Serials {
    bytes: Vec<u8>,
    /// Where each is; once sorted, in the order of the numbers.
    places: Vec<(u32, u32)>,
}

impl Serials {
    fn add(&mut self, serial: &[u8]) {
        self.places.push(append(&mut self.bytes, serial));
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.places
            .sort_unstable_by(|one, other| at(bytes, *one).cmp(at(bytes, *other)));
        self.bytes.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    fn contains(&self, serial: &[u8]) -> bool {
        let found = |place: &(u32, u32)| at(&self.bytes, *place).cmp(serial);
        self.places.binary_search_by(found).is_ok()
    }
}

fn at(bytes: &[u8], (start, end): (u32, u32)) -> &[u8] {
    &bytes[start as usize..end as usize]
}

const NUMBER: &[u8] = &[0x55, 0x1d, 20];
const REASON: &[u8] = &[0x55, 0x1d, 21];
const DELTA: &[u8] = &[0x55, 0x1d, 27];
const ISSUING_POINT: &[u8] = &[0x55, 0x1d, 28];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];

impl Crl {
    /// Parses a CRL; `None` if it or a required extension is invalid.
    pub(crate) fn parse(der: CertificateRevocationListDer<'static>) -> Option<Self> {
        let body = der::element(der::only(&der, SEQUENCE)?)?.0;
        let mut rest = (body.tag == SEQUENCE).then_some(body.content)?;
        let _version = der::optional(&mut rest, INTEGER);
        let _algorithm = der::next(&mut rest, SEQUENCE)?;
        let (issuer, after) = der::element(rest)?;
        let (this_update, after) = der::element(after)?;
        rest = after;
        let next_update = der::element(rest).filter(|(one, _)| is_time(one.tag));
        if let Some((_, after)) = &next_update {
            rest = after;
        }
        let entries = der::optional(&mut rest, SEQUENCE).unwrap_or_default();
        let extensions = der::optional(&mut rest, fields(0));
        let issuer = Name::parse(issuer.whole)?;
        let mut own = Self {
            der: Vec::new().into(),
            this_update: time::parse(&this_update),
            next_update: next_update.map(|(one, _)| time::parse(&one)),
            serials: Serials::default(),
            authority_key_id: None,
            point: None,
            number: None,
            delta: false,
            unhandled: false,
            signed_by: OnceLock::new(),
            issuer,
        };
        for (id, critical, value) in extension_list(extensions)? {
            own.parse_extension(id, critical, value)?;
        }
        own.read_entries(entries)?;
        own.serials.sort();
        let is_valid = is_time(this_update.tag) && rest.is_empty();
        own.der = der;
        is_valid.then_some(own)
    }

    fn parse_extension(&mut self, id: &[u8], critical: bool, value: &[u8]) -> Option<()> {
        match id {
            AUTHORITY_KEY_ID => self.authority_key_id = Some(KeyIdentifier::parse(value)?),
            ISSUING_POINT => self.point = Some(IssuingPoint::parse(value, &self.issuer)?),
            DELTA => self.delta = true,
            NUMBER => {
                self.number = Some(der::first(value, INTEGER)?.to_vec());
                self.unhandled |= critical;
            }
            _ => self.unhandled |= critical,
        }
        Some(())
    }

    /// Collects the serial numbers of this issuer's certificates.
    fn read_entries(&mut self, entries: &[u8]) -> Option<()> {
        const REMOVED: &[u8] = &[8];
        const ENUMERATED: u8 = 0x0a;
        // An issuer applies to the following entries, too.
        let mut is_own = true;
        let mut left = entries;
        while !left.is_empty() {
            let (entry, after) = der::element(left)?;
            left = after;
            let mut rest = (entry.tag == SEQUENCE).then_some(entry.content)?;
            let serial = der::next(&mut rest, INTEGER)?;
            let (_date, rest) = der::element(rest)?;
            let mut is_removed = false;
            let list = (!rest.is_empty()).then_some(rest);
            for (id, critical, value) in extension_list(list)? {
                match id {
                    CERTIFICATE_ISSUER => {
                        let names = GeneralName::parse_extension(value)?;
                        let mut names = names.iter().filter_map(GeneralName::directory);
                        is_own = names.any(|name| *name == self.issuer);
                        continue;
                    }
                    REASON => is_removed = der::first(value, ENUMERATED)? == REMOVED,
                    _ => {}
                }
                self.unhandled |= critical;
            }
            if is_own && !is_removed {
                self.serials.add(serial);
            }
        }
        Some(())
    }

    /// The certificate that signed it: the certificate's issuer, or one with the same name
    /// further up in the chain.
    fn issuer_in<'a>(&self, above: &[&'a Certificate]) -> Option<&'a Certificate> {
        let mut fitting = above.iter().filter(|own| {
            let id = self.authority_key_id.as_ref();
            own.subject == self.issuer && id.is_none_or(|id| id.is_of(own))
        });
        fitting.next().copied()
    }

    fn check_time(&self, now: i64) -> Result<(), VerifyError> {
        match self.next_update {
            Some(None) => return Err(VerifyError::CrlNextUpdateFormat),
            Some(Some(next)) if next < now => return Err(VerifyError::CrlExpired),
            _ => {}
        }
        match self.this_update {
            None => Err(VerifyError::CrlLastUpdateFormat),
            Some(from) if from > now => Err(VerifyError::CrlNotYetValid),
            Some(_) => Ok(()),
        }
    }

    /// Returns the last error that OpenSSL would find.
    fn check(
        &self,
        asked: &RevocationContext<'_>,
        issuer: &Certificate,
        serial: &[u8],
    ) -> Result<(), VerifyError> {
        if self.serials.contains(serial) {
            return Err(VerifyError::Revoked);
        }
        if self.unhandled {
            return Err(VerifyError::CrlCriticalExtension);
        }
        if !self.is_signed_by(issuer, asked) {
            return Err(VerifyError::CrlSignature);
        }
        self.check_time(asked.now)?;
        let usage = issuer.extensions.key_usage;
        if usage.is_some_and(|usage| !usage.signs_crls) {
            return Err(VerifyError::NoCrlSigning);
        }
        Ok(())
    }

    fn is_signed_by(&self, issuer: &Certificate, asked: &RevocationContext<'_>) -> bool {
        if self.signed_by.get() == Some(&issuer.key) {
            return true;
        }
        let key = PublicKey::parse(&issuer.key);
        let is_signed = key.is_some_and(|key| is_signed_by(&self.der, key, asked.algorithms));
        if is_signed {
            // Another worker may have been faster; a second key is tried each time.
            let _ = self.signed_by.set(issuer.key.clone());
        }
        is_signed
    }

    /// Whether it is a delta CRL that is, or may be, newer than `base`.
    fn changes(&self, base: &Self) -> bool {
        let order = |list: &Self| {
            let digits = list.number.as_deref()?;
            let zeros = digits.iter().take_while(|digit| **digit == 0).count();
            Some((digits.len() - zeros, digits[zeros..].to_vec()))
        };
        let is_newer = match (order(self), order(base)) {
            (Some(own), Some(other)) => own > other,
            _ => true,
        };
        self.delta && self.issuer == base.issuer && is_newer
    }
}

/// The CRLs and parameters of a revocation check.
pub(super) struct RevocationContext<'a> {
    pub(super) lists: &'a [Crl],
    pub(super) now: i64,
    pub(super) algorithms: &'a WebPkiSupportedAlgorithms,
}

/// Checks a certificate, whose issuer is the first of `above`, against the CRLs. Of several
/// CRLs of its issuer that cover it, the best one is used: one that is in force before
/// others, then the newest.
///
/// A delta CRL alone is not sufficient and replaces none: certificates it revokes are
/// revoked in addition. OpenSSL treats it as a complete one.
pub(super) fn check(
    asked: &RevocationContext<'_>,
    certificate: &Certificate,
    above: &[&Certificate],
) -> Result<(), VerifyError> {
    let mut result = Ok(());
    let mut reasons: Reasons = 0;
    while reasons != EVERY_REASON {
        let candidates = asked.lists.iter().filter_map(|list| {
            let issuer = list.issuer_in(above)?;
            let about = (list.issuer == certificate.issuer && !list.delta)
                .then(|| reasons_for(list.point.as_ref(), &list.issuer, certificate))??;
            (about & !reasons != 0).then_some((list, issuer, about))
        });
        let best = candidates.min_by_key(|(list, issuer, _)| {
            let is_direct = above.first().is_some_and(|own| own.der == issuer.der);
            let in_force = list.check_time(asked.now).is_ok();
            Reverse((!list.unhandled, in_force, is_direct, list.this_update))
        });
        let Some((list, issuer, about)) = best else {
            return Err(VerifyError::NoCrl);
        };
        result = list.check(asked, issuer, &certificate.serial).and(result);
        let mut changes = asked.lists.iter().filter(|own| own.changes(list));
        if changes
            .any(|own| own.serials.contains(&certificate.serial) && own.is_signed_by(issuer, asked))
        {
            result = Err(VerifyError::Revoked);
        }
        reasons |= about;
    }
    result
}

fn is_time(tag: u8) -> bool {
    matches!(tag, der::UTC_TIME | der::GENERALIZED_TIME)
}

/// Object identifier, criticality and value of each extension.
#[expect(clippy::type_complexity, reason = "a list of triples, read at once")]
fn extension_list(list: Option<&[u8]>) -> Option<Vec<(&[u8], bool, &[u8])>> {
    let Some(list) = list else {
        return Some(Vec::new());
    };
    let all = der::all(der::only(list, SEQUENCE)?)?;
    let read = all.iter().map(|one| {
        let mut rest = (one.tag == SEQUENCE).then_some(one.content)?;
        let id = der::next(&mut rest, OBJECT_ID)?;
        let critical = der::optional(&mut rest, BOOLEAN).is_some_and(|flag| flag != [0]);
        let value = der::next(&mut rest, OCTET_STRING)?;
        rest.is_empty().then_some((id, critical, value))
    });
    read.collect()
}

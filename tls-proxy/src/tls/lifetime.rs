//! The expiry of served certificates, for logs and metrics.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::names;
use crate::time::clock::Stamp;

/// Time before expiry from which on it is reported, seconds.
const SOON: i64 = 7 * 24 * 60 * 60;

/// A served certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// The file, as the configuration names it.
    pub(crate) file: PathBuf,
    /// Its first alternative name, or its subject.
    pub(crate) name: String,
    /// Hexadecimal, as `$ssl_client_serial`.
    pub(crate) serial: String,
    /// Its expiry, seconds since 1970.
    pub(crate) not_after: i64,
}

/// Whether expiry has to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    Expired,
    Soon,
}

impl Lifetime {
    /// Parses a certificate; `None` if it is invalid.
    pub(super) fn read(file: &Path, der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let serial = parsed.raw_serial();
        Some(Self {
            file: file.to_owned(),
            name: name(&parsed),
            serial: serial.iter().map(|byte| format!("{byte:02X}")).collect(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// Its expiry (RFC 3339).
    pub(crate) fn end(&self) -> String {
        Stamp::of(u64::try_from(self.not_after).unwrap_or_default()).rfc3339()
    }

    /// Whether it has expired or expires soon.
    pub(crate) fn urgency(&self) -> Option<Urgency> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.urgency_at(now)
    }

    fn urgency_at(&self, now: i64) -> Option<Urgency> {
        match self.not_after.saturating_sub(now) {
            ..0 => Some(Urgency::Expired),
            0..=SOON => Some(Urgency::Soon),
            _ => None,
        }
    }
}

fn name(certificate: &X509Certificate<'_>) -> String {
    let alternatives = certificate.extensions().iter().filter_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        }
    });
    let mut hosts = alternatives.flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    let mut common = certificate.subject().iter_common_name();
    let common = common.find_map(|name| name.as_str().ok());
    hosts
        .next()
        .or(common.map(ToOwned::to_owned))
        .unwrap_or_else(|| names::rfc2253(certificate.subject()))
}

fn address(bytes: &[u8]) -> Option<String> {
    use std::net::IpAddr;
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_week_is_told_of() {
        let own = Lifetime {
            file: "cert.pem".into(),
            name: "a".to_owned(),
            serial: "01".to_owned(),
            not_after: 1_790_000_000,
        };
        assert_eq!(own.end(), "2026-09-21T14:13:20Z");
        for (before, expected) in [
            (-1, Some(Urgency::Expired)),
            (0, Some(Urgency::Soon)),
            (SOON, Some(Urgency::Soon)),
            (SOON + 1, None),
        ] {
            assert_eq!(own.urgency_at(own.not_after - before), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_lifetime() {
        assert_eq!(Lifetime::read(Path::new("a"), b""), None);
        assert_eq!(
            Lifetime::read(Path::new("a"), b"\x30\x03\x02\x01\x01"),
            None
        );
    }
}

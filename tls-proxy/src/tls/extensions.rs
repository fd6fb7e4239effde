//! The extensions of a certificate (RFC 5280, section 4.2) that chain verification uses.
//!
//! If one of these is malformed or repeated, the certificate is invalid: it has no issuer
//! and is no issuer. OpenSSL does the same.

use super::certificate::Certificate;
use super::der::{self, BIT_STRING, BOOLEAN, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE, field};
use super::distinguished_name::Name;
use super::distribution_point::DistributionPoint;
use super::general_name::GeneralName;
use super::name_constraints::NameConstraints;

/// The parsed extensions of a certificate.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// basicConstraints: whether it is a CA, and how many other CAs may follow.
    pub(super) authority: Option<bool>,
    pub(super) path_length: Option<u32>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended: Option<ExtendedUsage>,
    pub(super) netscape: Option<NetscapeType>,
    key_id: Option<Vec<u8>>,
    pub(super) authority_key_id: Option<KeyIdentifier>,
    pub(super) alternative_names: Vec<GeneralName>,
    pub(super) constraints: Option<NameConstraints>,
    pub(super) distribution_points: Vec<DistributionPoint>,
    /// It is a proxy certificate (RFC 3820).
    pub(super) proxy: bool,
    /// It has an unknown critical extension.
    pub(super) unhandled: bool,
    /// An extension is malformed or repeated.
    pub(super) invalid: bool,
}

/// The bits of keyUsage that are used.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyUsage {
    pub(super) signs_certificates: bool,
    pub(super) signs_crls: bool,
    pub(super) signs_or_agrees: bool,
    pub(super) enciphers: bool,
}

/// The purposes of extKeyUsage that are used. anyExtendedKeyUsage is not sufficient.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExtendedUsage {
    pub(super) client: bool,
    pub(super) server: bool,
}

/// netscape-cert-type, which OpenSSL still applies.
#[derive(Clone, Copy, Debug)]
pub(super) struct NetscapeType {
    pub(super) client: bool,
    pub(super) server: bool,
}

/// authorityKeyIdentifier.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyIdentifier {
    key: Option<Vec<u8>>,
    /// The issuer's issuer, and the issuer's serial number.
    issuer: Option<Name>,
    serial: Option<Vec<u8>>,
}

/// The extensions parsed here, by object identifier.
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 31];
pub(super) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const NETSCAPE_TYPE: &[u8] = &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 1, 1];
/// proxyCertInfo.
const PROXY: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 14];
/// Addresses and autonomous systems (RFC 3779), which OpenSSL verifies; not supported here.
const RESOURCES: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 1, 7], &[0x2b, 6, 1, 5, 5, 7, 1, 8]];
/// Policies, their mappings and constraints, and inhibitAnyPolicy: nginx requires no
/// policy, so they have no effect. And OCSP's no-check.
const WITHOUT_EFFECT: [&[u8]; 5] = [
    &[0x55, 0x1d, 32],
    &[0x55, 0x1d, 33],
    &[0x55, 0x1d, 36],
    &[0x55, 0x1d, 54],
    &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 5],
];

impl Extensions {
    /// Parses object identifier, criticality and value of each extension.
    pub(super) fn parse<'a>(
        all: impl Iterator<Item = (&'a [u8], bool, &'a [u8])>,
        issuer: &Name,
    ) -> Self {
        let mut own = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        for (id, critical, value) in all {
            let twice = seen.contains(&id);
            seen.push(id);
            match own.parse_extension(id, value, issuer) {
                Read::Known(Some(())) => own.invalid |= twice,
                Read::Known(None) => own.invalid = true,
                Read::WithoutEffect => {}
                Read::Unknown => own.unhandled |= critical,
            }
            // OpenSSL accepts key identifiers only if they are not critical.
            own.unhandled |= critical && [SUBJECT_KEY_ID, AUTHORITY_KEY_ID].contains(&id);
            own.unhandled |= RESOURCES.contains(&id);
        }
        own
    }

    fn parse_extension(&mut self, id: &[u8], value: &[u8], issuer: &Name) -> Read {
        Read::Known(match id {
            SUBJECT_KEY_ID => der::first(value, OCTET_STRING).map(|id| {
                self.key_id = Some(id.to_vec());
            }),
            KEY_USAGE => KeyUsage::parse(value).map(|it| self.key_usage = Some(it)),
            ALTERNATIVE_NAMES => GeneralName::parse_extension(value).map(|names| {
                self.alternative_names = names;
            }),
            BASIC_CONSTRAINTS => self.parse_basic_constraints(value),
            NAME_CONSTRAINTS => NameConstraints::parse(value).map(|it| {
                self.constraints = Some(it);
            }),
            DISTRIBUTION_POINTS => DistributionPoint::parse_all(value, issuer).map(|points| {
                self.distribution_points = points;
            }),
            AUTHORITY_KEY_ID => KeyIdentifier::parse(value).map(|it| {
                self.authority_key_id = Some(it);
            }),
            EXTENDED_KEY_USAGE => ExtendedUsage::parse(value).map(|it| self.extended = Some(it)),
            NETSCAPE_TYPE => bits(value).map(|bits| {
                self.netscape = Some(NetscapeType {
                    client: bits & 0x80 != 0,
                    server: bits & 0x40 != 0,
                });
            }),
            PROXY => {
                self.proxy = true;
                Some(())
            }
            id if WITHOUT_EFFECT.contains(&id) => return Read::WithoutEffect,
            _ => return Read::Unknown,
        })
    }

    fn parse_basic_constraints(&mut self, value: &[u8]) -> Option<()> {
        let mut rest = der::first(value, SEQUENCE)?;
        let authority = der::optional(&mut rest, BOOLEAN);
        let length = der::optional(&mut rest, INTEGER);
        self.authority = Some(authority.is_some_and(|flag| flag != [0]));
        if let Some(length) = length {
            let is_negative = *length.first()? & 0x80 != 0;
            let digits = length.iter().skip_while(|digit| **digit == 0);
            let number = digits.fold(0_u32, |sum, digit| {
                sum.saturating_mul(256).saturating_add(u32::from(*digit))
            });
            self.path_length = (!is_negative).then_some(number);
            self.path_length?;
        }
        rest.is_empty().then_some(())
    }
}

/// The result of parsing an extension.
enum Read {
    /// A supported extension; `None` if it is malformed.
    Known(Option<()>),
    WithoutEffect,
    Unknown,
}

impl KeyUsage {
    fn parse(value: &[u8]) -> Option<Self> {
        // An empty list permits nothing and is forbidden.
        let bits = bits(value)?;
        let all = der::first(value, BIT_STRING)?;
        all[1..].iter().any(|byte| *byte != 0).then_some(Self {
            signs_certificates: bits & 0x04 != 0,
            signs_crls: bits & 0x02 != 0,
            signs_or_agrees: bits & 0x88 != 0,
            enciphers: bits & 0x20 != 0,
        })
    }
}

/// The first eight bits of a BIT STRING.
fn bits(value: &[u8]) -> Option<u8> {
    let (unused, bytes) = der::first(value, BIT_STRING)?.split_first()?;
    let is_fit = *unused < 8 && (*unused == 0 || !bytes.is_empty());
    is_fit.then(|| bytes.first().copied().unwrap_or_default())
}

impl ExtendedUsage {
    fn parse(value: &[u8]) -> Option<Self> {
        const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
        const CLIENT: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
        /// Server gated cryptography of Microsoft and Netscape.
        const GATED: [&[u8]; 2] = [
            &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3],
            &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1],
        ];
        let mut own = Self::default();
        for usage in der::all(der::first(value, SEQUENCE)?)? {
            let id = (usage.tag == OBJECT_ID).then_some(usage.content)?;
            own.client |= id == CLIENT;
            own.server |= id == SERVER || GATED.contains(&id);
        }
        Some(own)
    }
}

impl KeyIdentifier {
    /// Parses the extension; `None` if it is invalid.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let mut rest = der::first(value, SEQUENCE)?;
        let key = der::optional(&mut rest, field(0)).map(<[u8]>::to_vec);
        let names = der::optional(&mut rest, der::fields(1)).unwrap_or_default();
        let names = GeneralName::parse_all(names)?;
        let serial = der::optional(&mut rest, field(2)).map(<[u8]>::to_vec);
        rest.is_empty().then(|| Self {
            key,
            issuer: names.iter().find_map(|name| name.directory().cloned()),
            serial,
        })
    }

    /// Whether it matches this certificate.
    pub(super) fn is_of(&self, certificate: &Certificate) -> bool {
        let key = (&self.key, &certificate.extensions.key_id);
        let another = matches!(key, (Some(named), Some(own)) if named != own);
        let issuer = self.issuer.as_ref();
        let serial = self.serial.as_ref();
        !another
            && issuer.is_none_or(|name| *name == certificate.issuer)
            && serial.is_none_or(|number| *number == certificate.serial)
    }
}

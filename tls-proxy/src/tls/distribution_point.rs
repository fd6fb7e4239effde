//! The certificates covered by a CRL: distribution points in certificates (RFC 5280,
//! section 4.2.1.13) and in CRLs (section 5.2.5).

use super::certificate::Certificate;
use super::der::{self, SEQUENCE, field, fields};
use super::distinguished_name::Name;
use super::general_name::GeneralName;

/// Revocation reasons, one bit each.
pub(super) type Reasons = u16;
/// All reasons (except "unspecified").
pub(super) const EVERY_REASON: Reasons = 0x807f;

/// A distribution point of a certificate.
#[derive(Debug)]
pub(super) struct DistributionPoint {
    name: Option<PointName>,
    reasons: Reasons,
    /// The issuer of the CRL, if it is not the certificate's.
    issuer: Option<Vec<GeneralName>>,
}

/// The distribution point of a CRL, and its scope.
#[derive(Debug)]
pub(super) struct IssuingPoint {
    name: Option<PointName>,
    only_peers: bool,
    only_authorities: bool,
    only_attributes: bool,
    some_reasons: bool,
    /// It covers certificates of other issuers, too.
    indirect: bool,
}

#[derive(Debug)]
enum PointName {
    Full(Vec<GeneralName>),
    /// Relative to the issuer of the CRL.
    Relative(Name),
}

impl DistributionPoint {
    /// Parses the extension of a certificate by `issuer`; `None` if it is invalid.
    pub(super) fn parse_all(value: &[u8], issuer: &Name) -> Option<Vec<Self>> {
        let all = der::all(der::first(value, SEQUENCE)?)?;
        all.iter().map(|one| Self::parse(one, issuer)).collect()
    }

    fn parse(one: &der::Element<'_>, issuer: &Name) -> Option<Self> {
        let mut rest = (one.tag == SEQUENCE).then_some(one.content)?;
        let name = der::optional(&mut rest, fields(0));
        let reasons = match der::optional(&mut rest, field(1)) {
            Some(bits) => reasons_in(bits)?,
            None => EVERY_REASON,
        };
        let signer = der::optional(&mut rest, fields(2));
        let signer = signer.map(GeneralName::parse_all);
        let signer = match signer {
            Some(names) => Some(names?),
            None => None,
        };
        let named = signer.iter().flatten().find_map(GeneralName::directory);
        let name = match name {
            Some(content) => Some(PointName::parse(content, named.unwrap_or(issuer))?),
            None => None,
        };
        let says = name.is_some() || signer.as_ref().is_some_and(|it| !it.is_empty());
        (rest.is_empty() && says).then_some(Self {
            name,
            reasons,
            issuer: signer,
        })
    }

    fn is_signed_by(&self, list: &Name) -> bool {
        let named = |names: &Vec<GeneralName>| {
            let mut names = names.iter().filter_map(GeneralName::directory);
            names.any(|name| name == list)
        };
        self.issuer.as_ref().is_none_or(named)
    }
}

impl IssuingPoint {
    /// Parses the extension of a CRL by `issuer`; `None` if it is invalid.
    pub(super) fn parse(value: &[u8], issuer: &Name) -> Option<Self> {
        let mut rest = der::first(value, SEQUENCE)?;
        let name = match der::optional(&mut rest, fields(0)) {
            Some(content) => Some(PointName::parse(content, issuer)?),
            None => None,
        };
        let mut flag = |number| der::optional(&mut rest, field(number)).is_some_and(|it| it != [0]);
        let (only_peers, only_authorities) = (flag(1), flag(2));
        let some_reasons = der::optional(&mut rest, field(3)).is_some();
        let mut flag = |number| der::optional(&mut rest, field(number)).is_some_and(|it| it != [0]);
        let (indirect, only_attributes) = (flag(4), flag(5));
        rest.is_empty().then_some(Self {
            name,
            only_peers,
            only_authorities,
            only_attributes,
            some_reasons,
            indirect,
        })
    }

    /// Whether it can be used. In nginx OpenSSL ignores CRLs for attribute certificates only,
    /// for some reasons only, and indirect ones.
    fn is_usable(&self) -> bool {
        let kinds = [self.only_peers, self.only_authorities, self.only_attributes];
        let kinds = kinds.into_iter().filter(|only| *only).count();
        kinds <= 1 && !self.only_attributes && !self.some_reasons && !self.indirect
    }
}

/// The reasons for which a CRL signed by its issuer covers the certificate; `None` if it
/// does not.
pub(super) fn reasons_for(
    point: Option<&IssuingPoint>,
    issuer: &Name,
    certificate: &Certificate,
) -> Option<Reasons> {
    if let Some(point) = point {
        let is_authority = certificate.extensions.authority == Some(true);
        let left_out = match is_authority {
            true => point.only_peers,
            false => point.only_authorities,
        };
        if left_out || !point.is_usable() {
            return None;
        }
    }
    let named = point.and_then(|point| point.name.as_ref());
    let points = &certificate.extensions.distribution_points;
    let fitting = points.iter().find(|own| {
        let same = match (&own.name, named) {
            (Some(own), Some(named)) => own.is_same(named),
            _ => true,
        };
        own.is_signed_by(issuer) && same
    });
    match fitting {
        Some(own) => Some(own.reasons),
        None => named.is_none().then_some(EVERY_REASON),
    }
}

impl PointName {
    fn parse(content: &[u8], issuer: &Name) -> Option<Self> {
        let (one, rest) = der::element(content)?;
        let own = match one.tag {
            tag if tag == fields(0) => Self::Full(GeneralName::parse_all(one.content)?),
            tag if tag == fields(1) => Self::Relative(issuer.with(one.content)?),
            _ => return None,
        };
        rest.is_empty().then_some(own)
    }

    /// Whether they have a name in common.
    fn is_same(&self, other: &Self) -> bool {
        let has = |names: &[GeneralName], name: &Name| {
            let mut names = names.iter().filter_map(GeneralName::directory);
            names.any(|own| own == name)
        };
        match (self, other) {
            (Self::Relative(one), Self::Relative(other)) => one == other,
            (Self::Full(names), Self::Relative(name))
            | (Self::Relative(name), Self::Full(names)) => has(names, name),
            (Self::Full(names), Self::Full(others)) => {
                names.iter().any(|name| others.contains(name))
            }
        }
    }
}

/// ReasonFlags, without the tag.
fn reasons_in(bits: &[u8]) -> Option<Reasons> {
    let (_, bytes) = bits.split_first()?;
    let byte = |index: usize| Reasons::from(bytes.get(index).copied().unwrap_or_default());
    Some((byte(0) | byte(1) << 8) & EVERY_REASON)
}

//! Times in certificates and CRLs (RFC 5280, section 4.1.2.5).

use x509_parser::prelude::{ASN1Time, FromDer as _};

use super::der::{Element, GENERALIZED_TIME, UTC_TIME};

/// Seconds since 1970 of `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`. Other ASN.1 forms, without
/// seconds or with an offset, are invalid as in OpenSSL.
pub(super) fn parse(one: &Element<'_>) -> Option<i64> {
    let digits = match one.tag {
        UTC_TIME => 12,
        GENERALIZED_TIME => 14,
        _ => return None,
    };
    let own = one.content.strip_suffix(b"Z")?;
    let is_fit = own.len() == digits && own.iter().all(u8::is_ascii_digit);
    let (_, time) = ASN1Time::from_der(one.whole).ok()?;
    is_fit.then(|| time.timestamp())
}

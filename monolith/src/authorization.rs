//! Parses the `Authorization` header field of Basic (RFC 7617) and Bearer
//! (RFC 6750). It does not check the credentials.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding may be left out, as some clients do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password, as sent.
pub(crate) struct Credentials {
    pub(crate) user: String,
    /// Any bytes: only the name has to be UTF-8.
    pub(crate) password: Vec<u8>,
}

/// What the field holds for a scheme.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parameter<T> {
    /// No such field, or one of another scheme.
    Absent,
    /// Sent twice, or not in the scheme's syntax.
    Malformed,
    /// What was sent.
    Present(T),
}

/// The credentials of Basic.
pub(crate) fn credentials(headers: &HeaderMap) -> Parameter<Credentials> {
    match parameter(headers, "Basic") {
        Parameter::Present(encoded) => {
            decode(encoded).map_or(Parameter::Malformed, Parameter::Present)
        }
        Parameter::Absent => Parameter::Absent,
        Parameter::Malformed => Parameter::Malformed,
    }
}

/// The token of Bearer.
pub(crate) fn token(headers: &HeaderMap) -> Parameter<&str> {
    parameter(headers, "Bearer")
}

/// What follows the scheme's name, which is case-insensitive (RFC 9110, section
/// 11.1). Two fields are refused: a proxy in front may have checked the other one.
fn parameter<'h>(headers: &'h HeaderMap, scheme: &str) -> Parameter<&'h str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Parameter::Absent;
    };
    if values.next().is_some() {
        return Parameter::Malformed;
    }
    let Ok(value) = value.to_str() else {
        return Parameter::Malformed;
    };
    let (name, parameter) = value.split_once(' ').unwrap_or((value, ""));
    if !name.eq_ignore_ascii_case(scheme) {
        return Parameter::Absent;
    }
    match parameter.trim_matches(' ') {
        "" => Parameter::Malformed,
        parameter => Parameter::Present(parameter),
    }
}

fn decode(encoded: &str) -> Option<Credentials> {
    let decoded = BASE64.decode(encoded).ok()?;
    // The name ends at the first colon; a password may have more.
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let user = std::str::from_utf8(&decoded[..colon]).ok()?.to_owned();
    Some(Credentials {
        user,
        password: decoded[colon + 1..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let value = |bytes: &&[u8]| HeaderValue::from_bytes(bytes).expect("a valid field value");
        values
            .iter()
            .map(|bytes| (AUTHORIZATION, value(bytes)))
            .collect()
    }

    fn basic(decoded: &[u8]) -> Option<(String, Vec<u8>)> {
        let encoded = format!("Basic {}", BASE64.encode(decoded));
        match credentials(&headers(&[encoded.as_bytes()])) {
            Parameter::Present(sent) => Some((sent.user, sent.password)),
            _ => None,
        }
    }

    #[test]
    fn a_name_and_a_password() {
        assert_eq!(
            basic(b"user:password"),
            Some(("user".into(), b"password".to_vec()))
        );
        assert_eq!(basic(b"user:a:b"), Some(("user".into(), b"a:b".to_vec())));
        assert_eq!(basic(b"user:"), Some(("user".into(), Vec::new())));
        assert_eq!(
            basic(b"user:\xff\0"),
            Some(("user".into(), b"\xff\0".to_vec()))
        );
    }

    #[test]
    fn a_name_that_is_not_utf_8_or_has_no_colon_is_malformed() {
        assert_eq!(basic(b"\xff:password"), None);
        assert_eq!(basic(b"user"), None);
        assert!(matches!(
            credentials(&headers(&[b"Basic ???"])),
            Parameter::Malformed
        ));
        assert!(matches!(
            credentials(&headers(&[b"Basic"])),
            Parameter::Malformed
        ));
        assert!(matches!(
            credentials(&headers(&[b"Basic \xff"])),
            Parameter::Malformed
        ));
    }

    #[test]
    fn the_scheme_is_case_insensitive() {
        assert_eq!(token(&headers(&[b"bEARER abc"])), Parameter::Present("abc"));
        assert_eq!(
            token(&headers(&[b"Bearer  abc "])),
            Parameter::Present("abc")
        );
    }

    #[test]
    fn another_scheme_is_absent() {
        assert_eq!(token(&headers(&[b"Basic abc"])), Parameter::Absent);
        assert_eq!(token(&headers(&[b"Bearerabc"])), Parameter::Absent);
        assert_eq!(token(&headers(&[])), Parameter::Absent);
    }

    #[test]
    fn a_field_sent_twice_is_malformed() {
        assert_eq!(
            token(&headers(&[b"Bearer abc", b"Bearer abc"])),
            Parameter::Malformed
        );
    }
}

//! The `Authorization` header: credentials of Basic (RFC 7617) and Bearer
//! (RFC 6750), taken apart. Whether they are right is decided elsewhere.

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
    /// Any bytes: only the name has to be text.
    pub(crate) password: Vec<u8>,
}

/// What the header holds for a scheme.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given<T> {
    /// No header, or one of another scheme.
    Nothing,
    /// A header that cannot be accepted whatever it says: given twice, or damaged.
    Damaged,
    /// What was sent.
    Some(T),
}

/// The credentials of Basic.
pub(crate) fn credentials(headers: &HeaderMap) -> Given<Credentials> {
    match parameter(headers, "Basic") {
        Given::Some(encoded) => decode(encoded).map_or(Given::Damaged, Given::Some),
        Given::Nothing => Given::Nothing,
        Given::Damaged => Given::Damaged,
    }
}

/// The token of Bearer.
pub(crate) fn token(headers: &HeaderMap) -> Given<&str> {
    parameter(headers, "Bearer")
}

/// What follows the scheme's name, whose case does not matter (RFC 9110,
/// section 11.1). Two headers are refused: whoever stands before us may have
/// looked at the other one.
fn parameter<'h>(headers: &'h HeaderMap, scheme: &str) -> Given<&'h str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Given::Nothing;
    };
    if values.next().is_some() {
        return Given::Damaged;
    }
    let Ok(value) = value.to_str() else {
        return Given::Damaged;
    };
    let (name, parameter) = value.split_once(' ').unwrap_or((value, ""));
    if !name.eq_ignore_ascii_case(scheme) {
        return Given::Nothing;
    }
    match parameter.trim_matches(' ') {
        "" => Given::Damaged,
        parameter => Given::Some(parameter),
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
        let value = |bytes: &&[u8]| HeaderValue::from_bytes(bytes).expect("a header's value");
        values
            .iter()
            .map(|bytes| (AUTHORIZATION, value(bytes)))
            .collect()
    }

    fn basic(decoded: &[u8]) -> Option<(String, Vec<u8>)> {
        let encoded = format!("Basic {}", BASE64.encode(decoded));
        match credentials(&headers(&[encoded.as_bytes()])) {
            Given::Some(given) => Some((given.user, given.password)),
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
    fn a_name_that_is_not_text_or_ends_nowhere_is_damaged() {
        assert_eq!(basic(b"\xff:password"), None);
        assert_eq!(basic(b"user"), None);
        assert!(matches!(
            credentials(&headers(&[b"Basic ???"])),
            Given::Damaged
        ));
        assert!(matches!(credentials(&headers(&[b"Basic"])), Given::Damaged));
        assert!(matches!(
            credentials(&headers(&[b"Basic \xff"])),
            Given::Damaged
        ));
    }

    #[test]
    fn the_case_of_the_scheme_does_not_matter() {
        assert_eq!(token(&headers(&[b"bEARER abc"])), Given::Some("abc"));
        assert_eq!(token(&headers(&[b"Bearer  abc "])), Given::Some("abc"));
    }

    #[test]
    fn another_scheme_is_nothing() {
        assert_eq!(token(&headers(&[b"Basic abc"])), Given::Nothing);
        assert_eq!(token(&headers(&[b"Bearerabc"])), Given::Nothing);
        assert_eq!(token(&headers(&[])), Given::Nothing);
    }

    #[test]
    fn a_header_given_twice_is_damaged() {
        assert_eq!(
            token(&headers(&[b"Bearer abc", b"Bearer abc"])),
            Given::Damaged
        );
    }
}

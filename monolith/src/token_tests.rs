//! Issued tokens, and forged ones.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const KEY: &[u8] = b"a signing key of thirty-two bytes";

fn tokens() -> Tokens {
    Tokens::new(KEY.to_vec(), Duration::from_secs(3600))
}

/// A token with any header and claims, signed as HS256.
fn forge(header: &Value, claims: &Value, key: &[u8]) -> String {
    let message = format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    );
    let mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap()
        .chain_update(&message);
    format!("{message}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

fn claims() -> Value {
    let now = seconds().unwrap();
    json!({
        "iss": "auth.service", "aud": "monolith", "sub": "user",
        "email": "user@example.com", "iat": now, "exp": now + 60,
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

#[test]
fn an_issued_token_is_accepted() {
    let token = tokens().issue("user").unwrap();
    let claims = tokens().verify(&token).unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.email.as_str()),
        ("user", "user@example.com")
    );
    assert_eq!(claims.exp - claims.iat, 3600);
}

#[test]
fn a_forged_token_with_the_right_key_and_claims_is_accepted() {
    assert!(tokens().verify(&forge(&header(), &claims(), KEY)).is_ok());
}

/// Checks that each token of a table is rejected.
fn assert_rejected<const N: usize>(table: [(&str, String); N]) {
    let tokens = tokens();
    for (reason, forgery) in table {
        assert!(tokens.verify(&forgery).is_err(), "{reason}");
    }
}

fn with_algorithm(name: &str) -> String {
    forge(&with(header(), "alg", json!(name)), &claims(), KEY)
}

fn with_claim(name: &str, value: Value) -> String {
    forge(&header(), &with(claims(), name, value), KEY)
}

#[test]
fn no_other_algorithm_is_accepted() {
    let unsigned = |name: &str| {
        let token = with_algorithm(name);
        token[..=token.rfind('.').unwrap()].to_owned()
    };
    assert_rejected([
        ("none", unsigned("none")),
        ("None", unsigned("None")),
        ("none, with a signature", with_algorithm("none")),
        ("HS384", with_algorithm("HS384")),
        ("HS512", with_algorithm("HS512")),
        ("RS256", with_algorithm("RS256")),
        ("ES256", with_algorithm("ES256")),
        (
            "no algorithm",
            forge(&without(header(), "alg"), &claims(), KEY),
        ),
        (
            "an extension",
            forge(&with(header(), "crit", json!(["b64"])), &claims(), KEY),
        ),
    ]);
}

#[test]
fn no_other_signature_is_accepted() {
    let valid = forge(&header(), &claims(), KEY);
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let root = BASE64.encode(with(claims(), "sub", json!("root")).to_string());
    let head = message.split_once('.').unwrap().0;
    assert_rejected([
        ("another key", forge(&header(), &claims(), b"another key")),
        ("an empty key", forge(&header(), &claims(), b"")),
        ("no signature", format!("{message}.")),
        (
            "a truncated signature",
            format!("{message}.{}", &signature[..signature.len() - 2]),
        ),
        (
            "other claims under the signature",
            format!("{head}.{root}.{signature}"),
        ),
    ]);
}

#[test]
fn no_malformed_token_is_accepted() {
    let valid = forge(&header(), &claims(), KEY);
    assert_rejected([
        ("truncated", valid[..valid.len() / 2].to_owned()),
        ("two parts", valid[..valid.rfind('.').unwrap()].to_owned()),
        ("four parts", format!("{valid}.x")),
        ("claims not an object", forge(&header(), &json!([1]), KEY)),
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("not base64", "?.?.?".to_owned()),
    ]);
}

/// A token whose header has `length` bytes at most, nested as deeply as that permits.
fn nested(before: &str, (open, close): (&str, &str), length: usize) -> String {
    let room = length.saturating_sub(before.len() + 2);
    let depth = room / (open.len() + close.len());
    let (open, close) = (open.repeat(depth), close.repeat(depth));
    let header = format!("{before}{open}1{close}}}");
    format!("{}.e30.AAAA", BASE64.encode(header))
}

#[test]
fn a_deeply_nested_header_fits_into_the_stack_of_a_thread() {
    // Headers that end too early may be deeper.
    let brackets = [
        ("[", "]"),
        ("[", ""),
        (r#"{"":"#, "}"),
        (r#"{"":"#, ""),
        (r#"[{"":"#, ""),
    ];
    let reject = move || {
        let tokens = tokens();
        for start in ["{", r#"{"alg":"HS256","#] {
            for name in [r#""x":"#, r#""jwk":"#, r#""crit":"#] {
                for kind in brackets {
                    let before = format!("{start}{name}");
                    // The longest that are decoded, and longer ones.
                    for length in [MAX_HEADER / 4 * 3, 600, 2000, 16000] {
                        let token = nested(&before, kind, length);
                        assert!(tokens.verify(&token).is_err(), "{token}");
                    }
                }
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(crate::STACK);
    thread.spawn(reject).unwrap().join().unwrap();
}

#[test]
fn no_wrong_claim_is_accepted() {
    let now = seconds().unwrap();
    assert_rejected([
        ("expired", with_claim("exp", json!(now - LEEWAY - 1))),
        ("not yet valid", with_claim("nbf", json!(now + 60))),
        ("issued in the future", with_claim("iat", json!(now + 60))),
        ("another issuer", with_claim("iss", json!("evil"))),
        ("another audience", with_claim("aud", json!("other"))),
        (
            "many audiences",
            with_claim("aud", json!(["monolith", "other"])),
        ),
        ("a time as text", with_claim("exp", json!("9999999999"))),
        ("a negative time", with_claim("exp", json!(-1))),
    ]);
}

#[test]
fn every_claim_must_be_present() {
    let tokens = tokens();
    for name in ["iss", "aud", "sub", "email", "iat", "exp"] {
        assert!(
            tokens
                .verify(&forge(&header(), &without(claims(), name), KEY))
                .is_err(),
            "{name}"
        );
    }
}

#[test]
fn the_clocks_of_two_replicas_may_differ_a_little() {
    let ahead = with(claims(), "iat", json!(seconds().unwrap() + LEEWAY - 1));
    assert!(tokens().verify(&forge(&header(), &ahead, KEY)).is_ok());
}

#[test]
fn a_replaced_key_verifies_but_does_not_sign() {
    let tokens = tokens();
    let before = tokens.issue("user").unwrap();
    assert!(tokens.replace(b"the next".to_vec(), SystemTime::now()));
    let after = tokens.issue("user").unwrap();
    assert!(tokens.verify(&before).is_ok());
    assert!(tokens.verify(&after).is_ok());
    assert!(self::tokens().verify(&after).is_err());
}

#[test]
fn a_replaced_key_is_dropped_when_its_last_token_has_expired() {
    let tokens = tokens();
    let long_ago = SystemTime::now() - Duration::from_secs(4000);
    assert!(tokens.replace(b"the next".to_vec(), long_ago));
    assert!(tokens.verify(&forge(&header(), &claims(), KEY)).is_err());
}

#[test]
fn the_same_key_again_is_no_change() {
    let tokens = tokens();
    assert!(!tokens.replace(KEY.to_vec(), SystemTime::now()));
    assert!(tokens.replace(b"the next".to_vec(), SystemTime::now()));
    assert!(tokens.replace(KEY.to_vec(), SystemTime::now()));
    assert_eq!(tokens.keys.read().unwrap().len(), 2);
}

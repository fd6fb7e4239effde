//! Tokens of our own, and the table of forgeries.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const KEY: &[u8] = b"an honest key of thirty-two bytes";

fn tokens() -> Tokens {
    Tokens::new(KEY.to_vec(), Duration::from_secs(3600))
}

/// A token made by hand, with any header and claims, signed as HS256.
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
fn what_is_issued_is_accepted() {
    let token = tokens().issue("user").unwrap();
    let claims = tokens().verify(&token).unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.email.as_str()),
        ("user", "user@example.com")
    );
    assert_eq!(claims.exp - claims.iat, 3600);
}

#[test]
fn a_token_made_by_hand_is_accepted_so_that_the_forgeries_fail_for_their_own_reason() {
    assert!(tokens().verify(&forge(&header(), &claims(), KEY)).is_ok());
}

#[test]
fn no_forgery_is_accepted() {
    let now = seconds().unwrap();
    let honest = forge(&header(), &claims(), KEY);
    let (message, signature) = honest.rsplit_once('.').unwrap();
    let unsigned = |alg: &str| {
        let header = BASE64.encode(with(header(), "alg", json!(alg)).to_string());
        format!("{header}.{}.", BASE64.encode(claims().to_string()))
    };
    let table = [
        ("none", unsigned("none")),
        ("None", unsigned("None")),
        (
            "none, with a signature",
            forge(&with(header(), "alg", json!("none")), &claims(), KEY),
        ),
        (
            "HS384",
            forge(&with(header(), "alg", json!("HS384")), &claims(), KEY),
        ),
        (
            "HS512",
            forge(&with(header(), "alg", json!("HS512")), &claims(), KEY),
        ),
        (
            "RS256",
            forge(&with(header(), "alg", json!("RS256")), &claims(), KEY),
        ),
        (
            "ES256",
            forge(&with(header(), "alg", json!("ES256")), &claims(), KEY),
        ),
        (
            "no algorithm",
            forge(&without(header(), "alg"), &claims(), KEY),
        ),
        (
            "critical extension",
            forge(&with(header(), "crit", json!(["b64"])), &claims(), KEY),
        ),
        ("another key", forge(&header(), &claims(), b"another key")),
        ("empty key", forge(&header(), &claims(), b"")),
        ("no signature", format!("{message}.")),
        (
            "truncated signature",
            format!("{message}.{}", &signature[..signature.len() - 2]),
        ),
        ("truncated token", honest[..honest.len() / 2].to_owned()),
        ("two parts", message.to_owned()),
        ("four parts", format!("{honest}.x")),
        ("other claims under the signature", {
            let other = BASE64.encode(with(claims(), "sub", json!("root")).to_string());
            format!("{}.{other}.{signature}", message.split_once('.').unwrap().0)
        }),
        (
            "expired",
            forge(
                &header(),
                &with(claims(), "exp", json!(now - LEEWAY - 1)),
                KEY,
            ),
        ),
        (
            "not yet valid",
            forge(&header(), &with(claims(), "nbf", json!(now + 60)), KEY),
        ),
        (
            "issued in the future",
            forge(&header(), &with(claims(), "iat", json!(now + 60)), KEY),
        ),
        (
            "wrong issuer",
            forge(&header(), &with(claims(), "iss", json!("evil")), KEY),
        ),
        (
            "wrong audience",
            forge(&header(), &with(claims(), "aud", json!("other")), KEY),
        ),
        (
            "many audiences",
            forge(
                &header(),
                &with(claims(), "aud", json!(["monolith", "x"])),
                KEY,
            ),
        ),
        (
            "exp as text",
            forge(&header(), &with(claims(), "exp", json!("9999999999")), KEY),
        ),
        (
            "exp negative",
            forge(&header(), &with(claims(), "exp", json!(-1)), KEY),
        ),
        ("claims not an object", forge(&header(), &json!([1]), KEY)),
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("not base64", "?.?.?".to_owned()),
        (
            "deep nesting",
            forge(
                &header(),
                &serde_json::from_str(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap(),
                KEY,
            ),
        ),
    ];
    let tokens = tokens();
    for (name, forgery) in table {
        assert!(tokens.verify(&forgery).is_err(), "{name}");
    }
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
fn a_replaced_key_verifies_but_signs_no_more() {
    let tokens = tokens();
    let before = tokens.issue("user").unwrap();
    assert!(tokens.replace(b"the next".to_vec(), SystemTime::now()));
    let after = tokens.issue("user").unwrap();
    assert!(tokens.verify(&before).is_ok());
    assert!(tokens.verify(&after).is_ok());
    assert!(self::tokens().verify(&after).is_err());
}

#[test]
fn a_replaced_key_is_forgotten_when_its_last_token_has_expired() {
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

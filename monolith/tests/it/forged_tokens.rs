//! Forged tokens, sent to `/secure`. All claims and algorithms are tested in
//! `token_tests.rs`.

use crate::support::*;

const INVALID: &str = r#"Bearer realm="monolith", error="invalid_token""#;

async fn assert_rejected(server: &Server, headers: &[&str]) {
    let response = get(server.http, "/secure", headers).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (401, "authorization failed\n")
    );
    assert_eq!(response.header("www-authenticate"), Some(INVALID));
}

#[tokio::test]
async fn a_token_that_was_changed_is_invalid() {
    let server = Server::start(config());
    let token = server.token().await;
    assert_rejected(&server, &[&bearer(&token[..token.len() - 2])]).await;
    assert_rejected(&server, &[&bearer(&token.replacen('.', "..", 1))]).await;
    assert_rejected(&server, &["Authorization: Bearer"]).await;
    assert_rejected(&server, &["Authorization: Bearer x y"]).await;
}

#[tokio::test]
async fn a_token_of_another_key_is_invalid() {
    let server = Server::start(config());
    let secret = monolith::config::Secret {
        key: b"other".to_vec(),
        file: None,
    };
    let other = Server::start(monolith::config::Config { secret, ..config() });
    assert_rejected(&server, &[&bearer(&other.token().await)]).await;
}

#[tokio::test]
async fn a_token_without_an_algorithm_is_invalid() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let server = Server::start(config());
    let token = server.token().await;
    let claims = token.split('.').nth(1).unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    assert_rejected(&server, &[&bearer(&format!("{header}.{claims}."))]).await;
}

#[tokio::test]
async fn a_token_sent_twice_is_rejected_even_if_valid() {
    let server = Server::start(config());
    let valid = bearer(&server.token().await);
    assert_rejected(&server, &[&valid, &valid]).await;
}

#[tokio::test]
async fn a_token_in_the_query_string_is_ignored() {
    let server = Server::start(config());
    let token = server.token().await;
    let response = get(server.http, &format!("/secure?access_token={token}"), &[]).await;
    assert_eq!(response.status, 401);
}

#[tokio::test]
async fn a_token_of_a_megabyte_is_too_large() {
    let server = Server::start(config());
    let response = get(server.http, "/secure", &[&bearer(&"x".repeat(1 << 20))]).await;
    // The server may reset the connection before the client has read the response.
    assert!(matches!(response.status, 431 | 0), "{response:?}");
    let lines = server.log.lines(1).await;
    assert!(lines[0].contains(" \"- -\" 431 0 "), "{}", lines[0]);
    assert_eq!(get(server.http, "/", &[]).await.status, 200);
}

//! Tokens that must not open `/secure`, over the wire. The whole table of
//! claims and algorithms is tested beside `token`.

use crate::support::*;

const INVALID: &str = r#"Bearer realm="monolith", error="invalid_token""#;

async fn refused(server: &Server, headers: &[&str]) {
    let answer = get(server.http, "/secure", headers).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (401, "authorization failed\n")
    );
    assert_eq!(answer.header("www-authenticate"), Some(INVALID));
}

#[tokio::test]
async fn a_token_that_was_changed_is_invalid() {
    let server = Server::start(config());
    let token = server.token().await;
    refused(&server, &[&bearer(&token[..token.len() - 2])]).await;
    refused(&server, &[&bearer(&token.replacen('.', "..", 1))]).await;
    refused(&server, &["Authorization: Bearer"]).await;
    refused(&server, &["Authorization: Bearer x y"]).await;
}

#[tokio::test]
async fn a_token_of_another_key_is_invalid() {
    let server = Server::start(config());
    let secret = monolith::config::Secret {
        key: b"other".to_vec(),
        file: None,
    };
    let other = Server::start(monolith::config::Config { secret, ..config() });
    refused(&server, &[&bearer(&other.token().await)]).await;
}

#[tokio::test]
async fn a_token_without_an_algorithm_is_invalid() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let server = Server::start(config());
    let token = server.token().await;
    let claims = token.split('.').nth(1).unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    refused(&server, &[&bearer(&format!("{header}.{claims}."))]).await;
}

#[tokio::test]
async fn a_token_given_twice_is_refused_even_if_right() {
    let server = Server::start(config());
    let right = bearer(&server.token().await);
    refused(&server, &[&right, &right]).await;
}

#[tokio::test]
async fn a_token_in_the_query_opens_nothing() {
    let server = Server::start(config());
    let token = server.token().await;
    let answer = get(server.http, &format!("/secure?access_token={token}"), &[]).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_megabyte_of_token_is_refused_by_its_size() {
    let server = Server::start(config());
    let answer = get(server.http, "/secure", &[&bearer(&"x".repeat(1 << 20))]).await;
    // The server may reset what it will not read before its answer arrives.
    assert!(matches!(answer.status, 431 | 0), "{answer:?}");
    let lines = server.log.lines(1).await;
    assert!(lines[0].contains(" \"- -\" 431 0 "), "{}", lines[0]);
    assert_eq!(get(server.http, "/", &[]).await.status, 200);
}

//! The requests of the walkthrough's commands, and other routes and methods.

use crate::support::*;

#[tokio::test]
async fn the_root_says_hello() {
    let server = Server::start(config());
    let response = get(server.http, "/", &[]).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, r#"{"message":"Hello"}"#)
    );
    assert_eq!(response.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn the_version_is_that_of_the_crate() {
    let server = Server::start(config());
    let response = get(server.http, "/version", &[]).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, r#"{"version":"1.0.0"}"#)
    );
}

#[tokio::test]
async fn a_login_gives_a_token_for_secure() {
    let server = Server::start(config());
    let token = server.token().await;
    let response = get(server.http, "/secure", &[&bearer(&token)]).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, r#"{"message":"Hello"}"#)
    );
}

#[tokio::test]
async fn secure_without_a_token_is_401_without_an_error_code() {
    let server = Server::start(config());
    let response = get(server.http, "/secure", &[]).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (401, "authorization failed\n")
    );
    assert_eq!(
        response.header("www-authenticate"),
        Some(r#"Bearer realm="monolith""#)
    );
}

#[tokio::test]
async fn a_login_without_credentials_gets_a_challenge() {
    let server = Server::start(config());
    let response = get(server.http, "/login", &[]).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (401, "authorization failed\n")
    );
    let challenge = r#"Basic realm="monolith", charset="UTF-8""#;
    assert_eq!(response.header("www-authenticate"), Some(challenge));
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let server = Server::start(config());
    for path in ["/nothing", "/login/", "/Secure", "//", "/healthz", "/%00"] {
        assert_eq!(get(server.http, path, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_gets_405_and_allow() {
    let server = Server::start(config());
    for (path, method) in [
        ("/", "POST"),
        ("/login", "PUT"),
        ("/secure", "DELETE"),
        ("/", "BREW"),
    ] {
        let response = exchange(server.http, method, path, &["Content-Length: 0"]).await;
        assert_eq!(response.status, 405, "{method} {path}");
        assert_eq!(response.header("allow"), Some("GET,HEAD"));
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start(config());
    let response = exchange(server.http, "HEAD", "/", &[]).await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    assert_eq!(response.header("content-length"), Some("19"));
}

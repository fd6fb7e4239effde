//! What the walkthrough's commands ask, and what the routes answer otherwise.

use crate::support::*;

#[tokio::test]
async fn the_root_says_hello() {
    let server = Server::start(config());
    let answer = get(server.http, "/", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"message":"Hello"}"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn the_version_is_that_of_the_crate() {
    let server = Server::start(config());
    let answer = get(server.http, "/version", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"version":"1.0.0"}"#)
    );
}

#[tokio::test]
async fn a_login_gives_a_token_that_opens_secure() {
    let server = Server::start(config());
    let token = server.token().await;
    let answer = get(server.http, "/secure", &[&bearer(&token)]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"message":"Hello"}"#)
    );
}

#[tokio::test]
async fn secure_without_a_token_is_refused_without_an_error_code() {
    let server = Server::start(config());
    let answer = get(server.http, "/secure", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (401, "authorization failed\n")
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Bearer realm="monolith""#)
    );
}

#[tokio::test]
async fn a_login_without_credentials_is_asked_for_them() {
    let server = Server::start(config());
    let answer = get(server.http, "/login", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (401, "authorization failed\n")
    );
    let challenge = r#"Basic realm="monolith", charset="UTF-8""#;
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let server = Server::start(config());
    for path in ["/nothing", "/login/", "/Secure", "//", "/healthz", "/%00"] {
        assert_eq!(get(server.http, path, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start(config());
    for (path, method) in [
        ("/", "POST"),
        ("/login", "PUT"),
        ("/secure", "DELETE"),
        ("/", "BREW"),
    ] {
        let answer = ask(server.http, method, path, &["Content-Length: 0"]).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start(config());
    let answer = ask(server.http, "HEAD", "/", &[]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("content-length"), Some("19"));
}

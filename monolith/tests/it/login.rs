//! Logins that fail, and logins too many.

use crate::support::*;

#[tokio::test]
async fn a_wrong_name_or_password_is_refused() {
    let server = Server::start(config());
    let long = format!("user:{}", "x".repeat(73));
    for credentials in [
        "user:wrong",
        "user:",
        "nobody:secret",
        ":secret",
        "user:secret\0",
        &long,
    ] {
        let answer = get(server.http, "/login", &[&basic(credentials)]).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (401, "authorization failed\n")
        );
    }
    assert_eq!(
        server
            .metric(r#"monolith_logins_total{outcome="refused"}"#)
            .await,
        Some(6.0)
    );
}

#[tokio::test]
async fn a_password_of_72_bytes_is_checked_and_one_of_73_is_not_accepted_by_its_beginning() {
    let password = "x".repeat(72);
    let hash = bcrypt::hash_with_salt(&password, 4, [7; 16]).unwrap();
    let users = format!("user:{}", hash.format_for_version(bcrypt::Version::TwoY));
    let users = monolith::Users::parse(std::path::Path::new("users"), users.as_bytes()).unwrap();
    let server = Server::start(monolith::config::Config { users, ..config() });
    let status = async |credentials: String| {
        get(server.http, "/login", &[&basic(&credentials)])
            .await
            .status
    };
    assert_eq!(status(format!("user:{password}")).await, 200);
    assert_eq!(status(format!("user:{password}x")).await, 401);
}

#[tokio::test]
async fn damaged_credentials_are_refused() {
    let server = Server::start(config());
    for header in [
        "Authorization: Basic",
        "Authorization: Basic ???",
        "Authorization: Basic dXNlcg==",
    ] {
        assert_eq!(get(server.http, "/login", &[header]).await.status, 401);
    }
    assert_eq!(
        server
            .metric(r#"monolith_logins_total{outcome="malformed"}"#)
            .await,
        Some(3.0)
    );
}

#[tokio::test]
async fn credentials_given_twice_are_refused_even_if_right() {
    let server = Server::start(config());
    let right = basic("user:secret");
    assert_eq!(
        get(server.http, "/login", &[&right, &right]).await.status,
        401
    );
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let server = Server::start(config());
    let right = basic("user:secret").replace("Basic", "bASIC");
    assert_eq!(get(server.http, "/login", &[&right]).await.status, 200);
}

#[tokio::test]
async fn past_the_queue_a_login_is_sent_away_and_told_when_to_come_back() {
    let server = Server::start(monolith::config::Config {
        max_connections: 200,
        ..config()
    });
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..80 {
        let http = server.http;
        logins.spawn(async move { get(http, "/login", &[&basic("slow:secret")]).await });
    }
    // Who is sent away is answered long before who waits.
    let answer = logins.join_next().await.unwrap().unwrap();
    assert_eq!(answer.status, 503);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(get(server.http, "/", &[]).await.status, 200);
    assert_eq!(get(server.health, "/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn a_login_whose_client_left_costs_nothing() {
    let server = Server::start(config());
    let mut left = Vec::new();
    for _ in 0..40 {
        let http = server.http;
        left.push(tokio::spawn(async move {
            get(http, "/login", &[&basic("slow:secret")]).await
        }));
    }
    server.until_metric("monolith_password_queue", 40.0).await;
    left.iter().for_each(|login| login.abort());
    server.until_metric("monolith_password_queue", 0.0).await;
    let lines = server.log.lines(40).await;
    assert!(
        lines
            .iter()
            .filter(|line| line.contains("\"GET /login\" 499 0 "))
            .count()
            >= 38
    );
}

//! Failed logins, and more logins than the queue holds.

use crate::support::*;

#[tokio::test]
async fn a_wrong_name_or_password_is_rejected() {
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
        let response = get(server.http, "/login", &[&basic(credentials)]).await;
        assert_eq!(
            (response.status, response.body.as_str()),
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
async fn a_password_of_72_bytes_is_checked_and_one_of_73_with_the_same_beginning_is_rejected() {
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
async fn malformed_credentials_are_rejected() {
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
async fn credentials_sent_twice_are_rejected_even_if_valid() {
    let server = Server::start(config());
    let valid = basic("user:secret");
    assert_eq!(
        get(server.http, "/login", &[&valid, &valid]).await.status,
        401
    );
}

#[tokio::test]
async fn the_scheme_is_case_insensitive() {
    let server = Server::start(config());
    let valid = basic("user:secret").replace("Basic", "bASIC");
    assert_eq!(get(server.http, "/login", &[&valid]).await.status, 200);
}

#[tokio::test]
async fn when_the_queue_is_full_a_login_gets_503_and_retry_after() {
    let server = Server::start(monolith::config::Config {
        max_connections: 200,
        ..config()
    });
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..80 {
        let http = server.http;
        logins.spawn(async move { get(http, "/login", &[&basic("slow:secret")]).await });
    }
    // A rejected login gets its response long before one that waits. On a busy machine the
    // first may be checked before so many have come.
    let response = loop {
        let response = logins.join_next().await;
        let response = response.expect("all were checked as fast as they came, none was rejected");
        let response = response.unwrap();
        if response.status != 200 {
            break response;
        }
    };
    assert_eq!(response.status, 503);
    let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(get(server.http, "/", &[]).await.status, 200);
    assert_eq!(get(server.health, "/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn the_login_of_a_client_that_has_closed_is_not_checked() {
    let server = Server::start(config());
    let mut logins = Vec::new();
    for _ in 0..40 {
        let http = server.http;
        logins.push(tokio::spawn(async move {
            get(http, "/login", &[&basic("slow:secret")]).await
        }));
    }
    let logins_of = async |outcome: &str| {
        let metric = format!("monolith_logins_total{{outcome=\"{outcome}\"}}");
        server.metric(&metric).await.unwrap_or_default()
    };
    // On a busy machine the first may have been checked before the last has come, and some may
    // find the queue too long.
    let responded = async || logins_of("accepted").await + logins_of("busy").await;
    until(async || {
        let responded = responded().await;
        let queue = server.metric("monolith_password_queue").await?;
        (responded + queue >= 40.0).then_some(())
    })
    .await;
    logins.iter().for_each(|login| login.abort());
    // And some more before the clients have closed.
    let responded = responded().await as usize;
    server.until_metric("monolith_password_queue", 0.0).await;
    let lines = server.log.lines(40).await;
    assert!(
        lines
            .iter()
            .filter(|line| line.contains("\"GET /login\" 499 0 "))
            .count()
            >= 38_usize.saturating_sub(responded)
    );
}

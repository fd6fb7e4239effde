//! The health port.

use crate::support::*;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

async fn status(server: &Server, path: &str) -> u16 {
    get(server.health, path, &[]).await.status
}

#[tokio::test]
async fn a_new_service_is_healthy_and_ready() {
    let server = Server::start(config());
    assert_eq!(status(&server, "/healthz").await, 200);
    assert_eq!(status(&server, "/readiness").await, 200);
}

#[tokio::test]
async fn each_call_toggles_its_probe_and_no_other() {
    let server = Server::start(config());
    let response = get(server.health, "/healthz/status", &[]).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, "/healthz now answers 503\n")
    );
    assert_eq!(status(&server, "/healthz").await, 503);
    assert_eq!(status(&server, "/readiness").await, 200);
    assert_eq!(status(&server, "/readiness/status").await, 200);
    assert_eq!(status(&server, "/readiness").await, 503);
    assert_eq!(server.metric("monolith_ready").await, Some(0.0));
    status(&server, "/healthz/status").await;
    status(&server, "/readiness/status").await;
    assert_eq!(status(&server, "/healthz").await, 200);
    assert_eq!(status(&server, "/readiness").await, 200);
}

#[tokio::test]
async fn without_faults_the_probes_cannot_be_toggled() {
    let server = Server::start(monolith::config::Config {
        faults: false,
        ..config()
    });
    assert_eq!(status(&server, "/healthz/status").await, 404);
    assert_eq!(status(&server, "/readiness/status").await, 404);
    assert_eq!(status(&server, "/healthz").await, 200);
}

#[tokio::test]
async fn the_health_port_responds_404_and_405() {
    let server = Server::start(config());
    assert_eq!(
        exchange(server.health, "POST", "/healthz", &[])
            .await
            .status,
        405
    );
    assert_eq!(status(&server, "/secure").await, 404);
}

#[tokio::test]
async fn probes_are_not_logged() {
    let server = Server::start(config());
    status(&server, "/healthz").await;
    get(server.http, "/", &[]).await;
    assert_eq!(server.log.lines(1).await.len(), 1);
}

#[tokio::test]
async fn requests_and_logins_are_counted() {
    let server = Server::start(config());
    server.token().await;
    get(server.http, "/login", &[]).await;
    get(server.http, "/some/path", &[]).await;
    for (series, value) in [
        (
            r#"monolith_requests_total{route="/login",status="200"}"#,
            1.0,
        ),
        (
            r#"monolith_requests_total{route="/login",status="401"}"#,
            1.0,
        ),
        (
            r#"monolith_requests_total{route="other",status="404"}"#,
            1.0,
        ),
        (r#"monolith_logins_total{outcome="accepted"}"#, 1.0),
        (r#"monolith_logins_total{outcome="anonymous"}"#, 1.0),
        (r#"monolith_build_info{version="1.0.0"}"#, 1.0),
        ("monolith_request_duration_seconds_count", 3.0),
        ("monolith_connections_accepted_total", 3.0),
        ("monolith_connections_limit", 64.0),
        ("monolith_users", 3.0),
        ("monolith_ready", 1.0),
    ] {
        assert_eq!(server.metric(series).await, Some(value), "{series}");
    }
}

#[tokio::test]
async fn every_series_has_help_and_type() {
    let server = Server::start(config());
    server.token().await;
    let response = get(server.health, "/metrics", &[]).await;
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in response.body.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = name.trim_end_matches("_sum").trim_end_matches("_count");
        assert!(
            response.body.contains(&format!("# TYPE {family} ")),
            "{line}"
        );
        assert!(
            response.body.contains(&format!("# HELP {family} ")),
            "{line}"
        );
    }
}

/// The health port closes others after five seconds. On a machine that stands still for as long
/// an attempt shows nothing.
const BEFORE_TIME_OUTS: Duration = Duration::from_secs(4);
const ATTEMPTS: usize = 5;

/// Probes while 300 other connections that have sent `bytes` are open.
async fn probe_beside(bytes: &[u8]) {
    for _ in 0..ATTEMPTS {
        if are_probed_beside(bytes).await {
            return;
        }
    }
    panic!("no attempt in which no probe waited for a time-out");
}

/// Whether no probe waits for a time-out of one of the others.
async fn are_probed_beside(bytes: &[u8]) -> bool {
    let server = Server::start(config());
    let mut held = Vec::new();
    for _ in 0..300 {
        let socket = TcpSocket::new_v4().unwrap();
        // A small buffer, so that a client that does not read soon blocks the server.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(server.health).await.unwrap();
        // The server may have closed the connection already.
        let _ = stream.write_all(bytes).await;
        held.push(stream);
    }
    for _ in 0..10 {
        match before(BEFORE_TIME_OUTS, status(&server, "/healthz")).await {
            Some(status) => assert_eq!(status, 200),
            None => return false,
        }
    }
    drop(held);
    true
}

#[tokio::test]
async fn unfinished_requests_do_not_block_probes() {
    probe_beside(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ").await;
}

#[tokio::test]
async fn silent_connections_do_not_block_probes() {
    probe_beside(b"").await;
}

#[tokio::test]
async fn idle_connections_do_not_block_probes() {
    probe_beside(request("GET", "/healthz", &[], "keep-alive").as_bytes()).await;
}

#[tokio::test]
async fn clients_that_do_not_read_do_not_block_probes() {
    let page = request("GET", "/metrics", &[], "keep-alive");
    probe_beside(page.repeat(2000).as_bytes()).await;
}

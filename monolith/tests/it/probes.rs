//! The health port.

use crate::support::*;
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
async fn each_call_of_a_switch_turns_its_probe_and_no_other() {
    let server = Server::start(config());
    let answer = get(server.health, "/healthz/status", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
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
async fn without_faults_the_switches_do_not_exist() {
    let server = Server::start(monolith::config::Config {
        faults: false,
        ..config()
    });
    assert_eq!(status(&server, "/healthz/status").await, 404);
    assert_eq!(status(&server, "/readiness/status").await, 404);
    assert_eq!(status(&server, "/healthz").await, 200);
}

#[tokio::test]
async fn the_health_port_answers_405_and_404_too() {
    let server = Server::start(config());
    assert_eq!(
        ask(server.health, "POST", "/healthz", &[]).await.status,
        405
    );
    assert_eq!(status(&server, "/secure").await, 404);
}

#[tokio::test]
async fn probes_leave_no_line_in_the_access_log() {
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
        ("monolith_users", 2.0),
        ("monolith_ready", 1.0),
    ] {
        assert_eq!(server.metric(series).await, Some(value), "{series}");
    }
}

#[tokio::test]
async fn every_series_has_its_help_and_its_type() {
    let server = Server::start(config());
    server.token().await;
    let answer = get(server.health, "/metrics", &[]).await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = name.trim_end_matches("_sum").trim_end_matches("_count");
        assert!(answer.body.contains(&format!("# TYPE {family} ")), "{line}");
        assert!(answer.body.contains(&format!("# HELP {family} ")), "{line}");
    }
}

/// Holds 300 connections open that have sent `bytes`, and asks for a probe.
async fn probe_beside(bytes: &[u8]) {
    let server = Server::start(config());
    let mut held = Vec::new();
    for _ in 0..300 {
        let socket = TcpSocket::new_v4().unwrap();
        // So that who does not read soon stops who writes.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(server.health).await.unwrap();
        // Who was closed already has made room.
        let _ = stream.write_all(bytes).await;
        held.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(soon(status(&server, "/healthz")).await, 200);
    }
    drop(held);
}

#[tokio::test]
async fn half_requests_keep_no_probe_out() {
    probe_beside(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ").await;
}

#[tokio::test]
async fn silent_connections_keep_no_probe_out() {
    probe_beside(b"").await;
}

#[tokio::test]
async fn idle_connections_keep_no_probe_out() {
    probe_beside(request("GET", "/healthz", &[], "keep-alive").as_bytes()).await;
}

#[tokio::test]
async fn who_does_not_read_its_answers_keeps_no_probe_out() {
    let page = request("GET", "/metrics", &[], "keep-alive");
    probe_beside(page.repeat(2000).as_bytes()).await;
}

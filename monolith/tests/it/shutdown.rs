//! The drain: requests in flight are finished, idle connections are closed, and
//! what takes too long is cut and counted.

use crate::support::*;
use monolith::RunError;
use monolith::config::Config;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A login that keeps the service busy for a while.
async fn slow_login(server: &Server) -> JoinHandle<Response> {
    login_of("slow", server).await
}

/// The login of a user with a slow hash, once it is being checked.
async fn login_of(user: &str, server: &Server) -> JoinHandle<Response> {
    let (http, credentials) = (server.http, basic(&format!("{user}:secret")));
    let login = tokio::spawn(async move { get(http, "/login", &[&credentials]).await });
    server.until_metric("monolith_password_queue", 1.0).await;
    login
}

#[tokio::test]
async fn a_request_in_flight_is_finished() {
    let server = Server::start(config());
    let login = slow_login(&server).await;
    server.stop().await;
    assert_eq!(login.await.unwrap().status, 200);
    assert!(server.ended().await.is_ok());
}

#[tokio::test]
async fn readiness_is_503_at_once_and_probes_get_responses_until_the_end() {
    let server = Server::start(config());
    let login = slow_login(&server).await;
    server.stop().await;
    server.until_metric("monolith_ready", 0.0).await;
    assert_eq!(get(server.health, "/readiness", &[]).await.status, 503);
    assert_eq!(get(server.health, "/healthz", &[]).await.status, 200);
    login.await.unwrap();
    assert!(server.ended().await.is_ok());
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = Server::start(config());
    let mut used = idle(server.http).await;
    let mut fresh = TcpStream::connect(server.http).await.unwrap();
    server.until_metric("monolith_connections", 2.0).await;
    server.stop().await;
    let closed = async {
        assert_eq!(used.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(fresh.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(server.ended().await.is_ok());
    };
    // Time-outs would close them too, the first after 15 seconds.
    tokio::time::timeout(Duration::from_secs(12), closed)
        .await
        .unwrap();
}

#[tokio::test]
async fn new_connections_are_refused() {
    let server = Server::start(config());
    let login = slow_login(&server).await;
    server.stop().await;
    let http = server.http;
    until(async || TcpStream::connect(http).await.err()).await;
    login.await.unwrap();
}

#[tokio::test]
async fn when_the_budget_is_exceeded_connections_are_cut_and_counted() {
    let budget = Duration::from_millis(10);
    let server = Server::start(Config {
        shutdown_budget: budget,
        ..config()
    });
    let login = login_of("slower", &server).await;
    server.stop().await;
    let log = server.log.clone();
    let error = server.ended().await.unwrap_err();
    assert!(
        matches!(error, RunError::Deadline { cut: 1, .. }),
        "{error}"
    );
    assert_eq!(login.await.unwrap().status, 0);
    assert!(
        log.text().contains("\"GET /login\" 499 0 "),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn a_second_request_to_stop_ends_the_drain() {
    let server = Server::start(config());
    let login = login_of("slower", &server).await;
    server.stop().await;
    server.stop().await;
    let error = server.ended().await.unwrap_err();
    assert!(matches!(error, RunError::Forced { cut: 1 }), "{error}");
    assert_eq!(login.await.unwrap().status, 0);
}

#[tokio::test]
async fn a_second_request_to_stop_is_no_error_if_no_connection_is_open() {
    let server = Server::start(config());
    server.stop().await;
    server.stop().await;
    server.ended().await.unwrap();
}

//! Malformed requests, and more connections than the limit. Each rejected request
//! is logged, and the service keeps serving.

use crate::support::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Sends malformed bytes: hyper responds with `status`, and it is logged and counted.
async fn assert_rejected(bytes: &[u8], status: u16) {
    let server = Server::start(config());
    let response = send(server.http, bytes).await;
    assert!(
        response.status == status || response.status == 0,
        "{response:?}"
    );
    let lines = server.log.lines(1).await;
    assert!(
        lines[0].contains(&format!(" \"- -\" {status} 0 ")),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains(" 127.0.0.1:"), "{}", lines[0]);
    let series = format!("monolith_requests_total{{route=\"refused\",status=\"{status}\"}}");
    assert_eq!(server.metric(&series).await, Some(1.0));
    assert_eq!(get(server.http, "/", &[]).await.status, 200);
}

#[tokio::test]
async fn garbage_is_a_bad_request() {
    assert_rejected(b"\x00\xff garbage\r\n\r\n", 400).await;
}

#[tokio::test]
async fn a_tls_handshake_is_a_bad_request() {
    assert_rejected(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400).await;
}

#[tokio::test]
async fn http_2_is_a_bad_request() {
    assert_rejected(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400).await;
}

#[tokio::test]
async fn a_megabyte_of_header_is_too_large() {
    let header = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    assert_rejected(header.as_bytes(), 431).await;
}

#[tokio::test]
async fn ten_thousand_fields_are_too_many() {
    let header = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "a:\r\n".repeat(10_000)
    );
    assert_rejected(header.as_bytes(), 431).await;
}

#[tokio::test]
async fn two_lengths_that_differ_are_a_bad_request() {
    let header = b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    assert_rejected(header, 400).await;
}

#[tokio::test]
async fn an_unread_body_is_not_parsed_as_the_next_request() {
    let server = Server::start(config());
    let body = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = format!("Content-Length: {}", body.len());
    let both = ["Transfer-Encoding: chunked", "Content-Length: 5"];
    for headers in [&[length.as_str()][..], &both] {
        let bytes = request("GET", "/", headers, "keep-alive") + body;
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        read_to_end(&mut stream).await;
    }
    get(server.http, "/", &[]).await;
    server.log.lines(3).await;
    assert!(
        !server.log.text().contains("smuggled"),
        "{}",
        server.log.text()
    );
}

/// A service with this limit.
fn limited(max_connections: u32) -> Server {
    Server::start(monolith::config::Config {
        max_connections,
        ..config()
    })
}

#[tokio::test]
async fn the_oldest_unfinished_request_is_evicted_first() {
    let server = limited(8);
    let idle = idle(server.http).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
        held.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(soon(get(server.http, "/", &[])).await.status, 200);
    }
    assert!(read_to_end(&mut held[0]).await.is_empty());
    // The idle connection, which could be the proxy's, is still open.
    let mut idle = idle;
    let again = request("GET", "/", &[], "close");
    idle.write_all(again.as_bytes()).await.unwrap();
    assert!(!read_to_end(&mut idle).await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_evicted_and_a_busy_one_is_not() {
    let server = limited(2);
    let http = server.http;
    let mut idle = idle(http).await;
    let login = tokio::spawn(async move { get(http, "/login", &[&basic("slow:secret")]).await });
    server.until_metric("monolith_password_queue", 1.0).await;
    assert_eq!(soon(get(http, "/", &[])).await.status, 200);
    assert!(soon(read_to_end(&mut idle)).await.is_empty());
    assert_eq!(login.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_new_connection_waits_for_busy_ones() {
    let server = limited(2);
    let http = server.http;
    let logins = [(); 2]
        .map(|()| tokio::spawn(async move { get(http, "/login", &[&basic("slow:secret")]).await }));
    server.until_metric("monolith_password_queue", 2.0).await;
    assert_eq!(get(http, "/", &[]).await.status, 200);
    assert_eq!(
        server.metric("monolith_connections_accepted_total").await,
        Some(3.0)
    );
    for login in logins {
        assert_eq!(login.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn at_the_limit_a_response_closes_its_connection() {
    let server = Server::start(monolith::config::Config {
        max_connections: 1,
        ..config()
    });
    let bytes = request("GET", "/", &[], "keep-alive");
    let response = send(server.http, bytes.as_bytes()).await;
    assert_eq!(response.header("connection"), Some("close"));
}

#[tokio::test]
async fn the_limit_follows_the_memory_limit_of_the_cgroup() {
    let group = directory("cgroup");
    let memory = |mib: u64| std::fs::write(group.join("memory.max"), (mib << 20).to_string());
    memory(6).unwrap();
    let limits = pod::cgroup::Cgroups::new(&group, "0::/\n").follow();
    let server = Server::start(monolith::config::Config {
        max_connections: 64,
        limits: Some(limits),
        ..config()
    });
    let limit = "monolith_connections_limit";
    assert_eq!(server.metric(limit).await, Some(64.0));
    let mut idle_connections = Vec::new();
    for _ in 0..40 {
        idle_connections.push(idle(server.http).await);
    }
    memory(7).unwrap();
    server.until_metric(limit, 128.0).await;
    // No memory for connections: the minimum.
    memory(5).unwrap();
    server.until_metric(limit, 16.0).await;
    server.until_metric("monolith_connections", 16.0).await;
    assert!(read_to_end(&mut idle_connections[0]).await.is_empty());
    assert_eq!(get(server.http, "/", &[]).await.status, 200);
}

//! Upstreams that fail: 502 and 504 with nginx's pages, and responses that are cut, which
//! must not look complete.

use std::net::UdpSocket;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Client, Place, Proxy, Upstream, curl, eventually};

fn responding_with(place: &Place, bytes: &'static str) -> Upstream {
    Upstream::start(place, move |mut served| {
        served.request();
        served.write(bytes);
    })
}

#[test]
fn a_refused_connection_is_a_502_with_a_page_and_a_log_line() {
    let proxy = Proxy::passing(Place::new("nobody"), "");
    let response = proxy.connect().fetch("/");
    assert_eq!(response.status, 502);
    assert!(
        response.head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"),
        "{}",
        response.head
    );
    assert!(
        response
            .text()
            .contains("<center><h1>502 Bad Gateway</h1></center>")
    );
    proxy.logs(
        "error.log",
        "connect() failed (111: Connection refused) while connecting to upstream",
    );
    proxy.logs("access.log", "\"GET / HTTP/1.1\" 502 ");
}

#[test]
fn silence_is_a_504_with_a_page_and_a_line() {
    let place = Place::new("silence");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        served.wire.rest();
    });
    let proxy = Proxy::passing(place, "proxy_read_timeout 1s;");
    let response = proxy.connect().fetch("/");
    assert!(
        response
            .head
            .starts_with("HTTP/1.1 504 Gateway Time-out\r\n"),
        "{}",
        response.head
    );
    assert!(
        response
            .text()
            .contains("<center><h1>504 Gateway Time-out</h1></center>")
    );
    proxy.logs(
        "error.log",
        "upstream timed out (110: Connection timed out)",
    );
}

#[test]
fn an_invalid_response_is_a_502() {
    for bytes in [
        "",
        "HTTP/1.1 200",
        "nonsense\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
    ] {
        let place = Place::new("nonsense");
        let _upstream = responding_with(&place, bytes);
        let proxy = Proxy::passing(place, "");
        assert_eq!(proxy.connect().fetch("/").status, 502, "{bytes:?}");
    }
}

#[test]
fn a_cut_body_of_known_length_is_cut_for_the_client() {
    let place = Place::new("cut");
    let _upstream = responding_with(&place, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    let proxy = Proxy::passing(place, "");
    let mut client = proxy.connect();
    client.ask("/");
    assert!(client.head().contains("Content-Length: 100"));
    assert_eq!(client.rest(), b"half");
    proxy.logs("error.log", "upstream prematurely closed connection");
}

const CUT_CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";

#[test]
fn a_cut_chunked_body_gets_no_last_chunk() {
    let place = Place::new("cut-chunks");
    let _upstream = responding_with(&place, CUT_CHUNKS);
    let proxy = Proxy::passing(place, "");
    let mut client: Client = proxy.connect();
    client.ask("/");
    client.head();
    assert_eq!(client.rest(), b"4\r\nhalf\r\n");
}

#[test]
fn a_cut_body_resets_its_stream_in_http2() {
    let place = Place::new("cut-http2");
    let _upstream = responding_with(&place, CUT_CHUNKS);
    let proxy = Proxy::passing(place, "http2 on;");
    let output = curl(&["--http2-prior-knowledge", &proxy.url("/")]);
    // CURLE_HTTP2_STREAM.
    assert_eq!(output.status.code(), Some(92), "{output:?}");
}

#[test]
fn an_upstream_that_stalls_in_a_body_is_given_up() {
    let place = Place::new("stalls");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        served.write(CUT_CHUNKS);
        served.wire.rest();
    });
    let proxy = Proxy::passing(place, "proxy_read_timeout 1s;");
    let mut client = proxy.connect();
    // A head that is late is a 504.
    eventually("a head in time", || {
        client = proxy.connect();
        client.ask("/");
        client.head().starts_with("HTTP/1.1 200 ")
    });
    assert_eq!(client.rest(), b"4\r\nhalf\r\n");
    proxy.logs("error.log", "upstream timed out");
}

#[test]
fn another_peer_is_tried_where_one_is_down() {
    let place = Place::new("peers");
    let upstream = Upstream::echo(&place);
    let http = "upstream app { server {ip}:9001; server {upstream}; }
        server { listen {plain}; location / { proxy_pass http://app; } }";
    let proxy = Proxy::start(place, http);
    let mut client = proxy.connect();
    for _ in 0..10 {
        assert_eq!(client.fetch("/").status, 200);
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.response().status, 200);
    assert_eq!(upstream.seen().len(), 11);
}

/// A name server with the same addresses of the place for every name.
fn name_server(place: &Place, last: &'static [u8]) {
    let socket = UdpSocket::bind(place.address(5353)).unwrap();
    let std::net::IpAddr::V4(own) = place.address(5353).ip() else {
        panic!("a place has an IPv4 address");
    };
    let [a, b, c, _] = own.octets();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((size, peer)) = socket.recv_from(&mut question) {
            let mut response = question[..size].to_vec();
            response[2..4].copy_from_slice(&[0x81, 0x80]);
            response[7] = last.len() as u8;
            for last in last {
                // The name in the question, A, IN, an hour, four bytes.
                response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, a, b, c, *last]);
            }
            let _ = socket.send_to(&response, peer);
        }
    });
}

#[test]
fn a_name_from_a_variable_does_not_remember_what_failed() {
    let place = Place::new("forgets");
    // Two addresses that no test has: a place's number is never 0 or 255.
    name_server(&place, &[0, 255]);
    let http = "resolver {ip}:5353 ipv6=off;
        server { listen {plain}; location / { set $to http://many.test:9000; proxy_pass $to; } }";
    let proxy = Proxy::start(place, http);
    for _ in 0..2 {
        assert_eq!(proxy.connect().fetch("/").status, 502);
    }
    eventually("both addresses tried twice", || {
        let log = proxy.place.read("error.log");
        log.matches("connect() failed (111").count() == 4
    });
}

#[test]
fn a_client_that_leaves_at_the_beginning_of_a_body_is_logged_as_gone() {
    for (name, size, buffering, status) in [
        ("little", 3, "on", 499),
        ("much", 100_000, "on", 200),
        ("unbuffered", 3, "off", 200),
    ] {
        let place = Place::new(name);
        let _upstream = Upstream::start(&place, move |mut served| {
            served.request();
            served.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            served.write(vec![b'x'; size]);
            served.wire.rest();
        });
        let proxy = Proxy::passing(place, &format!("proxy_buffering {buffering};"));
        let mut client = proxy.connect();
        client.ask("/");
        client.head();
        client.take(size);
        drop(client);
        proxy.logs("access.log", &format!("\"GET / HTTP/1.1\" {status} "));
    }
}

#[test]
fn a_reset_is_no_end_of_a_body_without_a_length() {
    for more in ["", "gzip on; gzip_min_length 0; gzip_types *;"] {
        let place = Place::new("reset");
        let (release, held) = std::sync::mpsc::channel();
        let held = std::sync::Mutex::new(held);
        let _upstream = Upstream::start(&place, move |mut served| {
            served.request();
            served.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf");
            let _ = held.lock().unwrap().recv();
            let socket = socket2::SockRef::from(&served.wire.socket);
            socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        });
        let proxy = Proxy::passing(place, &format!("proxy_buffering off; {more}"));
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        client.head();
        // It has begun.
        client.take(1);
        release.send(()).unwrap();
        let rest = client.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{more}");
        proxy.logs("error.log", "upstream prematurely closed connection");
    }
}

/// The client whose request is the one attempt with a peer that has failed leaves.
#[test]
fn an_attempt_that_is_given_up_is_no_failure() {
    let place = Place::new("given-up");
    let (left, has_left) = mpsc::channel();
    let upstream = Upstream::start(&place, move |mut served| {
        let head = served.head().unwrap();
        if head.starts_with("GET /fails ") {
            return;
        }
        if head.starts_with("GET /slow ") {
            served.wire.rest();
            return left.send(()).unwrap();
        }
        served.respond("200 OK", b"well");
    });
    let proxy = Proxy::start(
        place,
        "upstream two { server {upstream} fail_timeout=2s; server {ip}:1 down; }
        server { listen {plain}; location / { proxy_pass http://two; } }",
    );
    let status = |path| proxy.connect().fetch(path).status;
    assert_eq!(status("/fails"), 502);
    thread::sleep(Duration::from_millis(2100));
    let mut client = proxy.connect();
    client.ask("/slow");
    upstream.has_seen(2);
    drop(client);
    has_left.recv().unwrap();
    assert_eq!(status("/"), 200);
}

/// However an attempt fails, a peer that is out of use gets one of them in a `fail_timeout`, not `max_fails`.
#[test]
fn a_peer_that_still_fails_gets_one_attempt_in_a_fail_timeout() {
    const FAIL_TIMEOUT: Duration = Duration::from_secs(2);
    for (name, response) in [
        ("closes", ""),
        ("talks-nonsense", "nonsense\r\n\r\n"),
        ("is-silent", "HTTP/1.1 200"),
        ("has-errors", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let place = Place::new(name);
        let upstream = Upstream::start(&place, move |mut served| {
            served.request();
            served.write(response);
            if name == "is-silent" {
                served.wire.rest();
            }
        });
        let proxy = Proxy::start(
            place,
            "upstream two { server {upstream} max_fails=3 fail_timeout=2s; server {ip}:1 down; }
            server { listen {plain}; proxy_read_timeout 100ms;
            proxy_next_upstream error timeout invalid_header http_503;
            location / { proxy_pass http://two; } }",
        );
        let fetch = |count| (0..count).for_each(|_| drop(proxy.connect().fetch("/")));
        let since = Instant::now();
        eventually("a peer out of use", || {
            fetch(1);
            let log = proxy.place.read("error.log");
            log.contains("upstream server temporarily disabled")
        });
        let before = upstream.seen().len();
        assert!(before >= 3, "{name}: {before}");
        thread::sleep(FAIL_TIMEOUT + Duration::from_millis(100));
        fetch(10);
        let allowed = since.elapsed().as_millis() / FAIL_TIMEOUT.as_millis();
        let attempts = upstream.seen().len() - before;
        assert!(
            (1..=allowed).contains(&(attempts as u128)),
            "{name}: {attempts}"
        );
    }
}

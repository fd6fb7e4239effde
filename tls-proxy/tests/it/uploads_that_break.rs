//! Request bodies that cannot be read to their end while the response has begun: the upstream gets
//! no end of them, and the client no further response on their connection.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::support::frames::{DATA, END_STREAM, HEADERS, Http2, RST_STREAM};
use crate::support::place::PLAIN;
use crate::support::{Client, Place, Proxy, Upstream};

const BEGUN: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// An upstream whose response has begun before the request's body has come, and continues while
/// that comes; and what it has got of each body.
fn responding(place: &Place) -> (Upstream, Receiver<Vec<u8>>) {
    let (tell, told) = channel();
    let upstream = Upstream::start(place, move |mut served| {
        served.head();
        served.write(BEGUN);
        let mut other = served.wire.socket.try_clone().unwrap();
        let (end, ended) = channel::<()>();
        let ticking = thread::spawn(move || {
            let tick = Duration::from_millis(20);
            while ended.recv_timeout(tick) == Err(RecvTimeoutError::Timeout)
                && other.write_all(b"1\r\nb\r\n").is_ok()
            {}
            let _ = other.write_all(LAST_CHUNK);
        });
        let got = served.wire.take_until(LAST_CHUNK);
        drop(end);
        ticking.join().unwrap();
        let _ = tell.send(got);
    });
    (upstream, told)
}

fn start(place: Place, more: &str) -> Proxy {
    Proxy::passing(
        place,
        &format!("http2 on; proxy_http_version 1.1; proxy_request_buffering off; {more}"),
    )
}

/// A client whose response has begun, with a body of which this has been sent.
fn begun(proxy: &Proxy, first: &str) -> Client {
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(first);
    assert!(client.head().starts_with("HTTP/1.1 200 OK"));
    client
}

fn is_broken_off(mut client: Client, got: &Receiver<Vec<u8>>) {
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(!rest.ends_with("0\r\n\r\n"), "a complete response: {rest}");
    assert!(!rest.contains("HTTP/1.1"), "another response: {rest}");
    let got = got.recv().unwrap();
    assert!(
        !got.ends_with(LAST_CHUNK),
        "a complete body: {}",
        String::from_utf8_lossy(&got)
    );
}

/// What follows the beginning of a body breaks it off, for this reason.
fn is_no_end(place: Place, more: &str, follows: &str, reason: &str) {
    let (_upstream, got) = responding(&place);
    let proxy = start(place, more);
    let mut client = begun(&proxy, "5\r\nhello\r\n");
    client.send(follows);
    // The peer may have closed.
    let _ = client.socket.write_all(NEXT.as_bytes());
    is_broken_off(client, &got);
    proxy.logs("error.log", reason);
}

#[test]
fn an_invalid_chunk_is_no_end() {
    is_no_end(
        Place::new("uploads-invalid"),
        "",
        "zz\r\n5\r\nworld\r\n0\r\n\r\n",
        "client sent invalid chunked body",
    );
}

#[test]
fn what_is_too_large_is_no_end() {
    is_no_end(
        Place::new("uploads-too-large"),
        "client_max_body_size 8;",
        "5\r\nworld\r\n0\r\n\r\n",
        "client intended to send too large chunked body",
    );
}

#[test]
fn a_pause_that_is_too_long_is_no_end() {
    let place = Place::new("uploads-pause");
    let (_upstream, got) = responding(&place);
    let proxy = start(place, "client_body_timeout 1s;");
    let client = begun(&proxy, "5\r\nhello\r\n");
    is_broken_off(client, &got);
}

#[test]
fn over_http2_the_stream_is_reset() {
    let place = Place::new("uploads-http2");
    let (_upstream, got) = responding(&place);
    let proxy = start(place, "client_max_body_size 8;");
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.begin(1, "/", &[]);
    client.send(DATA, 0, 1, b"hello");
    client.frame_of(HEADERS);
    client.send(DATA, END_STREAM, 1, b"world");
    client.frame_of(RST_STREAM);
    let got = got.recv().unwrap();
    assert!(!got.ends_with(LAST_CHUNK), "a complete body");
}

/// An upstream of several requests on a connection: the next one follows what was announced of the
/// one before.
fn serving(place: &Place) -> Upstream {
    Upstream::start(place, |mut served| {
        while served.request().is_some() {
            served.respond("200 OK", b"page");
        }
    })
}

fn request_lines(upstream: &Upstream) -> Vec<String> {
    let seen = upstream.seen();
    let lines = seen.iter().filter_map(|head| head.lines().next());
    lines.map(str::to_owned).collect()
}

#[test]
fn the_page_of_a_refused_body_has_none() {
    let place = Place::new("uploads-page");
    let upstream = serving(&place);
    let http = "upstream app { server {upstream}; keepalive 4; }
        proxy_http_version 1.1; proxy_set_header Connection '';
        server { listen {plain};
            location /up { client_max_body_size 10; error_page 413 /too; proxy_pass http://app; }
            location = /too { proxy_pass http://app; }
            location / { proxy_pass http://app; } }";
    let proxy = Proxy::start(place, http);
    let mut client = proxy.connect();
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n");
    client.send([b'x'; 31]);
    assert_eq!(client.response().status, 413);
    let mut other = proxy.connect();
    other.send("GET /other HTTP/1.1\r\nHost: a\r\nX: GET /admin HTTP/1.1\r\n\r\n");
    assert_eq!(other.response().status, 200);
    let lines = request_lines(&upstream);
    assert_eq!(
        lines.last(),
        Some(&"GET /other HTTP/1.1".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn the_page_of_a_refused_head_has_no_body() {
    let place = Place::new("uploads-head");
    let upstream = serving(&place);
    let http = "upstream app { server {upstream}; keepalive 4; }
        proxy_http_version 1.1; proxy_set_header Connection '';
        server { listen {plain}; http2 on; error_page 400 405 421 @page;
            location @page { proxy_pass http://app; }
            location / { proxy_pass http://app; } }";
    let proxy = Proxy::start(place, http);
    let mut client = proxy.connect();
    let body = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!(
        "POST /1 HTTP/1.1\r\nHost: a b\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.response().status, 400);
    for path in ["/2", "/../p"] {
        let mut client = Http2::connect(proxy.place.address(PLAIN));
        client.begin(1, path, &[("host", "another")]);
        client.send(DATA, END_STREAM, 1, body.as_bytes());
        client.frame_of(HEADERS);
    }
    let mut other = proxy.connect();
    other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(other.response().status, 200);
    let lines = request_lines(&upstream);
    let wanted = [
        "POST /1 HTTP/1.1",
        "POST /2 HTTP/1.1",
        "GET /other HTTP/1.1",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn an_upstream_that_has_refused_a_body_ends_no_response_by_a_reset() {
    let place = Place::new("uploads-refused");
    let _upstream = Upstream::start(&place, |mut served| {
        served.head();
        served.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf");
        // It leaves unread what has come meanwhile.
        thread::sleep(Duration::from_millis(300));
        let socket = socket2::SockRef::from(&served.wire.socket);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    });
    let proxy = start(place, "client_max_body_size 0;");
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n");
    let mut other = client.socket.try_clone().unwrap();
    let sending = thread::spawn(move || other.write_all(&vec![b'x'; 30_000_000]));
    let rest = client.rest();
    assert!(!rest.ends_with(LAST_CHUNK), "a complete response");
    drop(client);
    let _ = sending.join().unwrap();
}

#[test]
fn what_an_upstream_says_before_it_closes_is_complete() {
    let place = Place::new("uploads-closed");
    let _upstream = Upstream::start(&place, |mut served| {
        served.head();
        served.wire.take(10);
        served.write("HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\n");
        served.write("x".repeat(40_000) + "END");
    });
    let proxy = start(place, "client_max_body_size 0; limit_rate 20k;");
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n0123456789");
    let mut other = client.socket.try_clone().unwrap();
    let sending = thread::spawn(move || {
        // The upstream has closed by now.
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(50));
            if other.write_all(&[b'x'; 2000]).is_err() {
                break;
            }
        }
    });
    assert_eq!(client.response().text().len(), 40_003);
    drop(client);
    sending.join().unwrap();
}

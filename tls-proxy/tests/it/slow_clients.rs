//! Slow clients: each time-out closes what it should. That it does is asserted, not when.

use std::io::Write as _;
use std::time::Duration;

use crate::support::frames::Http2;
use crate::support::place::{PLAIN, TLS};
use crate::support::{Client, Place, Proxy, Upstream, certificates, eventually};

/// A client whose first bytes are there when it is accepted, so that its time-out does not run
/// before.
fn begun(proxy: &Proxy, bytes: &str) -> Client {
    proxy.while_stopped(|| {
        let mut client = proxy.connect();
        client.send(bytes);
        client
    })
}

/// The same with a request of HTTP/2.
fn begun_http2(proxy: &Proxy, path: &str) -> Http2 {
    proxy.while_stopped(|| {
        let mut client = Http2::begin_to_connect(proxy.place.address(PLAIN));
        client.ask(1, path, &[]);
        client
    })
}

#[test]
fn a_head_that_never_ends_is_cut() {
    let proxy = Proxy::passing(Place::new("head"), "client_header_timeout 1s;");
    let mut client = begun(&proxy, "GET / HTTP/1.1\r\nHost: a\r\n");
    assert!(client.is_closed());
    proxy.logs("access.log", "\"GET / HTTP/1.1\" 408 0 ");
    proxy.logs("error.log", "client timed out (110: Connection timed out)");
}

#[test]
fn a_head_that_comes_in_drops_is_cut_all_the_same() {
    let proxy = Proxy::passing(Place::new("drops"), "client_header_timeout 1s;");
    let mut client = begun(&proxy, "GET / HTTP/1.1\r\n");
    eventually("a closed connection", || {
        std::thread::sleep(Duration::from_millis(100));
        client.socket.write_all(b"X: 1\r\n").is_err()
    });
    proxy.logs("access.log", "\" 408 0 ");
}

#[test]
fn a_client_that_says_nothing_is_cut() {
    let proxy = Proxy::passing(Place::new("nothing"), "client_header_timeout 1s;");
    assert!(proxy.connect().is_closed());
}

#[test]
fn a_body_that_stops_is_a_408() {
    let place = Place::new("body");
    let _upstream = Upstream::echo(&place);
    let proxy = Proxy::passing(place, "client_body_timeout 1s; client_max_body_size 0;");
    // Small enough to be read before the request is sent upstream, and not.
    for size in [100, 10_000_000] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\nx"
        ));
        client.rest();
        proxy.logs("access.log", &format!("\"POST /{size} HTTP/1.1\" 408 "));
    }
}

/// An upstream with a response larger than any buffer.
fn endless(place: &Place) -> Upstream {
    Upstream::start(place, |mut served| {
        if served.request().is_none() {
            return;
        }
        served.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while served.wire.socket.write_all(&piece).is_ok() {}
    })
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let place = Place::new("reads");
    let _upstream = endless(&place);
    let proxy = Proxy::passing(place, "send_timeout 1s;");
    let mut client = proxy.connect();
    client.ask("/");
    proxy.logs("error.log", "while sending to client");
    proxy.logs("access.log", "\"GET / HTTP/1.1\" 200 ");
    client.rest();
}

#[test]
fn a_client_of_http2_that_does_not_read_is_cut() {
    let place = Place::new("reads-http2");
    let _upstream = endless(&place);
    let proxy = Proxy::passing(place, "http2 on; send_timeout 1s; keepalive_timeout 1s;");
    let mut client = begun_http2(&proxy, "/");
    // Its window is never widened.
    proxy.logs("access.log", "\"GET / HTTP/2.0\" ");
    client.rest();
}

#[test]
fn a_handshake_that_never_ends_is_cut() {
    let place = Place::new("handshake");
    certificates::ecdsa(&place, "a");
    let http = "server { listen {tls} ssl; client_header_timeout 1s; return 200 x;
        ssl_certificate a.pem; ssl_certificate_key a.key; }";
    let proxy = Proxy::start(place, http);
    // The beginning of a record with a handshake, and nothing at all.
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b""] {
        let mut client = Client::connect(proxy.place.address(TLS));
        client.send(bytes);
        assert!(client.is_closed());
    }
    proxy.logs("error.log", "client timed out (110: Connection timed out)");
}

#[test]
fn an_idle_connection_ends_after_its_time() {
    let proxy = Proxy::passing(
        Place::new("idle"),
        "keepalive_timeout 1s; location = /own { return 200 own; }",
    );
    let mut client = proxy.connect();
    assert_eq!(client.fetch("/own").text(), "own");
    assert!(client.is_closed());
}

#[test]
fn an_idle_connection_of_http2_ends_after_its_time() {
    let proxy = Proxy::passing(
        Place::new("idle-http2"),
        "http2 on; keepalive_timeout 1s; location = /own { return 200 own; }",
    );
    begun_http2(&proxy, "/own").rest();
}

#[test]
fn a_preface_that_never_ends_is_cut() {
    let proxy = Proxy::passing(Place::new("preface"), "http2 on; client_header_timeout 1s;");
    begun(&proxy, "PRI * HTTP/2.0\r\n").rest();
}

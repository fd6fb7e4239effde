//! What a second upstream gets of a body that outgrows `client_body_buffer_size`: all of it, or the
//! request does not go there.

use crate::support::{Client, Place, Proxy, Upstream, eventually};

/// Beyond `client_body_buffer_size`.
const SIZE: usize = 100_000;

/// An upstream whose response is `bytes`, once it has the head or, if it `reads`, the body.
fn first(place: &Place, reads: bool, bytes: &'static str) -> Upstream {
    Upstream::start(place, move |mut served| {
        let asked = match reads {
            true => served.request().is_some(),
            false => served.head().is_some(),
        };
        if asked {
            served.write(bytes);
            // Stays open until the proxy closes.
            served.wire.rest();
        }
    })
}

/// An upstream that responds with the size of the body.
fn second(place: &Place) -> Upstream {
    Upstream::at(place.address(9001), |mut served| {
        while let Some(request) = served.request() {
            let size = request.body.len().to_string();
            served.respond("200 OK", size.as_bytes());
        }
    })
}

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
const TWO_LENGTHS: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";

fn next(place: Place) -> Proxy {
    let http = "upstream two { server {upstream} max_fails=0; server {ip}:9001 backup; }
        server { listen {plain}; location / { proxy_pass http://two;
            proxy_next_upstream error timeout invalid_header http_503; } }";
    Proxy::start(place, http)
}

fn put(client: &mut Client, chunked: bool) {
    client.send("PUT /a HTTP/1.1\r\nHost: a\r\n");
    match chunked {
        true => client.send(format!("Transfer-Encoding: chunked\r\n\r\n{SIZE:x}\r\n")),
        false => client.send(format!("Content-Length: {SIZE}\r\n\r\n")),
    }
    client.send(vec![b'x'; SIZE]);
    if chunked {
        client.send("\r\n0\r\n\r\n");
    }
}

#[test]
fn a_body_that_is_not_at_hand_is_not_sent_to_the_next_upstream() {
    for (bytes, status) in [(BUSY, 503), (TWO_LENGTHS, 502)] {
        for chunked in [true, false] {
            let place = Place::new("not-at-hand");
            let _first = first(&place, true, bytes);
            let second = second(&place);
            let proxy = next(place);
            let mut client = proxy.connect();
            put(&mut client, chunked);
            assert_eq!(client.response().status, status);
            assert_eq!(second.seen().len(), 0);
        }
    }
}

#[test]
fn a_body_that_is_at_hand_is_sent_to_the_next_upstream_whole() {
    for bytes in [BUSY, TWO_LENGTHS] {
        // The part that is read before the request is sent, and the rest.
        for (begun, rest) in [
            (format!("Content-Length: {SIZE}\r\n\r\n"), "x".repeat(SIZE)),
            (
                format!(
                    "Transfer-Encoding: chunked\r\n\r\n4000\r\n{}\r\n",
                    "x".repeat(0x4000)
                ),
                format!(
                    "{:x}\r\n{}\r\n0\r\n\r\n",
                    SIZE - 0x4000,
                    "x".repeat(SIZE - 0x4000)
                ),
            ),
        ] {
            let place = Place::new("at-hand");
            let _first = first(&place, false, bytes);
            let second = second(&place);
            let proxy = next(place);
            let mut client = proxy.connect();
            client.send(format!("PUT /a HTTP/1.1\r\nHost: a\r\n{begun}"));
            second.has_seen(1);
            client.send(rest);
            let response = client.response();
            assert_eq!((response.status, response.text()), (200, SIZE.to_string()));
        }
    }
}

const REDIRECTING: &str =
    "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /other\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_body_that_is_not_at_hand_does_not_follow_an_accel_redirect() {
    let place = Place::new("accel-sent");
    let _first = first(&place, true, REDIRECTING);
    let second = second(&place);
    let http = "server { listen {plain}; location / { proxy_pass http://{upstream}; }
        location /other { proxy_pass http://{ip}:9001; } }";
    let proxy = Proxy::start(place, http);
    let mut client = proxy.connect();
    put(&mut client, true);
    assert_eq!(client.response().status, 500);
    assert_eq!(second.seen().len(), 0);
    proxy.logs(
        "error.log",
        "the request body has been sent to another upstream",
    );
}

#[test]
fn an_unread_body_is_not_the_next_request() {
    let own = "location / { proxy_pass http://{upstream}; } location /other { return 200 own; }";
    let without = "location / { proxy_pass http://{ip}:9002; proxy_pass_request_body off; }";
    for (locations, status) in [(own, 200), (without, 502)] {
        let place = Place::new("unread");
        let _first = first(&place, false, REDIRECTING);
        let http =
            format!("server {{ listen {{plain}}; {locations} location /after {{ return 204; }} }}");
        let proxy = Proxy::start(place, &http);
        let mut client = proxy.connect();
        client.send(format!(
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"
        ));
        assert_eq!(client.response().status, status);
        client.send(vec![b'x'; SIZE]);
        assert_eq!(client.fetch("/after").status, 204);
        eventually("both requests in the log", || {
            proxy.place.read("access.log").lines().count() == 2
        });
    }
}

/// The body that the first upstream has had is not at hand, and the second one does not get it.
#[test]
fn another_body_than_the_clients_is_always_at_hand() {
    for (wanted, size) in [
        ("proxy_set_body another;", "7"),
        (
            "proxy_pass_request_body off; proxy_set_header Content-Length 0;",
            "0",
        ),
    ] {
        for chunked in [true, false] {
            let place = Place::new("another");
            let _first = first(&place, true, BUSY);
            let _second = second(&place);
            let http = format!(
                "server {{ listen {{plain}}; proxy_intercept_errors on;
                location / {{ proxy_pass http://{{upstream}}; error_page 503 = @next; }}
                location @next {{ proxy_pass http://{{ip}}:9001; {wanted} client_body_buffer_size 1m; }} }}"
            );
            let proxy = Proxy::start(place, &http);
            let mut client = proxy.connect();
            put(&mut client, chunked);
            let response = client.response();
            assert_eq!(
                (response.status, response.text().as_str()),
                (200, size),
                "{wanted}"
            );
        }
    }
}

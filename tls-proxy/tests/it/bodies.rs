//! Bodies: lengths, chunks, trailers, responses without a body, HTTP/1.0 clients,
//! pipelining, and clients that close.

use crate::support::{self, Client, Place, Proxy, Upstream, curl, eventually, stdout};

/// An upstream that sends the same bytes for every request.
fn saying(place: &Place, bytes: &'static str) -> Upstream {
    Upstream::start(place, move |mut served| {
        while served.request().is_some() {
            served.write(bytes);
        }
    })
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";

#[test]
fn an_upload_with_a_length_arrives_with_it() {
    let place = Place::new("length");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::passing(place, "");
    let mut client = proxy.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response().text(), "POST /a HTTP/1.1\nbody");
    assert!(upstream.seen()[0].contains("Content-Length: 4"));
}

#[test]
fn a_chunked_upload_arrives_whole() {
    let place = Place::new("chunked");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::passing(place, "client_max_body_size 0;");
    let mut client = proxy.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "POST /a HTTP/1.1\nabcd");
    // Too large to be buffered: it is forwarded in chunks.
    client.send("POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..64 {
        client.send("1000\r\n");
        client.send([b'x'; 0x1000]);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(
        client.response().body.len(),
        "POST /b HTTP/1.1\n".len() + 64 * 0x1000
    );
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn a_client_that_expects_100_continue_gets_it_before_it_sends() {
    let place = Place::new("expect");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::passing(place, "client_max_body_size 10;");
    let mut client = proxy.connect();
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ";
    client.send(format!("{head}4\r\n\r\n"));
    assert_eq!(client.head(), "HTTP/1.1 100 Continue");
    client.send("body");
    assert_eq!(client.response().text(), "POST /a HTTP/1.1\nbody");
    assert!(
        !upstream.seen()[0].contains("Expect"),
        "a response by the proxy"
    );
    client.send(format!("{head}11\r\n\r\n"));
    assert_eq!(client.response().status, 413, "refused before it is sent");
}

#[test]
fn trailers_pass_where_the_configuration_says_so() {
    for (more, expected) in [("proxy_pass_trailers on;", "X-Sum: 5"), ("", "")] {
        let place = Place::new("trailers");
        let _upstream = saying(&place, CHUNKED);
        let proxy = Proxy::passing(place, more);
        let mut client = proxy.connect();
        for _ in 0..2 {
            let response = client.fetch("/");
            assert_eq!(
                (response.text().as_str(), response.trailers.as_str()),
                ("abcde", expected)
            );
        }
    }
}

#[test]
fn responses_without_a_body_end_with_their_header() {
    for (method, response) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n",
        ),
    ] {
        let place = Place::new("bodiless");
        let _upstream = saying(&place, response);
        let proxy = Proxy::passing(place, "");
        let mut client = proxy.connect();
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.head();
            assert_eq!(head[..12], response[..12]);
            assert!(head.contains("Connection: keep-alive"), "{head}");
            if response.contains("Length: 7") {
                assert!(head.contains("Content-Length: 7"), "{head}");
            }
        }
    }
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let place = Place::new("old");
    let _upstream = saying(&place, CHUNKED);
    let proxy = Proxy::passing(place, "");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "abcde");
    assert_eq!(response.field("Transfer-Encoding"), None);
    assert_eq!(response.field("Connection"), Some("close"));
}

#[test]
fn a_body_without_length_ends_the_connection_of_a_kept_http_1_0_client() {
    let place = Place::new("old-kept");
    let _upstream = saying(&place, CHUNKED);
    let proxy = Proxy::passing(place, "location = /own { return 200 own; }");
    let mut client = proxy.connect();
    let ask = |path| format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client.send(ask("/own"));
    assert_eq!(client.response().field("Connection"), Some("keep-alive"));
    client.send(ask("/"));
    let response = client.response();
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(response.text(), "abcde");
}

#[test]
fn pipelined_requests_get_their_responses_in_order() {
    let place = Place::new("ahead");
    let _upstream = Upstream::echo(&place);
    let proxy = Proxy::passing(place, "");
    let mut client = proxy.connect();
    let mut requests = String::new();
    for number in 0..50 {
        requests += &format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    }
    client.send(requests);
    for number in 0..50 {
        assert_eq!(
            client.response().text(),
            format!("POST /{number} HTTP/1.1\nhi")
        );
    }
}

#[test]
fn an_upstream_may_respond_before_it_has_read_the_body() {
    let place = Place::new("early");
    let _upstream = Upstream::start(&place, |mut served| {
        served.head();
        served.respond("403 Forbidden", b"no");
        // And closes, with most of the body unread.
    });
    let proxy = Proxy::passing(place, "client_max_body_size 0;");
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(vec![b'x'; 500_000]);
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    let file = proxy.place.path("upload");
    std::fs::write(&file, vec![b'x'; 4 << 20]).unwrap();
    let upload = file.to_str().unwrap();
    let output = curl(&[
        "--upload-file",
        upload,
        "--write-out",
        "%{http_code}",
        &proxy.url("/"),
    ]);
    assert_eq!(stdout(&output), "no403", "{output:?}");
}

#[test]
fn a_configuration_cannot_take_the_length_from_a_body() {
    let place = Place::new("framing");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::passing(place, "proxy_set_header Content-Length \"\";");
    let mut client = proxy.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    // Without it the body would be the upstream's next request.
    assert_eq!(client.response().text(), "POST /a HTTP/1.1\nbody");
    assert_eq!(client.fetch("/b").text(), "GET /b HTTP/1.1\n");
    assert_eq!(upstream.seen().len(), 2);
}

/// An upstream that reads a request, does `before`, and reports when the proxy has
/// closed its connection.
fn left(place: &Place, before: &'static str) -> (Upstream, std::sync::mpsc::Receiver<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let upstream = Upstream::start(place, move |mut served| {
        served.head();
        served.write(before);
        served.wire.rest();
        let _ = tell.lock().unwrap().send(());
    });
    (upstream, told)
}

#[test]
fn a_client_that_closes_before_the_response_is_logged_as_499() {
    let place = Place::new("leaves");
    let (upstream, told) = left(&place, "");
    let proxy = Proxy::passing(place, "");
    let mut client = proxy.connect();
    client.ask("/");
    upstream.has_seen(1);
    drop(client);
    told.recv_timeout(support::PATIENCE)
        .expect("the upstream's connection is closed");
    proxy.logs("access.log", "\"GET / HTTP/1.1\" 499 0 ");
    proxy.logs("error.log", "client prematurely closed connection");
}

#[test]
fn a_client_that_leaves_behind_more_requests_is_noticed() {
    let next = format!("GET /next HTTP/1.1\r\nHost: a\r\nX: {:100}|\r\n\r\n", "x");
    // Some of them fit the read-ahead buffer.
    for more in [1, 40, 400] {
        let place = Place::new(&format!("leaves-{more}-requests"));
        let (_upstream, told) = left(&place, "");
        let proxy = Proxy::passing(place, "");
        let mut client = proxy.connect();
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n{}",
            next.repeat(more)
        ));
        client.finish_sending();
        // The upstream's time-out is as long as the test's.
        told.recv_timeout(support::PATIENCE / 2)
            .expect("the upstream's connection is closed");
        proxy.logs("access.log", "\"GET / HTTP/1.1\" 499 0 ");
    }
}

#[test]
fn a_client_that_leaves_behind_its_body_is_noticed() {
    for (name, buffering) in [("leaves-body-on", "on"), ("leaves-body-off", "off")] {
        let place = Place::new(name);
        let (upstream, told) = left(&place, "");
        let proxy = Proxy::passing(place, &format!("proxy_request_buffering {buffering};"));
        let framings = [
            "Content-Length: 5\r\n\r\nhello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ];
        for (before, framing) in framings.into_iter().enumerate() {
            let mut client = proxy.connect();
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
            upstream.has_seen(before + 1);
            // Its body, too, is on its way.
            std::thread::sleep(std::time::Duration::from_millis(50));
            drop(client);
            // The upstream's time-out is as long as the test's.
            told.recv_timeout(support::PATIENCE / 2)
                .expect("the upstream's connection is closed");
        }
        drop(upstream);
        proxy.logs("access.log", "\"POST / HTTP/1.1\" 499 0 ");
    }
}

/// Another request decides about it first.
#[test]
fn a_client_that_leaves_before_its_body_is_read_is_noticed() {
    for (number, body) in ["", "hello"].into_iter().enumerate() {
        let place = Place::new(&format!("leaves-unread-{number}"));
        let (upstream, told) = left(&place, "");
        let proxy = Proxy::start(
            place,
            "server { listen {plain};
                location / { auth_request /asked; proxy_pass http://{upstream}; }
                location = /asked { proxy_pass http://{upstream}; proxy_pass_request_body off; } }",
        );
        let mut client = proxy.connect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{body}"
        ));
        upstream.has_seen(1);
        drop(client);
        // The upstream's time-out is as long as the test's.
        told.recv_timeout(support::PATIENCE / 2)
            .expect("the upstream's connection is closed");
    }
}

#[test]
fn a_client_that_leaves_after_it_was_refused_is_noticed() {
    let chunked = "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, sent) in [
        ("leaves-line", "GET / FOO\r\n\r\n".to_owned()),
        (
            "leaves-host",
            "POST / HTTP/1.1\r\nHost: a b\r\nContent-Length: 9\r\n\r\nhello".to_owned(),
        ),
        ("leaves-chunk", format!("{chunked}zz")),
        (
            "leaves-length",
            "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nhello".to_owned(),
        ),
    ] {
        let place = Place::new(name);
        let (upstream, told) = left(&place, "");
        let proxy = Proxy::passing(place, "error_page 400 413 /page; client_max_body_size 50;");
        let mut client = proxy.connect();
        client.send(sent);
        upstream.has_seen(1);
        drop(client);
        // The upstream's time-out is as long as the test's.
        told.recv_timeout(support::PATIENCE / 2)
            .expect("the upstream's connection is closed");
    }
}

#[test]
fn a_client_that_leaves_a_stream_of_events_ends_it() {
    let place = Place::new("events");
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let (_upstream, told) = left(&place, head);
    let proxy = Proxy::passing(place, "proxy_buffering off;");
    let mut client = proxy.connect();
    client.ask("/");
    client.take_until(b"first\r\n");
    drop(client);
    told.recv_timeout(support::PATIENCE)
        .expect("the upstream's connection is closed");
    proxy.logs("access.log", "\"GET / HTTP/1.1\" 200 ");
}

#[test]
fn pieces_pass_as_they_come() {
    let place = Place::new("pieces");
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let _upstream = Upstream::start(&place, move |mut served| {
        served.request();
        served.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while gone.lock().unwrap().recv_timeout(support::PATIENCE).is_ok() {
            served.write("6\r\npiece\n\r\n");
        }
    });
    let proxy = Proxy::passing(place, "");
    let mut client: Client = proxy.connect();
    client.ask("/");
    client.head();
    for _ in 0..3 {
        go.send(()).unwrap();
        assert_eq!(client.take_until(b"\n\r\n"), b"6\r\npiece\n\r\n");
    }
    drop(client);
    eventually("a line in the log", || {
        !proxy.place.read("access.log").is_empty()
    });
}

#[test]
fn a_large_body_that_is_kept_arrives_whole() {
    const SIZE: usize = 5_000_000;
    let place = Place::new("kept");
    let _upstream = Upstream::echo(&place);
    let limits = "client_max_body_size 0; client_body_buffer_size 2m;";
    let kept = "location /kept { client_body_buffer_size 8m; proxy_pass http://{upstream}; }";
    let proxy = Proxy::passing(place, &format!("{limits} {kept}"));
    let body: Vec<u8> = (0..SIZE).map(|at| (at / 7) as u8).collect();
    let chunk = format!("{SIZE:x}\r\n");
    let mut client = proxy.connect();
    // Known and kept; streamed; unknown and kept; unknown, and its beginning is kept.
    for (path, framing, start, end) in [
        ("/kept", "Content-Length: 5000000", "", ""),
        ("/", "Content-Length: 5000000", "", ""),
        (
            "/kept",
            "Transfer-Encoding: chunked",
            &chunk,
            "\r\n0\r\n\r\n",
        ),
        ("/", "Transfer-Encoding: chunked", &chunk, "\r\n0\r\n\r\n"),
    ] {
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{start}"
        ));
        client.send(&body);
        client.send(end);
        let line = format!("POST {path} HTTP/1.1\n");
        let response = client.response();
        assert!(
            response.body == [line.as_bytes(), &body].concat(),
            "{path} {framing}"
        );
    }
}

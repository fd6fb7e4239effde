//! Malformed input to the running program: every response has nginx's status, every request
//! with a response has exactly one line in the access log, and the process keeps serving.
//! `NGINX_SUBJECT` names another binary, so that nginx itself can confirm what is asserted.

#![allow(
    dead_code,
    reason = "the differential tests use the rest of what is shared"
)]

#[path = "../../differential/bytes.rs"]
mod bytes;
#[path = "../../differential/case.rs"]
mod case;
#[path = "../../differential/certificates.rs"]
mod certificates;
#[path = "../../differential/chains.rs"]
mod chains;
#[path = "../../differential/http1.rs"]
mod http1;
#[path = "../../differential/program.rs"]
mod program;
#[path = "../../differential/sandbox.rs"]
mod sandbox;
mod target;
#[path = "../../differential/upstream.rs"]
mod upstream;
#[path = "../../differential/upstream_connection.rs"]
mod upstream_connection;
#[path = "../../differential/wire.rs"]
mod wire;

use crate::support::delimited;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use target::{HURRIED_PLAIN, HURRIED_TLS, PATIENCE, PLAIN, TLS, Target, response_on};
use wire::{Wire, handshake};

fn post(fields: &str, body: &str) -> String {
    format!("POST /hostile HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
}

#[test]
fn a_megabyte_of_header_is_refused() {
    let target = Target::start("megabyte");
    let one = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        format!("X: {}\r\n", "x".repeat(4000)).repeat(256)
    );
    let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1 << 20));
    assert_eq!(target.ask_for(&one), "400");
    assert_eq!(target.ask_for(&many), "400");
    assert_eq!(target.ask_for(&line), "414");
    target.has_logged(3);
    target.still_serves();
    target.finish();
}

#[test]
fn ten_thousand_fields_are_refused() {
    let target = Target::start("fields");
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: 1\r\n".repeat(10_000)
    );
    let response = target.ask(request.as_bytes()).unwrap();
    assert_eq!(response.status(), "400");
    assert!(String::from_utf8_lossy(&response.body).contains("Request Header Or Cookie Too Large"));
    target.has_logged(1);
    target.still_serves();
    target.finish();
}

#[test]
fn bad_chunk_sizes_are_refused() {
    let target = Target::start("chunks");
    let bodies = [
        "xyz\r\nabc\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "ffffffffffffffff\r\na\r\n0\r\n\r\n",
        "fffffffffffffffffffff\r\na\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2\nab\n0\n\n",
        "1\r\na0\r\n\r\n",
        ";x\r\n\r\n",
    ];
    for body in bodies {
        assert_eq!(
            target.ask_for(&post("Transfer-Encoding: chunked", body)),
            "400",
            "{body:?}"
        );
    }
    target.has_logged(bodies.len());
    target.still_serves();
    let seen = target.finish();
    assert!(
        seen.iter().all(|request| !request.contains("/hostile")),
        "{seen:?}"
    );
}

#[test]
fn shapes_of_request_smuggling_never_reach_the_upstream() {
    let target = Target::start("smuggling");
    let inner = "0\r\n\r\nGET /hostile-inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let shapes = [
        ("400", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("400", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("400", "Content-Length: 5\r\nContent-Length: 6"),
        ("400", "Content-Length: 5\r\nContent-Length: 5"),
        ("400", "Content-Length: 5, 5"),
        ("400", "Content-Length: +5"),
        ("400", "Content-Length: 5 5"),
        ("400", "Content-Length : 5"),
        ("400", "Transfer-Encoding : chunked"),
        (
            "400",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ),
        ("400", "X: 1\r\n Transfer-Encoding: chunked"),
        ("400", "X: 1\rTransfer-Encoding: chunked"),
        ("400", "X: \0\r\nTransfer-Encoding: chunked"),
        ("501", "Transfer-Encoding: xchunked"),
        ("501", "Transfer-Encoding: gzip, chunked"),
        ("501", "Transfer-Encoding: chunked, identity"),
        ("501", "Transfer-Encoding: identity"),
        ("501", "Transfer-Encoding:\x0bchunked"),
        ("400", "Host: b"),
    ];
    for (status, fields) in shapes {
        assert_eq!(target.ask_for(&post(fields, inner)), status, "{fields:?}");
    }
    target.has_logged(shapes.len());
    target.still_serves();
    let seen = target.finish();
    assert!(
        seen.iter().all(|request| !request.contains("/hostile")),
        "{seen:?}"
    );
}

#[test]
fn incomplete_handshakes_do_not_block_others() {
    let target = Target::start("half-open");
    let hello = [&[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3][..], &[0x41; 100]].concat();
    let connections: Vec<_> = (0..400)
        .map(|number| {
            let port = target.sandbox.server(match number % 4 {
                3 => HURRIED_PLAIN,
                _ => HURRIED_TLS,
            });
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            match number % 4 {
                0 => {}
                1 => stream.write_all(&hello[..1]).unwrap(),
                2 => stream.write_all(&hello).unwrap(),
                _ => stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap(),
            }
            stream
        })
        .collect();
    target.still_serves();
    for mut stream in connections {
        // client_header_timeout ends every one of them.
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        let ended = stream.read(&mut [0; 64]);
        let is_over = ended.as_ref().map_or_else(reset, |size| *size == 0);
        assert!(
            is_over,
            "neither a response to half a request nor silence: {ended:?}"
        );
    }
    target.still_serves();
    target.finish();
}

#[test]
fn a_dribbled_header_ends_with_its_time() {
    let target = Target::start("dribble");
    let port = target.sandbox.server(HURRIED_PLAIN);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let started = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let is_over = |stream: &mut TcpStream| match stream.read(&mut [0; 64]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    };
    let mut sent = b"GET / HTTP/1.1\r\nX: ".iter().cycle();
    while stream.write_all(&[*sent.next().unwrap()]).is_ok() && !is_over(&mut stream) {
        assert!(
            started.elapsed() < PATIENCE,
            "it waits for as long as bytes come"
        );
    }
    target.still_serves();
    target.finish();
}

#[test]
fn plain_http_on_the_tls_port_gets_a_page() {
    let target = Target::start("plain");
    let mut wire = Wire::connect(target.sandbox.server(TLS), None).unwrap();
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = response_on(&mut wire).unwrap();
    assert_eq!(response.status_line, "HTTP/1.1 400 Bad Request");
    let page = String::from_utf8_lossy(&response.body).into_owned();
    assert!(page.contains("<center>The plain HTTP request was sent to HTTPS port</center>"));
    assert_eq!(response.field("connection"), Some("close"));
    target.has_logged(1);
    target.still_serves();
    target.finish();
}

#[test]
fn a_client_of_tls_1_1_is_turned_away_by_an_alert() {
    let target = Target::start("tls11");
    let words = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"].map(str::to_owned);
    let lines = handshake(target.sandbox.server(TLS), &words, b"").unwrap();
    let refused = lines.iter().any(|line| line.starts_with("alert: "));
    assert!(refused, "{lines:?}");
    target.still_serves();
    target.finish();
}

#[test]
fn garbage_gets_400_or_no_response() {
    let target = Target::start("garbage");
    let mut numbers = 0x2545_f491_4f6c_dd1d_u64;
    let mut byte = || {
        numbers ^= numbers << 13;
        numbers ^= numbers >> 7;
        numbers ^= numbers << 17;
        numbers as u8
    };
    for number in 0..200 {
        let mut garbage: Vec<u8> = (0..64).map(|_| byte()).collect();
        garbage.extend_from_slice(b"\r\n\r\n");
        let port = target
            .sandbox
            .server(if number % 2 == 0 { PLAIN } else { TLS });
        let mut wire = Wire::connect(port, None).unwrap();
        wire.send(&garbage);
        wire.half_close();
        let Some(response) = response_on(&mut wire) else {
            continue;
        };
        // On the TLS port an alert may come instead: a record of type 21.
        let is_alert = response.body.starts_with(&[21, 3]);
        assert!(
            is_alert || response.status() == "400",
            "{response:?} to {garbage:?}"
        );
    }
    target.still_serves();
    target.finish();
}

#[test]
fn changed_requests_never_end_the_process() {
    let target = Target::start("changed");
    let request = b"POST /a%20b?c=d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                    Connection: keep-alive\r\nExpect: 100-continue\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n";
    for at in 0..request.len() {
        for change in [0, b' ', b'\r', b'\n', b':', 0x80, request[at] ^ 0x20] {
            let mut changed = request.to_vec();
            changed[at] = change;
            let mut wire = Wire::connect(target.sandbox.server(PLAIN), None).unwrap();
            wire.send(&changed);
            wire.half_close();
            // Every response is checked as it is received.
            wire.receive(PATIENCE, |_, _| false);
        }
    }
    target.still_serves();
    target.finish();
}

//! The tests' own check of responses finds malformed ones, and no others.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::support::Client;
use crate::support::delimited::Watch;

/// The verdict of a watch after all bytes, received one by one or at once.
fn judged(sent: &[u8], received: &[u8], closed: bool) -> Result<(), String> {
    let whole = [received];
    let bytes: Vec<&[u8]> = received.chunks(1).collect();
    let [first, second] = [&whole[..], &bytes[..]].map(|pieces| {
        let mut watch = Watch::default();
        watch.sent(sent);
        for piece in pieces {
            watch.received(piece).map_err(|fault| fault.0)?;
        }
        if closed {
            watch.closed().map_err(|fault| fault.0)?;
        }
        Ok(())
    });
    assert_eq!(first.is_ok(), second.is_ok(), "{first:?} {second:?}");
    first
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\n\r\n";

#[test]
fn responses_of_http1_that_delimit_themselves_pass() {
    for (request, response) in [
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (GET, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        ),
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
        ),
        (
            OLD,
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
        ),
        (
            GET,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
        (
            GET,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\nanything",
        ),
        ("GET /\r\n", "a body without a head"),
    ] {
        let judged = judged(request.as_bytes(), response.as_bytes(), true);
        assert_eq!(judged, Ok(()), "{response:?}");
    }
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nx=1";
    let two = format!("{post}{HEAD}");
    let heads = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(
        judged(two.as_bytes(), format!("{heads}ok{heads}").as_bytes(), true),
        Ok(())
    );
    let two = format!("{HEAD}{GET}");
    assert_eq!(
        judged(two.as_bytes(), format!("{heads}{heads}ok").as_bytes(), true),
        Ok(())
    );
}

#[test]
fn broken_responses_of_http1_do_not() {
    for (request, response, why) in [
        (GET, "HTTP/1.1 404 Not Found\r\n\r\n", "nothing tells"),
        (
            GET,
            "HTTP/1.1 404 Not Found\r\nConnection: keep-alive\r\n\r\n",
            "nothing tells",
        ),
        (
            OLD,
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
            "nothing tells",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok",
            "no head",
        ),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "cut"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\no",
            "two Content-Length",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\no",
            "Content-Length",
        ),
        (GET, "HTTP/1.1 204 No Content\r\n\r\nbody", "no head"),
        (GET, "HTTP/1.1 304 Not Modified\r\n\r\nbody", "no head"),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "no head",
        ),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            "behind the last",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
            "both",
        ),
        (
            GET,
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "without a body",
        ),
        (
            OLD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.0",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "transfer coding",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            "longer than its size",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
            "of size",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            "cut",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n0\r\n\r\n",
            "no head",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\nok",
            "colon",
        ),
        (
            GET,
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "no head",
        ),
    ] {
        let judged = judged(request.as_bytes(), response.as_bytes(), true);
        let says = judged.as_ref().err().is_some_and(|what| what.contains(why));
        assert!(says, "{response:?}: {judged:?}");
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END: u8 = 1;
const WHOLE: u8 = 4;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let size = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, size, kind, flags, 0, 0, 0, 1];
    [&head[..], payload].concat()
}

/// A block of literals that go into the dynamic table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x40);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// What is said of a response to a method, whose frames follow the server's settings.
fn judged_frames(method: &str, frames: &[Vec<u8>]) -> Result<(), String> {
    let asked = block(&[(":method", method), (":path", "/")]);
    let sent = [PREFACE, &frame(HEADERS, END | WHOLE, &asked)].concat();
    let received = [frame(4, 0, b""), frames.concat()].concat();
    judged(&sent, &received, true)
}

#[test]
fn responses_of_http2_that_delimit_themselves_pass() {
    let head = |length: &str| block(&[(":status", "200"), ("content-length", length)]);
    let two = frame(HEADERS, WHOLE, &head("2"));
    for (method, frames) in [
        ("GET", vec![two.clone(), frame(DATA, END, b"ok")]),
        (
            "GET",
            vec![two.clone(), frame(DATA, 0, b"ok"), frame(DATA, END, b"")],
        ),
        ("GET", vec![frame(HEADERS, END | WHOLE, &head("0"))]),
        ("HEAD", vec![frame(HEADERS, END | WHOLE, &head("2"))]),
        ("GET", vec![frame(HEADERS, END | WHOLE, &[0x89])]),
        // `content-length` by index, and 16 in Huffman's code.
        (
            "GET",
            vec![
                frame(HEADERS, WHOLE, &[0x88, 0x5c, 0x82, 0x0b, 0x8b]),
                frame(DATA, END, &[b'x'; 16]),
            ],
        ),
        (
            "GET",
            vec![
                frame(HEADERS, WHOLE, &block(&[(":status", "103")])),
                two.clone(),
                frame(DATA, 0, b"ok"),
                frame(HEADERS, END | WHOLE, &block(&[("x-sum", "1")])),
            ],
        ),
        ("GET", vec![two.clone(), frame(3, 0, &[0, 0, 0, 2])]),
        // In two frames, and padded.
        (
            "GET",
            vec![
                frame(HEADERS, 0, &head("2")[..9]),
                frame(9, WHOLE, &head("2")[9..]),
                frame(DATA, END | 8, b"\x01ok\0"),
            ],
        ),
    ] {
        assert_eq!(judged_frames(method, &frames), Ok(()), "{frames:?}");
    }
}

#[test]
fn broken_responses_of_http2_do_not() {
    let head = |length: &str| {
        let block = block(&[(":status", "200"), ("content-length", length)]);
        frame(HEADERS, WHOLE, &block)
    };
    for (method, frames, why) in [
        ("GET", vec![head("2"), frame(DATA, END, b"o")], "announced"),
        ("GET", vec![head("2"), frame(DATA, 0, b"oki")], "announced"),
        ("GET", vec![head("2"), frame(DATA, END, b"")], "announced"),
        ("HEAD", vec![head("2"), frame(DATA, END, b"ok")], "a body"),
        (
            "GET",
            vec![frame(HEADERS, WHOLE, &[0x89]), frame(DATA, END, b"ok")],
            "a body",
        ),
        (
            "GET",
            vec![frame(HEADERS, WHOLE, &[0x8b]), frame(DATA, END, b"ok")],
            "a body",
        ),
        (
            "GET",
            vec![head("2"), frame(DATA, 0, b""), frame(DATA, END, b"ok")],
            "nothing",
        ),
        (
            "GET",
            vec![head("2"), frame(DATA, END, b"ok"), frame(DATA, END, b"")],
            "behind",
        ),
        (
            "GET",
            vec![head("2"), frame(DATA, END, b"ok"), head("2")],
            "behind",
        ),
        ("GET", vec![frame(DATA, END, b"ok")], "before"),
        ("GET", vec![head("2"), head("2")], "trailers"),
        ("GET", vec![head("2"), frame(DATA, 0, b"o")], "cut"),
        (
            "GET",
            vec![head("+2"), frame(DATA, END, b"ok")],
            "content-length",
        ),
        (
            "GET",
            vec![frame(
                HEADERS,
                WHOLE,
                &block(&[
                    (":status", "200"),
                    ("content-length", "2"),
                    ("content-length", "2"),
                ]),
            )],
            "two content-length",
        ),
        (
            "GET",
            vec![frame(
                HEADERS,
                WHOLE,
                &block(&[(":status", "200"), ("transfer-encoding", "chunked")]),
            )],
            "the field",
        ),
        (
            "GET",
            vec![frame(HEADERS, WHOLE, &[0xff])],
            "cannot be read",
        ),
    ] {
        let judged = judged_frames(method, &frames);
        let says = |what: &String| what.to_lowercase().contains(why);
        assert!(
            judged.as_ref().err().is_some_and(says),
            "{frames:?}: {judged:?}"
        );
    }
}

#[test]
fn a_field_of_an_earlier_response_is_known_by_its_index() {
    let first = block(&[(":status", "200"), ("content-length", "2")]);
    // The newest is the first behind the 61 of the static table.
    let second = [0x88, 0x80 | 62];
    let mut of_third = frame(HEADERS, WHOLE, &second);
    of_third[8] = 3;
    let mut data = frame(DATA, END, b"o");
    data[8] = 3;
    let frames = [
        frame(HEADERS, WHOLE, &first),
        frame(DATA, END, b"ok"),
        of_third,
        data,
    ];
    let judged = judged_frames("GET", &frames).unwrap_err();
    assert!(judged.contains("1 bytes of data where 2"), "{judged}");
}

/// A server that always sends the same response.
fn saying(bytes: &'static [u8]) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::connect(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        assert!(socket.read(&mut [0; 1024]).unwrap() > 0);
        socket.write_all(bytes).unwrap();
    });
    client
}

#[test]
#[should_panic(expected = "nothing tells where the body ends")]
fn the_tests_client_panics_without_a_delimiter() {
    saying(b"HTTP/1.1 404 Not Found\r\nConnection: keep-alive\r\n\r\n").fetch("/");
}

#[test]
#[should_panic(expected = "no head, but k")]
fn the_tests_client_panics_where_there_is_more_than_was_announced() {
    saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok").fetch("/");
}

#[test]
#[should_panic(expected = "cut")]
fn the_tests_client_panics_where_there_is_less_than_was_announced() {
    saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok").fetch("/");
}

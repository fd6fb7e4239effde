//! Memory that an HTTP/2 client uses is counted, however its frames are split, and
//! released when it is no longer used.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::counted::{reserved, start};
use crate::support::frames::{DATA, END_STREAM, GOAWAY, HEADERS, Http2, PING, RST_STREAM};
use crate::support::place::PLAIN;
use crate::support::{self, Place, Proxy, Upstream, eventually};

const PUSH_PROMISE: u8 = 5;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// Long enough for the proxy to read what was sent. If it is not, a test shows less, but
/// does not fail.
const A_MOMENT: Duration = Duration::from_millis(100);
/// `:method POST`, `:scheme http`, `:authority a` and `:path /`.
const POST: &[u8] = b"\x83\x86\x01\x01a\x84";

/// Waits until as much is in use as before.
fn goes_back(proxy: &Proxy, before: u64) {
    eventually("what was held is given back", || reserved(proxy) <= before);
}

/// An upstream that reads requests and does not respond.
fn silent(place: &Place) -> Upstream {
    Upstream::start(place, |mut served| {
        served.request();
        std::thread::sleep(support::PATIENCE);
    })
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, stream]);
    frame.extend(payload);
    frame
}

/// How much ten requests are counted as, each with 4,000 bytes of a body that continues.
fn held_by_ten(proxy: &Proxy, cut: usize) -> u64 {
    let before = reserved(proxy);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    for stream in (1..20).step_by(2) {
        let head = frame(HEADERS, END_HEADERS, stream, POST);
        client.wire.send(&head[..cut]);
        if cut > 0 {
            std::thread::sleep(A_MOMENT);
        }
        client.wire.send(&head[cut..]);
        client.wire.send(frame(DATA, 0, stream, &[b'x'; 4000]));
    }
    let (mut last, mut quiet) = (0, 0);
    eventually("all has been read", || {
        // The worker goes on between two looks.
        client.send(PING, 0, 0, &[0; 8]);
        client.frame_of(PING);
        let now = reserved(proxy) - before;
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
        quiet > 20
    });
    drop(client);
    goes_back(proxy, before);
    last
}

#[test]
fn a_request_is_counted_however_its_frames_come() {
    let place = Place::new("http2-counted");
    let _upstream = silent(&place);
    let proxy = start(
        place,
        "server { listen {plain}; http2 on; location / { proxy_pass http://{upstream}; } }",
    );
    let whole = held_by_ten(&proxy, 0);
    assert!(whole >= 10 * (24 << 10), "{whole}");
    for cut in [9, 12] {
        let split = held_by_ten(&proxy, cut);
        assert!(split >= whole, "{split} of {whole}, cut at {cut}");
    }
}

#[test]
fn padding_is_not_counted_longer_than_it_is_held() {
    let place = Place::new("http2-padding");
    let upstream = Upstream::start(&place, |mut served| drop(served.wire.rest()));
    let proxy = start(
        place,
        "server { listen {plain}; http2 on; location / {
            proxy_request_buffering off; proxy_http_version 1.1; client_body_timeout 10m;
            proxy_pass http://{upstream}; } }",
    );
    let before = reserved(&proxy);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.begin(1, "/", &[]);
    eventually("the request is held", || reserved(&proxy) > before + 80_000);
    let begun = reserved(&proxy);
    let padded = [&[255, b'x'][..], &[0; 255]].concat();
    for _ in 0..25 {
        for _ in 0..10 {
            client.send(DATA, PADDED, 1, &padded);
        }
        // The acknowledgement means that everything has been read: the places of frames that are
        // unread at once are counted, too.
        client.send(PING, 0, 0, &[0; 8]);
        client.frame_of(PING);
    }
    // Less than all the padding, which fits into the window.
    let most = begun + (40 << 10);
    eventually("padding is given back", || reserved(&proxy) <= most);
    drop(client);
    drop(upstream);
    goes_back(&proxy, before);
}

#[test]
fn a_header_block_has_its_time_though_a_request_came_before_it() {
    let proxy = start(
        Place::new("http2-half-block"),
        "server { listen {plain}; http2 on; client_header_timeout 1s; return 200 x; }",
    );
    let before = reserved(&proxy);
    let both = [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, POST),
        frame(HEADERS, END_STREAM, 3, POST),
    ];
    // The time-out does not run before all of it is there.
    let mut client = proxy.while_stopped(|| {
        let mut client = Http2::begin_to_connect(proxy.place.address(PLAIN));
        client.wire.send(both.concat());
        client
    });
    client.frame_of(GOAWAY);
    proxy.logs("error.log", "client timed out (110: Connection timed out)");
    goes_back(&proxy, before);
}

/// A connection after a response, on which trailers of its stream have begun, which has ended.
fn with_another_block(proxy: &Proxy) -> Http2 {
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/", &[]);
    client.frame_of(DATA);
    client.send(HEADERS, 0, 1, b"\0\x01ab");
    client
}

#[test]
fn every_header_block_is_counted_until_it_ends() {
    let conf = "server { listen {plain}; http2 on; return 200 x; }";
    let proxy = start(Place::new("http2-other-blocks"), conf);
    let before = reserved(&proxy);
    let client = with_another_block(&proxy);
    eventually("the block is counted", || {
        reserved(&proxy) > before + (300 << 10)
    });
    drop(client);
    goes_back(&proxy, before);
}

#[test]
fn every_header_block_has_its_time() {
    let conf = "server { listen {plain}; http2 on; client_header_timeout 1s; return 200 x; }";
    let proxy = start(Place::new("http2-late-headers"), conf);
    with_another_block(&proxy).frame_of(GOAWAY);
    proxy.logs("error.log", "client timed out (110: Connection timed out)");
}

/// What `h2` would not end the connection for, or would understand in another way, its log line, and
/// the beginning of a request before that.
const BROKEN: [(u8, &[u8], &str); 4] = [
    // With a field that makes it malformed.
    (
        PUSH_PROMISE,
        b"\0\0\0\x02\x44\x02/a\0\nconnection\x01x",
        "client sent PUSH_PROMISE frame",
    ),
    (PUSH_PROMISE, b"", "client sent PUSH_PROMISE frame"),
    (
        HEADERS,
        b"\x82\x86\0\0\x84\x41\x02aa",
        "client sent zero header name length",
    ),
    (
        HEADERS,
        b"\x82\x86\x84\x40\x80\x01v",
        "client sent zero header name length",
    ),
];

#[test]
fn what_must_not_be_sent_ends_the_connection() {
    let conf = "server { listen {plain}; http2 on; return 200 x; }";
    let proxy = start(Place::new("http2-broken"), conf);
    for (kind, block, what) in BROKEN {
        for ends in [0, END_HEADERS] {
            let mut client = Http2::connect(proxy.place.address(PLAIN));
            client.ask(1, "/", &[]);
            client.frame_of(DATA);
            client.send(kind, ends | END_STREAM, 3, block);
            assert_eq!(
                client.frame_of(GOAWAY).payload[4..8],
                [0, 0, 0, 1],
                "{what}"
            );
            proxy.logs("error.log", what);
        }
    }
}

#[test]
fn an_idle_connection_that_closes_does_not_reset_what_is_on_its_way() {
    let conf = "server { listen {plain}; http2 on; keepalive_timeout 1s; return 200 x; }";
    let proxy = start(Place::new("http2-closing"), conf);
    for _ in 0..5 {
        let mut client = Http2::connect(proxy.place.address(PLAIN));
        client.ask(1, "/", &[]);
        assert_eq!(client.frame_of(GOAWAY).payload[4..8], [0, 0, 0, 0]);
        // What was sent before GOAWAY was seen; the end follows, and no reset.
        client.wire.send(frame(HEADERS, END_HEADERS, 3, POST));
        for _ in 0..20 {
            client.wire.send(frame(DATA, 0, 3, &[b'x'; 4000]));
        }
        assert!(client.frame().is_none());
    }
}

#[test]
fn places_of_unread_frames_are_counted() {
    let conf = "server { listen {plain}; http2 on; return 200 x; }";
    let proxy = start(Place::new("http2-unread-places"), conf);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/", &[]);
    client.frame_of(DATA);
    let before = reserved(&proxy);
    let mut all = frame(HEADERS, END_HEADERS, 3, b"\x83\x86\x84\x01\x01a");
    for _ in 0..300 {
        all.extend(frame(DATA, 0, 3, &[b'x'; 200]));
    }
    client.wire.send(all);
    client.frame_of(DATA);
    // At least those that are read at once, some 40 in 8 KiB: places double.
    eventually("they are counted", || reserved(&proxy) >= before + 32 * 240);
}

#[test]
fn an_idle_connection_keeps_no_heads_of_upstreams() {
    const CONNECTIONS: usize = 10;
    const REQUESTS: u32 = 100;
    const ROUNDING: u64 = 1 << 20;
    let place = Place::new("http2-heads-kept");
    let number = AtomicUsize::new(0);
    let cookies = ["Set-Cookie: ", &"c".repeat(1000), "\r\n"]
        .concat()
        .repeat(3);
    let _upstream = Upstream::start(&place, move |mut served| {
        served.request();
        let number = number.fetch_add(1, Ordering::Relaxed);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n";
        served.write(format!("{head}X-R: {number}\r\n{cookies}\r\nx"));
    });
    let proxy = start(
        place,
        "keepalive_timeout 10m; server { listen {plain}; http2 on; location / { proxy_pass http://{upstream}; } }",
    );
    let connect = |requests: u32| {
        let mut client = Http2::connect(proxy.place.address(PLAIN));
        for number in 0..requests {
            client.ask(2 * number + 1, "/", &[]);
            client.frame_of(DATA);
        }
        client
    };
    let _first: Vec<_> = (0..CONNECTIONS).map(|_| connect(2)).collect();
    let now = || (proxy.anonymous_memory(), reserved(&proxy));
    let before = now();
    let _kept: Vec<_> = (0..CONNECTIONS).map(|_| connect(REQUESTS)).collect();
    eventually("no more is held than is counted", || {
        let (held, counted) = now();
        held < before.0 + counted.saturating_sub(before.1) + ROUNDING
    });
}

#[test]
fn what_is_refused_is_not_counted_on() {
    let proxy = start(
        Place::new("http2-refused"),
        "server { listen {plain}; http2 on; return 200 x; }",
    );
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/", &[]);
    client.frame_of(DATA);
    let mut idle = 0;
    eventually("the connection is idle", || {
        let now = reserved(&proxy);
        std::mem::replace(&mut idle, now) == now
    });
    // A request without a path, whose body comes with it.
    let body = [b'x'; 4000];
    let mut all = frame(HEADERS, END_HEADERS, 3, b"\x83\x86\x01\x01a");
    for _ in 0..12 {
        all.extend(frame(DATA, 0, 3, &body));
    }
    client.wire.send(all);
    client.frame_of(RST_STREAM);
    goes_back(&proxy, idle);
}

#[test]
fn what_is_refused_keeps_no_request_waiting() {
    let proxy = start(
        Place::new("http2-refused-first"),
        "server { listen {plain}; http2 on; return 200 x; }",
    );
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    // A header block without a path, larger than the limit for unaccepted streams.
    let field = [&b"\0\x03x-a\x7f\x00"[..], &[b'x'; 127]].concat();
    let large = [&b"\x83\x86\x01\x01a"[..], &field.repeat(20)].concat();
    let mut all = frame(HEADERS, END_HEADERS | END_STREAM, 1, &large);
    all.extend(frame(HEADERS, END_HEADERS | END_STREAM, 3, POST));
    client.wire.send(all);
    client.frame_of(RST_STREAM);
    assert_eq!(client.frame_of(HEADERS).stream, 3);
}

/// Batches of 100 streams: they do not fit into the buffers of the sockets, and `h2` bears that it
/// has to refuse so many of them, should they come faster than they are served.
const BATCHES: u32 = 8;

/// Asks for a path of 4,000 bytes on many streams, and reads nothing. Each response repeats it six
/// times in a header block. Returns the client, and what is counted in the end.
fn held_by_unread_blocks(proxy: &Proxy, folder: &str) -> (Http2, u64) {
    let before = reserved(proxy);
    let client = Http2::connect(proxy.place.address(PLAIN));
    let path = format!("/{folder}/{:q>3900}", "");
    // The path stays in the table of HPACK: later it is one byte.
    let length = path.len() - 127;
    let length = [0x44, 127, (length % 128 + 128) as u8, (length / 128) as u8];
    let first = [&b"\x82\x86\x01\x01a"[..], &length, path.as_bytes()].concat();
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.wire.socket, 4096).unwrap();
    let mut writer = client.wire.socket.try_clone().unwrap();
    let asking = std::thread::spawn(move || {
        for batch in 0..BATCHES {
            let mut frames = Vec::new();
            for number in 0..100 {
                let again = b"\x82\x86\x01\x01a\xbe";
                let stream = 2 * (100 * batch + number) + 1_u32;
                let block = if stream == 1 { &first[..] } else { again };
                let mut frame = frame(HEADERS, END_HEADERS | END_STREAM, 0, block);
                frame[5..9].copy_from_slice(&stream.to_be_bytes());
                frames.extend(frame);
            }
            std::io::Write::write_all(&mut writer, &frames).unwrap();
            std::thread::sleep(A_MOMENT);
        }
    });
    let (mut last, mut quiet) = (0, 0);
    eventually("nothing changes any more", || {
        let now = reserved(proxy).saturating_sub(before);
        quiet = if now == last && asking.is_finished() {
            quiet + 1
        } else {
            0
        };
        last = now;
        quiet > 20
    });
    asking.join().unwrap();
    (client, last)
}

#[test]
fn a_response_is_counted_until_its_last_header_block_is_sent() {
    for folder in ["heads", "trailers"] {
        let proxy = start(
            Place::new("http2-unread"),
            "access_log off; 
            server { listen {plain}; http2 on; http2_max_concurrent_streams 100;
            set $twice $request_uri$request_uri;
                location /heads/ { add_header X $twice$twice$twice; return 204; }
                location /trailers/ { add_trailer X $twice$twice$twice; return 200 x; } }",
        );
        let before = reserved(&proxy);
        let (client, held) = held_by_unread_blocks(&proxy, folder);
        assert!(held > 40 * 24_000, "{folder}: {held}");
        drop(client);
        goes_back(&proxy, before);
    }
}

#[test]
fn a_reset_ends_a_response_whose_header_block_is_not_sent() {
    let place = Place::new("http2-unsent-reset");
    place.write("big", &"x".repeat(30 << 20));
    let proxy = start(
        place,
        "access_log off;
        server { listen {plain}; http2 on; send_timeout 1h; root {folder};
            location /empty { return 204; } location /status { stub_status; } }",
    );
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/big", &[]);
    // So much that the socket is full of it.
    client.widen(0, 1 << 30);
    client.widen(1, 1 << 30);
    let writing = || {
        let page = proxy.connect().fetch("/status").text();
        let (_, rest) = page.split_once("Writing: ").unwrap();
        rest.split_once(' ').unwrap().0.parse::<u64>().unwrap()
    };
    let (mut last, mut same) = (0, 0);
    // Each stream stays until it is reset.
    for stream in (3..120).step_by(2) {
        client.ask(stream, "/empty", &[]);
        std::thread::sleep(A_MOMENT / 20);
        client.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    }
    eventually("resets end them", || {
        let now = writing();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 10 && now <= 3
    });
}

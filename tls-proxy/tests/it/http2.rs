//! HTTP/2 to clients: concurrent streams, bodies, limits, and what upstream and log see of
//! them.

use crate::support::frames::{DATA, END_STREAM, GOAWAY, HEADERS, Http2, PING, RST_STREAM};
use crate::support::place::PLAIN;
use crate::support::{self, Place, Proxy, Upstream, certificates, curl, stdout};

const SERVER: &str = "\
http2 on;
client_max_body_size 100m;
server { listen {plain}; location / { proxy_pass http://{upstream}; } }";

#[test]
fn streams_get_their_responses_concurrently() {
    let place = Place::new("streams");
    // No response before all requests have arrived.
    let together = std::sync::Arc::new(std::sync::Barrier::new(10));
    let _upstream = Upstream::start(&place, move |mut served| {
        served.request();
        together.wait();
        served.respond("200 OK", b"yes");
    });
    let proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    let streams: Vec<u32> = (0..10).map(|number| 2 * number + 1).collect();
    for stream in &streams {
        client.ask(*stream, "/", &[]);
    }
    let mut answered: Vec<u32> = (0..10).map(|_| client.frame_of(HEADERS).stream).collect();
    answered.sort_unstable();
    assert_eq!(answered, streams);
}

#[test]
fn tls_offers_http2_by_alpn_where_it_is_on() {
    for (more, version) in [("http2 on;", "2"), ("", "1.1")] {
        let place = Place::new("alpn");
        certificates::ecdsa(&place, "localhost");
        let _upstream = Upstream::echo(&place);
        let http = format!(
            "server {{ listen {{tls}} ssl; {more} ssl_certificate localhost.pem;
             ssl_certificate_key localhost.key; location / {{ proxy_pass http://{{upstream}}; }} }}"
        );
        let proxy = Proxy::start(place, &http);
        let output = curl(&["--http2", "-w", " %{http_version}", &proxy.https("/a")]);
        assert_eq!(
            stdout(&output),
            format!("GET /a HTTP/1.1\n {version}"),
            "{output:?}"
        );
        let expected = if more.is_empty() {
            "HTTP/1.1"
        } else {
            "HTTP/2.0"
        };
        proxy.logs("access.log", &format!("\"GET /a {expected}\" 200 16 "));
    }
}

#[test]
fn a_large_body_passes_both_ways() {
    let place = Place::new("large");
    let _upstream = Upstream::echo(&place);
    let proxy = Proxy::start(place, SERVER);
    let bytes: Vec<u8> = (0..5_000_000u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let file = proxy.place.path("upload");
    std::fs::write(&file, &bytes).unwrap();
    let upload = file.to_str().unwrap();
    let output = curl(&["--http2-prior-knowledge", "-T", upload, &proxy.url("/up")]);
    assert!(output.stdout.starts_with(b"PUT /up HTTP/1.1\n"));
    assert!(
        output.stdout.ends_with(&bytes),
        "{} bytes",
        output.stdout.len()
    );
}

#[test]
fn the_upstream_gets_host_and_cookies_as_http_1_has_them() {
    let place = Place::new("fields");
    let upstream = Upstream::echo(&place);
    let http = "http2 on; server { listen {plain}; proxy_set_header Host $host;
        location / { proxy_pass http://{upstream}; } }";
    let proxy = Proxy::start(place, http);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    let fields = [("cookie", "a=1"), ("x-own", "yes"), ("cookie", "b=2")];
    client.ask(1, "/path?q=1", &fields);
    client.frame_of(HEADERS);
    let seen = &upstream.seen()[0];
    assert!(seen.starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{seen}");
    for (name, value) in [("Host", "a"), ("Cookie", "a=1; b=2"), ("X-Own", "yes")] {
        assert_eq!(support::client::field(seen, name), Some(value), "{seen}");
    }
    assert_eq!(seen.to_lowercase().matches("\ncookie:").count(), 1);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let place = Place::new("head");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::start(place, SERVER);
    let long = format!("X-Long: {}", "x".repeat(40_000));
    let code = ["-o", "/dev/null", "-w", "%{http_code}", "-H", &long];
    let refused = curl(&[&["--http2-prior-knowledge", &proxy.url("/long")], &code[..]].concat());
    // The connection ends, as nginx ends it.
    assert_eq!(stdout(&refused), "000", "{refused:?}");
    let next = curl(&["--http2-prior-knowledge", &proxy.url("/short")]);
    assert_eq!(stdout(&next), "GET /short HTTP/1.1\n");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_field_that_belongs_to_a_connection_never_reaches_the_upstream() {
    let place = Place::new("malformed");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/bad", &[("transfer-encoding", "chunked")]);
    client.ask(3, "/good", &[]);
    let refused = loop {
        let frame = client.frame().unwrap();
        if frame.stream == 1 {
            break frame;
        }
    };
    assert!(matches!(refused.kind, RST_STREAM | HEADERS), "{refused:?}");
    upstream.has_seen(1);
    assert!(upstream.seen().iter().all(|head| !head.contains("/bad")));
}

#[test]
fn a_body_longer_or_shorter_than_announced_never_arrives_as_whole() {
    for body in [&b"toolong"[..], b"x"] {
        let place = Place::new("announced");
        let upstream = Upstream::echo(&place);
        let proxy = Proxy::start(place, SERVER);
        let mut client = Http2::connect(proxy.place.address(PLAIN));
        client.begin(1, "/", &[("content-length", "3")]);
        client.send(DATA, END_STREAM, 1, body);
        client.ask(3, "/good", &[]);
        upstream.has_seen(1);
        let arrived = upstream.seen().join("\n");
        assert!(!arrived.contains("POST / "), "{arrived}");
    }
}

#[test]
fn a_stream_that_is_reset_ends_its_upstream_connection() {
    let place = Place::new("reset");
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let upstream = Upstream::start(&place, move |mut served| {
        served.request();
        served.wire.rest();
        let _ = tell.lock().unwrap().send(());
    });
    let proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/", &[]);
    upstream.has_seen(1);
    client.send(RST_STREAM, 0, 1, &8u32.to_be_bytes());
    told.recv_timeout(support::PATIENCE)
        .expect("the upstream's connection is closed");
    proxy.logs("access.log", "\"GET / HTTP/2.0\" 499 0 ");
}

/// Rapid reset, a stream at a time: `h2` bounds only how many are reset before it returns them.
#[test]
fn a_client_that_resets_streams_as_it_opens_them_loses_its_connection() {
    let place = Place::new("rapid-reset");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    for number in 0..300 {
        client.ask_and_reset(1 + 2 * number, "/reset");
        if client.until(PING).is_none() {
            break;
        }
    }
    assert!(client.until(PING).is_none(), "it is still open");
    proxy.logs(
        "error.log",
        "client sent too many streams that it reset at once",
    );
    let reached = upstream.seen().len();
    assert!(reached < 10, "{reached} were passed on");
    let output = curl(&["--http2-prior-knowledge", &proxy.url("/a")]);
    assert_eq!(stdout(&output), "GET /a HTTP/1.1\n");
}

#[test]
fn resets_beside_requests_that_are_served_do_not_end_a_connection() {
    let place = Place::new("some-resets");
    let _upstream = Upstream::echo(&place);
    let proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    for pair in 0..150 {
        client.ask_and_reset(1 + 4 * pair, "/reset");
        client.ask(3 + 4 * pair, "/", &[]);
        while client.frame_of(DATA).flags & END_STREAM == 0 {}
    }
}

#[test]
fn a_stream_that_is_reset_as_it_opens_is_logged_by_its_server() {
    let place = Place::new("reset-log");
    let proxy = Proxy::start(
        place,
        "http2 on; access_log off;
         server { listen {plain} default_server; }
         server { listen {plain}; server_name a; access_log {folder}/own.log; return 200 a; }",
    );
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask_and_reset(1, "/reset");
    client.until(PING);
    proxy.logs("own.log", "\"GET /reset HTTP/2.0\" 499 0 ");
}

#[test]
fn garbage_instead_of_frames_ends_the_connection_alone() {
    let place = Place::new("garbage");
    let _upstream = Upstream::echo(&place);
    let proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.wire.send([0xff; 64]);
    assert!(client.rest().iter().any(|frame| frame.kind == GOAWAY));
    let output = curl(&["--http2-prior-knowledge", &proxy.url("/a")]);
    assert_eq!(stdout(&output), "GET /a HTTP/1.1\n");
}

#[test]
fn a_client_that_reads_nothing_of_128_responses_uses_little_memory() {
    let place = Place::new("stalled-streams");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        served.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while std::io::Write::write_all(&mut served.wire.socket, &piece).is_ok() {}
    });
    let proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/", &[]);
    client.frame_of(DATA);
    let before = proxy.peak_memory();
    // The largest windows: only the proxy's own bounds apply.
    let wide = (1_u32 << 31) - 1;
    let mut settings = vec![0, 4];
    settings.extend(wide.to_be_bytes());
    client.send(support::frames::SETTINGS, 0, 0, &settings);
    client.widen(0, wide - 65_535);
    for stream in 1..128 {
        client.ask(2 * stream + 1, "/", &[]);
    }
    std::thread::sleep(std::time::Duration::from_secs(3));
    let more = proxy.peak_memory() - before;
    // How much 128 requests and their response bodies are counted as. Freed memory counts
    // here until the allocator returns it.
    assert!(more < 128 * (86 << 10), "{} KiB were in use", more >> 10);
}

#[test]
fn a_trailer_with_a_line_end_in_it_is_sent_without() {
    let proxy = Proxy::start(
        Place::new("http2-trailer"),
        "server { listen {plain}; http2 on; add_trailer X-T $uri; return 200 x; }",
    );
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/a%0d%0aevil:1", &[]);
    let data = client.frame_of(DATA);
    assert_eq!(data.flags & END_STREAM, 0, "a field is to follow");
    assert_ne!(client.frame_of(HEADERS).flags & END_STREAM, 0);
}

#[test]
fn more_fields_than_http2_can_pass_on_are_refused() {
    let place = Place::new("http2-fields");
    let _upstream = Upstream::start(&place, |mut served| {
        if served.request().is_some() {
            let fields = "a:\n".repeat(30_000);
            served.write(format!("HTTP/1.1 200 OK\n{fields}\n"));
        }
    });
    let buffers = "proxy_buffer_size 128k; proxy_buffers 4 128k;";
    let proxy = Proxy::start(place, &format!("{buffers} {SERVER}"));
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    for stream in [1, 3] {
        client.ask(stream, "/", &[]);
        client.frame_of(HEADERS);
    }
    proxy.logs("error.log", "upstream sent too big header");
    proxy.logs("access.log", "\" 502 ");
}

#[test]
fn not_every_field_that_http2_forbids_has_a_line_in_the_log() {
    let place = Place::new("http2-forbidden");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        let fields = "X-A: a\x01\r\n".repeat(100);
        served.write(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n"
        ));
    });
    let proxy = Proxy::start(
        place,
        &format!("error_log {{folder}}/warn.log warn; {SERVER}"),
    );
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/", &[]);
    client.frame_of(HEADERS);
    proxy.logs("warn.log", "90 more response headers are invalid in HTTP/2");
    assert_eq!(proxy.place.read("warn.log").lines().count(), 11);
}

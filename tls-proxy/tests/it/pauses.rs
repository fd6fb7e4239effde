//! Responses that pause: nothing is sent and no CPU time is used while there is no new
//! data, whatever filters are between upstream and client.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::support::frames::{DATA, END_STREAM, HEADERS, Http2};
use crate::support::place::PLAIN;
use crate::support::{Client, PATIENCE, Place, Proxy, Upstream};

/// Each with `proxy_buffering on` and `off`.
const WAYS: [&str; 5] = ["plain", "gzip", "limited", "trailers", "all"];
const SETTINGS: [&str; 5] = [
    "",
    "gzip on;",
    "limit_rate 100k;",
    "add_trailer X-Sum 1;",
    "gzip on; limit_rate 100k; add_trailer X-Sum 1; charset utf-8;",
];
/// What a sync flush of deflate ends with: an empty block.
const FLUSH: &[u8] = b"\0\0\xff\xff";

/// How many events each response may have by now.
#[derive(Default)]
struct Gate {
    open: Mutex<usize>,
    moved: Condvar,
}

impl Gate {
    fn wait_for(&self, event: usize) {
        let open = self.open.lock().unwrap();
        let waiting = self
            .moved
            .wait_timeout_while(open, PATIENCE, |open| *open < event);
        drop(waiting.unwrap());
    }

    fn open(&self, event: usize) {
        *self.open.lock().unwrap() = event;
        self.moved.notify_all();
    }
}

struct Paused {
    proxy: Proxy,
    gate: Arc<Gate>,
    _upstream: Upstream,
}

/// An upstream that sends a header, and then an event each time the gate opens; the third
/// time it ends the body.
fn paused(name: &str) -> Paused {
    let place = Place::new(name);
    let gate = Arc::new(Gate::default());
    let own = gate.clone();
    let upstream = Upstream::start(&place, move |mut served| {
        served.request();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n";
        served.write(format!("{head}\r\n"));
        for event in 1..=2 {
            own.wait_for(event);
            served.write(format!("8\r\nevent {event}\n\r\n"));
        }
        own.wait_for(3);
        served.write("0\r\n\r\n");
    });
    let mut locations = String::new();
    for (way, settings) in WAYS.iter().zip(SETTINGS) {
        for buffering in ["on", "off"] {
            locations.push_str(&format!(
                "location /{way}-{buffering} {{ proxy_buffering {buffering}; {settings}
                 proxy_pass http://{{upstream}}; }}\n"
            ));
        }
    }
    let http = format!(
        "http2 on; gzip_min_length 0;
         server {{ listen {{plain}}; {locations} }}"
    );
    let proxy = Proxy::start(place, &http);
    Paused {
        proxy,
        gate,
        _upstream: upstream,
    }
}

/// Every location, and whether its events arrive one by one.
fn locations() -> Vec<(String, bool)> {
    let each = |way: &&str| [(format!("/{way}-on"), false), (format!("/{way}-off"), true)];
    WAYS.iter().flat_map(each).collect()
}

fn flushes(body: &[u8]) -> usize {
    body.windows(4).filter(|end| *end == FLUSH).count()
}

/// Whether the body of a location is buffered until there is more of it.
fn is_held(path: &str, one_by_one: bool) -> bool {
    !one_by_one && (path.starts_with("/gzip") || path.starts_with("/all"))
}

/// The size limit of two events and the end, bytes: chunks, gzip's header, two flushes,
/// gzip's trailer, trailers.
const MOST: usize = 120;

/// CPU time of the program while all responses pause.
fn idles(paused: &Paused) {
    // The last of what came is on its way.
    std::thread::sleep(Duration::from_millis(100));
    let before = paused.proxy.processor_time();
    std::thread::sleep(Duration::from_millis(500));
    let spent = paused.proxy.processor_time() - before;
    assert!(spent <= Duration::from_millis(50), "{spent:?} of 0.5 s");
}

#[test]
fn a_pause_over_http1_costs_nothing() {
    let paused = paused("pauses-1");
    let mut clients: Vec<(Client, Vec<u8>)> = Vec::new();
    for (path, _) in locations() {
        let mut client = paused.proxy.connect();
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
        ));
        assert!(client.head().starts_with("HTTP/1.1 200 "), "{path}");
        clients.push((client, Vec::new()));
    }
    for event in 1..=2 {
        paused.gate.open(event);
        for ((path, one_by_one), (client, body)) in locations().iter().zip(&mut clients) {
            if !is_held(path, *one_by_one) {
                body.extend(client.chunk().unwrap());
            }
        }
        idles(&paused);
    }
    paused.gate.open(3);
    for ((path, one_by_one), (mut client, mut body)) in locations().into_iter().zip(clients) {
        let (rest, _) = client.chunks();
        body.extend(rest);
        let flushed = if is_held(&path, one_by_one) { 0 } else { 2 };
        let packed = body.starts_with(b"\x1f\x8b");
        assert!(body.len() < MOST, "{path}: {} bytes", body.len());
        assert_eq!(flushes(&body), if packed { flushed } else { 0 }, "{path}");
        assert!(packed || body == b"event 1\nevent 2\n", "{path}");
    }
}

#[test]
fn a_pause_over_http2_costs_nothing() {
    let paused = paused("pauses-2");
    let mut client = Http2::connect(paused.proxy.place.address(PLAIN));
    let mut streams: Vec<Stream> = Vec::new();
    for (id, (path, one_by_one)) in (1..).step_by(2).zip(locations()) {
        client.ask(id, &path, &[("accept-encoding", "gzip")]);
        client.frame_of(HEADERS);
        let held = is_held(&path, one_by_one);
        streams.push(Stream {
            id,
            path,
            held,
            ..Stream::default()
        });
    }
    for event in 1..=3 {
        paused.gate.open(event);
        let is_behind = |stream: &Stream| match event {
            3 => !stream.ended,
            _ => !stream.held && stream.frames < event,
        };
        while streams.iter().any(is_behind) {
            let frame = client.frame().unwrap();
            let stream = streams.iter_mut().find(|own| own.id == frame.stream);
            let Some(stream) = stream else { continue };
            stream.ended |= frame.flags & END_STREAM != 0;
            if frame.kind == DATA {
                stream.frames += 1;
                stream.body.extend(&frame.payload);
            }
        }
        if event < 3 {
            idles(&paused);
        }
    }
    for stream in streams {
        let Stream {
            path, body, frames, ..
        } = stream;
        let packed = body.starts_with(b"\x1f\x8b");
        let (most, flushed) = if stream.held { (1, 0) } else { (3, 2) };
        assert!(frames <= most, "{path}: {frames} frames");
        assert!(body.len() < MOST, "{path}: {} bytes", body.len());
        assert_eq!(flushes(&body), if packed { flushed } else { 0 }, "{path}");
        assert!(packed || body == b"event 1\nevent 2\n", "{path}");
    }
}

/// What has come of a stream.
#[derive(Default)]
struct Stream {
    id: u32,
    path: String,
    held: bool,
    frames: usize,
    body: Vec<u8>,
    ended: bool,
}

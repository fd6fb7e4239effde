//! The drain of HTTP/2: GOAWAY, streams in flight, and clients that do not close.

use std::sync::mpsc;
use std::time::Duration;

use crate::support::frames::{DATA, END_STREAM, GOAWAY, Http2, RST_STREAM};
use crate::support::place::PLAIN;
use crate::support::{self, Place, Proxy, Upstream};
use rustix::process::Signal;

/// An error code (RFC 9113, section 7).
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

const SERVER: &str = "\
http2 on;
server { listen {plain}; location / { proxy_pass http://{upstream}; }
    location = /own { return 200 own; } }";

/// A proxy that drains, and a client whose first stream waits for its response until what is returned
/// is dropped.
fn draining(name: &str) -> (Proxy, Http2, mpsc::Sender<()>) {
    let place = Place::new(name);
    let (upstream, release) = Upstream::held(&place);
    let proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/slow", &[]);
    upstream.has_seen(1);
    proxy.signal(Signal::TERM);
    (proxy, client, release)
}

#[test]
fn goaway_is_sent_and_the_stream_in_flight_finishes() {
    let (mut proxy, mut client, release) = draining("goaway");
    client.frame_of(GOAWAY);
    drop(release);
    let frames = client.rest();
    let text: Vec<u8> = frames
        .iter()
        .filter(|frame| frame.kind == DATA && frame.stream == 1)
        .flat_map(|frame| frame.payload.clone())
        .collect();
    assert_eq!(text, b"held");
    assert!(
        frames
            .iter()
            .any(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0)
    );
    assert!(!frames.iter().any(|frame| frame.kind == RST_STREAM));
    let last = frames.iter().rfind(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(
        &last.payload[..8],
        [0, 0, 0, 1, 0, 0, 0, 0],
        "last stream 1, no error"
    );
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn an_idle_connection_closes_at_once() {
    let mut proxy = Proxy::start(Place::new("idle"), SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/own", &[]);
    assert_eq!(client.frame_of(DATA).payload, b"own");
    proxy.signal(Signal::QUIT);
    assert!(client.rest().iter().any(|frame| frame.kind == GOAWAY));
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn a_client_that_does_not_reply_does_not_delay_the_drain() {
    let mut proxy = Proxy::start(Place::new("deaf"), SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/own", &[]);
    assert_eq!(client.frame_of(DATA).payload, b"own");
    proxy.signal(Signal::TERM);
    // No acknowledgement of its ping, and the connection stays open on this side.
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn a_client_that_ignores_goaway_is_refused_further_streams() {
    let (mut proxy, mut client, release) = draining("ignores");
    client.until(GOAWAY).expect("the announcement");
    // The ping behind it is not acknowledged. Streams that may have been on their way are served.
    let mut stream = 1;
    support::eventually("a refused stream", || {
        stream += 2;
        client.ask(stream, "/own", &[]);
        let mut frames = std::iter::from_fn(|| client.frame());
        let end = frames.find(|frame| [DATA, RST_STREAM].contains(&frame.kind));
        end.is_some_and(|end| end.kind == RST_STREAM && end.payload == REFUSED_STREAM)
    });
    drop(release);
    let data = client.until(DATA).expect("the response in flight");
    assert_eq!((data.stream, data.payload), (1, b"held".to_vec()));
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn a_client_without_others_is_told_of_a_refused_stream() {
    let place = Place::new("refused");
    // Longer than streams are taken after GOAWAY.
    let _upstream = Upstream::slow(&place, Duration::from_millis(1200));
    let once = SERVER.replace("http2 on;", "http2 on; keepalive_requests 1;");
    let proxy = Proxy::start(place, &once);
    // One that comes too late finds the connection closed.
    support::eventually("a refused stream", || {
        let mut client = Http2::connect(proxy.place.address(PLAIN));
        client.ask(1, "/slow", &[]);
        client.until(DATA).expect("a response");
        client.ask(3, "/own", &[]);
        let end = client.until(RST_STREAM);
        end.is_some_and(|end| end.payload == REFUSED_STREAM)
    });
}

#[test]
fn a_second_signal_cuts_streams() {
    let place = Place::new("forced");
    let upstream = Upstream::slow(&place, support::PATIENCE);
    let mut proxy = Proxy::start(place, SERVER);
    let mut client = Http2::connect(proxy.place.address(PLAIN));
    client.ask(1, "/slow", &[]);
    upstream.has_seen(1);
    proxy.signal(Signal::TERM);
    client.frame_of(GOAWAY);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(1));
}

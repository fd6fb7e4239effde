//! The lame-duck phase: a proxy that is stopping still accepts connections while its pod
//! is removed from the endpoints, and responses close their connections.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::frames::{DATA, GOAWAY, Http2};
use crate::support::place::PLAIN;
use crate::support::{self, Place, Proxy, Upstream, eventually};
use rustix::process::Signal;

/// A proxy that forwards everything, whose lame-duck phase is a fifth of this budget.
fn with_budget(place: Place, budget: &str) -> Proxy {
    let http = "server { listen {plain}; location = /own { return 200 own; }
        location / { proxy_pass http://{upstream}; } }";
    let configuration = support::proxy::around(http);
    Proxy::start_with(place, &configuration, &["--shutdown-budget", budget])
}

fn is_lame(proxy: &Proxy) {
    proxy.logs("error.log", "lame duck");
}

fn refuses_connections(proxy: &Proxy) {
    let address = proxy.place.address(PLAIN);
    eventually("refused connections", || {
        TcpStream::connect(address).is_err()
    });
}

/// The phase is longer than any test.
const LONG: &str = "1h";

#[test]
fn it_accepts_and_closes_connections() {
    let mut proxy = with_budget(Place::new("accepts"), LONG);
    let mut open = proxy.connect();
    assert_eq!(open.fetch("/own").field("Connection"), Some("keep-alive"));
    proxy.signal(Signal::QUIT);
    is_lame(&proxy);
    for mut client in [open, proxy.connect()] {
        // The worker learns of the phase a moment after the log line.
        eventually("Connection: close", || {
            let response = client.fetch("/own");
            assert_eq!(response.status, 200);
            response.field("Connection") == Some("close")
        });
        assert!(client.is_closed());
    }
    proxy.signal(Signal::QUIT);
    proxy.exit_code();
}

#[test]
fn it_lasts_for_a_fifth_of_the_budget() {
    let mut proxy = with_budget(Place::new("lasts"), "10s");
    let begin = Instant::now();
    proxy.signal(Signal::QUIT);
    is_lame(&proxy);
    refuses_connections(&proxy);
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn clients_of_http2_are_told_to_go_and_late_ones_are_served_first() {
    let http = "http2 on; server { listen {plain}; return 200 own; }";
    let place = Place::new("frames");
    let budget = ["--shutdown-budget", LONG];
    let mut proxy = Proxy::start_with(place, &support::proxy::around(http), &budget);
    let address = proxy.place.address(PLAIN);
    let mut open = Http2::connect(address);
    open.ask(1, "/", &[]);
    assert_eq!(open.frame_of(DATA).payload, b"own");
    proxy.signal(Signal::QUIT);
    is_lame(&proxy);
    assert!(open.rest().iter().any(|frame| frame.kind == GOAWAY));
    let mut late = Http2::connect(address);
    late.ask(1, "/", &[]);
    let frames = late.rest();
    for kind in [DATA, GOAWAY] {
        assert!(frames.iter().any(|frame| frame.kind == kind), "{frames:?}");
    }
    proxy.signal(Signal::QUIT);
    proxy.exit_code();
}

#[test]
fn past_the_budget_the_rest_is_cut_and_counted() {
    let place = Place::new("spent");
    let upstream = Upstream::slow(&place, support::PATIENCE);
    let mut proxy = with_budget(place, "1s");
    let mut busy = proxy.connect();
    busy.ask("/slow");
    upstream.has_seen(1);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(1));
    assert!(busy.is_closed());
    assert!(
        proxy
            .place
            .read("error.log")
            .contains("1 connections were cut")
    );
}

#[test]
fn a_signal_while_the_hook_waits_changes_nothing() {
    let place = Place::new("kubelet");
    let upstream = Upstream::slow(&place, Duration::from_secs(2));
    let mut proxy = with_budget(place, LONG);
    let mut busy = proxy.connect();
    busy.ask("/slow");
    upstream.has_seen(1);
    let mut hook = proxy.begin_quit();
    is_lame(&proxy);
    proxy.signal(Signal::TERM);
    proxy.logs("error.log", "signal ignored");
    assert_eq!(busy.response().text(), "slow");
    // The test does not wait for the end of the lame-duck phase.
    hook.kill().unwrap();
    hook.wait().unwrap();
    assert!(proxy.is_running());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(1), "nobody waits any more");
}

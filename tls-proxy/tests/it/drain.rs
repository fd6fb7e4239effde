//! The drain of HTTP/1: what a stop signal means for requests in flight, for
//! idle connections, for new ones, and for the exit code.

use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::{self, Client, PATIENCE, Place, Proxy, Upstream, eventually};
use rustix::process::Signal;

/// An upstream that responds to each request when told to.
fn held(place: &Place) -> (Upstream, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(place, move |mut served| {
        while served.request().is_some() {
            let _ = released.lock().unwrap().recv_timeout(PATIENCE);
            served.respond("200 OK", b"held");
        }
    });
    (upstream, release)
}

fn refuses_connections(proxy: &Proxy) {
    let address = proxy.place.address(support::place::PLAIN);
    eventually("refused connections", || {
        TcpStream::connect(address).is_err()
    });
}

fn a_signal_drains(name: &str, signal: Signal) {
    let place = Place::new(name);
    let (upstream, release) = held(&place);
    let mut proxy = Proxy::passing(place, "location = /own { return 200 own; }");
    let mut idle = proxy.connect();
    assert_eq!(idle.fetch("/own").field("Connection"), Some("keep-alive"));
    let mut busy = proxy.connect();
    busy.ask("/slow");
    upstream.has_seen(1);

    proxy.signal(signal);
    assert!(idle.is_closed(), "an idle connection is closed at once");
    refuses_connections(&proxy);
    assert!(proxy.is_running(), "waits for the request in flight");
    release.send(()).unwrap();
    let response = busy.response();
    assert_eq!((response.status, response.text().as_str()), (200, "held"));
    assert_eq!(response.field("Connection"), Some("close"));
    assert!(busy.is_closed());
    assert_eq!(proxy.exit_code(), Some(0));
    assert!(
        !proxy.place.path("nginx.pid").exists(),
        "the pid file is gone"
    );
    assert!(proxy.place.read("access.log").contains("GET /slow"));
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_closes_what_is_idle() {
    a_signal_drains("sigterm", Signal::TERM);
}

#[test]
fn sigint_finishes_what_is_in_flight_and_closes_what_is_idle() {
    a_signal_drains("sigint", Signal::INT);
}

#[test]
fn sigquit_finishes_what_is_in_flight_and_closes_what_is_idle() {
    a_signal_drains("sigquit", Signal::QUIT);
}

#[test]
fn a_second_signal_forces_and_exits_1() {
    let place = Place::new("second");
    let (upstream, _release) = held(&place);
    let mut proxy = Proxy::passing(place, "");
    let mut busy = proxy.connect();
    busy.ask("/slow");
    upstream.has_seen(1);
    proxy.signal(Signal::TERM);
    // No connection to find out: it may be counted with those that are cut.
    proxy.logs("error.log", "draining");
    assert!(proxy.is_running());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(1));
    assert!(busy.is_closed(), "closed without a response");
    assert!(
        !proxy.place.path("nginx.pid").exists(),
        "the pid file is gone"
    );
    assert!(
        proxy
            .place
            .read("error.log")
            .contains("1 connections were cut")
    );
}

#[test]
fn quit_drains_though_the_configuration_has_gone_wrong() {
    let mut proxy = Proxy::passing(Place::new("quit-broken"), "");
    let text = proxy.place.read("nginx.conf");
    proxy
        .place
        .write("nginx.conf", &format!("{text}\nno_such_directive;\n"));
    let quit = support::proxy::command(&proxy.place, &["-s", "quit", "-c"])
        .arg(proxy.place.path("nginx.conf"))
        .output()
        .unwrap();
    assert!(quit.status.success());
    let told = String::from_utf8_lossy(&quit.stderr).into_owned();
    assert!(told.contains("no_such_directive"), "{told}");
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn quit_on_the_command_line_returns_when_the_drain_has_ended() {
    let place = Place::new("quit");
    let (upstream, release) = held(&place);
    let mut proxy = Proxy::passing(place, "");
    let mut busy = proxy.connect();
    busy.ask("/slow");
    upstream.has_seen(1);
    let mut quit = proxy.begin_quit();
    refuses_connections(&proxy);
    assert_eq!(quit.try_wait().unwrap(), None, "waits for the drain");
    release.send(()).unwrap();
    assert_eq!(busy.response().text(), "held");
    assert!(quit.wait().unwrap().success());
    assert!(
        !proxy.place.path("nginx.pid").exists(),
        "the pid file is gone"
    );
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn the_shutdown_timeout_cuts_and_exits_1() {
    let place = Place::new("timeout");
    let (upstream, _release) = held(&place);
    let http = "server { listen {plain}; location / { proxy_pass http://{upstream}; } }";
    let configuration = format!(
        "worker_shutdown_timeout 1s;\n{}",
        support::proxy::around(http)
    );
    let mut proxy = Proxy::start_whole(place, &configuration);
    let mut busy = proxy.connect();
    busy.ask("/slow");
    upstream.has_seen(1);
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(1));
    assert!(busy.is_closed());
    assert!(
        proxy
            .place
            .read("error.log")
            .contains("worker_shutdown_timeout")
    );
}

#[test]
fn connections_in_the_queue_of_the_kernel_are_served() {
    let place = Place::new("queue");
    let mut proxy = Proxy::passing(place, "location = /own { return 200 own; }");
    // A stopped process accepts nothing: all of these wait in the queue. They are more
    // than Tokio lets a task accept in two polls.
    let mut waiting = proxy.while_stopped(|| {
        let mut waiting: Vec<Client> = (0..300).map(|_| proxy.connect()).collect();
        for client in &mut waiting {
            client.ask("/own");
        }
        proxy.signal(Signal::TERM);
        waiting
    });
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
        // Whether the response says so depends on which thread wakes up first.
        assert!(client.is_closed());
    }
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn a_connection_that_never_asked_does_not_hold_the_drain() {
    let place = Place::new("silent");
    let mut proxy = Proxy::passing(place, "location = /own { return 200 own; }");
    let mut silent = proxy.connect();
    // Accepted in order: when this one is served, the silent one is accepted.
    proxy.connect().fetch("/own");
    proxy.signal(Signal::TERM);
    assert!(silent.is_closed());
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn a_slow_download_is_finished() {
    const SIZE: usize = 8 << 20;
    let place = Place::new("download");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        served.respond("200 OK", &vec![b'x'; SIZE]);
    });
    let mut proxy = Proxy::passing(place, "");
    let mut client = proxy.connect();
    client.ask("/");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    proxy.signal(Signal::TERM);
    refuses_connections(&proxy);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(client.rest().len(), SIZE);
    assert_eq!(proxy.exit_code(), Some(0));
}

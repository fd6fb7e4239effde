//! Connections to upstreams: which are kept alive, what happens if one is closed, and
//! what is never sent twice.

use crate::support::sockets::has_arrived;
use crate::support::{self, Place, Proxy, Upstream, eventually};

/// Three workers before a group of servers.
fn three_workers(place: Place, group: &str) -> Proxy {
    let http = format!(
        "upstream app {{ {group} }} server {{ listen {{plain}}; location / {{ proxy_pass http://app; }} }}"
    );
    let whole = support::proxy::around(&http);
    let whole = whole.replace("worker_processes 1;", "worker_processes 3;");
    Proxy::start_whole(place, &whole)
}

fn pooled(place: Place, more: &str) -> Proxy {
    let http = format!(
        "upstream app {{ server {{upstream}}; keepalive 4; {more} }}
         server {{ listen {{plain}}; proxy_http_version 1.1; proxy_set_header Connection \"\";
             location / {{ proxy_pass http://app; }} }}"
    );
    Proxy::start(place, &http)
}

/// Responds to the first request of each connection; with the second one the connection
/// is closed without a response.
fn dying(place: &Place) -> Upstream {
    Upstream::start(place, |mut served| {
        served.request();
        served.respond("200 OK", b"once");
        // Closed only when it is used again, as after a race.
        served.request();
    })
}

/// An upstream that reports when each of its connections is closed.
fn telling_its_ends(place: &Place) -> (Upstream, std::sync::mpsc::Receiver<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let upstream = Upstream::start(place, move |mut served| {
        while served.request().is_some() {
            served.respond("200 OK", b"");
        }
        let _ = tell.lock().unwrap().send(());
    });
    (upstream, told)
}

#[test]
fn a_connection_is_used_again() {
    let place = Place::new("again");
    let upstream = Upstream::echo(&place);
    let proxy = pooled(place, "");
    let mut client = proxy.connect();
    for number in 0..20 {
        assert_eq!(client.fetch(&format!("/{number}")).status, 200);
    }
    assert_eq!(proxy.connect().fetch("/other").status, 200);
    assert_eq!((upstream.seen().len(), upstream.accepted()), (21, 1));
}

#[test]
fn a_connection_serves_as_many_requests_as_keepalive_requests_says() {
    let place = Place::new("requests");
    let upstream = Upstream::echo(&place);
    let proxy = pooled(place, "keepalive_requests 5;");
    let mut client = proxy.connect();
    for _ in 0..20 {
        assert_eq!(client.fetch("/").status, 200);
    }
    assert_eq!(upstream.accepted(), 4);
}

#[test]
fn a_connection_that_died_idle_is_not_used() {
    let place = Place::new("idle");
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let upstream = Upstream::start(&place, move |mut served| {
        served.request();
        served.respond("200 OK", b"once");
        served.wire.finish_sending();
        has_arrived(&served.wire.socket);
        let _ = tell.lock().unwrap().send(());
    });
    let proxy = pooled(place, "");
    let mut client = proxy.connect();
    for count in 1..=5 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().status, 200);
        assert_eq!(upstream.accepted(), count);
        told.recv_timeout(support::PATIENCE).expect("it has closed");
    }
    assert!(!proxy.place.read("error.log").contains("[error]"));
}

#[test]
fn a_connection_that_died_idle_is_closed_before_anybody_asks_for_it() {
    let place = Place::new("dead");
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let _upstream = Upstream::start(&place, move |mut served| {
        served.request();
        served.respond("200 OK", b"once");
        served.wire.finish_sending();
        // Closed only when the proxy, too, has closed it.
        assert!(served.request().is_none());
        let _ = tell.lock().unwrap().send(());
    });
    let proxy = pooled(place, "keepalive_timeout 1h;");
    assert_eq!(proxy.connect().fetch("/").status, 200);
    told.recv_timeout(support::PATIENCE).expect("it is closed");
}

#[test]
fn a_reload_closes_the_connections_of_the_configuration_before() {
    let place = Place::new("reload");
    let (_upstream, told) = telling_its_ends(&place);
    let proxy = pooled(place, "keepalive_timeout 1h;");
    assert_eq!(proxy.connect().fetch("/").status, 200);
    proxy.signal(rustix::process::Signal::HUP);
    told.recv_timeout(support::PATIENCE).expect("it is closed");
    assert_eq!(proxy.connect().fetch("/").status, 200);
}

#[test]
fn a_get_on_a_connection_that_dies_is_sent_again() {
    let place = Place::new("get");
    let upstream = dying(&place);
    let proxy = pooled(place, "");
    let mut client = proxy.connect();
    for _ in 0..4 {
        assert_eq!(client.fetch("/").text(), "once");
    }
    assert_eq!((upstream.accepted(), upstream.seen().len()), (4, 7));
}

#[test]
fn a_post_is_never_sent_twice() {
    let place = Place::new("post");
    let upstream = dying(&place);
    let proxy = pooled(place, "");
    let mut client = proxy.connect();
    assert_eq!(client.fetch("/").text(), "once");
    client.send("POST /buy HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none");
    assert_eq!(client.response().status, 502);
    let bought = |head: &&String| head.starts_with("POST /buy");
    assert_eq!(upstream.seen().iter().filter(bought).count(), 1);
}

#[test]
fn bytes_beyond_the_announced_length_are_not_the_next_response() {
    const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let place = Place::new("leftover");
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let upstream = Upstream::start(&place, move |mut served| {
        while let Some(request) = served.request() {
            let line = request.head.lines().next().unwrap().to_owned();
            let honest = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}",
                line.len()
            );
            if line.contains("/at-once") {
                served.write(honest + FORGED);
            } else {
                served.write(honest);
            }
            if line.contains("/later") {
                served.write(FORGED);
                has_arrived(&served.wire.socket);
                tell.lock().unwrap().send(()).unwrap();
            }
        }
    });
    let proxy = pooled(place, "");
    let mut client = proxy.connect();
    for count in 1..=10 {
        assert_eq!(client.fetch("/at-once").text(), "GET /at-once HTTP/1.1");
        assert_eq!(client.fetch("/later").text(), "GET /later HTTP/1.1");
        // Bytes that arrive after the next request was sent could not be distinguished from its response.
        told.recv_timeout(support::PATIENCE).expect("it is written");
        assert_eq!(upstream.accepted(), 2 * count);
    }
    assert_eq!(client.fetch("/").text(), "GET / HTTP/1.1");
}

#[test]
fn kept_connections_close_when_the_proxy_ends() {
    let place = Place::new("close");
    let (_upstream, told) = telling_its_ends(&place);
    let mut proxy = pooled(place, "");
    assert_eq!(proxy.connect().fetch("/").status, 200);
    proxy.signal(rustix::process::Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(0));
    told.recv_timeout(support::PATIENCE).unwrap();
    eventually("its end", || !proxy.is_running());
}

#[test]
fn workers_count_the_connections_of_a_server_together() {
    let place = Place::new("together");
    let (upstream, release) = Upstream::held(&place);
    let proxy = three_workers(place, "server {upstream} max_conns=3;");
    let mut clients: Vec<_> = (0..12).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.ask("/");
    }
    upstream.has_seen(3);
    proxy.logs("error.log", "no live upstreams");
    eventually("all others refused", || {
        proxy.place.read("access.log").matches("\" 502 ").count() == 9
    });
    assert_eq!(upstream.seen().len(), 3);
    drop(release);
    let responses = clients.iter_mut().map(|client| client.response().status);
    assert_eq!(responses.filter(|status| *status == 200).count(), 3);
}

#[test]
fn workers_take_turns_and_know_who_fails_together() {
    let place = Place::new("turns");
    let own = Upstream::echo(&place);
    let other = Upstream::at(place.address(9001), |mut served| {
        while served.request().is_some() {
            served.respond("200 OK", b"other");
        }
    });
    let group =
        "server {upstream}; server {ip}:9001; server {ip}:9002 max_fails=1 fail_timeout=1h;";
    let proxy = three_workers(place, group);
    // The kernel chooses each client's worker.
    for _ in 0..30 {
        assert_eq!(proxy.connect().fetch("/").status, 200);
    }
    let log = proxy.place.read("error.log");
    assert_eq!(log.matches("connect() failed (111").count(), 1, "{log}");
    let (one, two) = (own.seen().len(), other.seen().len());
    assert!(one.abs_diff(two) <= 1, "{one} and {two} of 30");
}

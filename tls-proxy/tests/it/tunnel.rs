//! `Upgrade`: after `101` bytes pass both ways, and the drain knows of it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::upstream::Served;
use crate::support::{self, Client, Place, Proxy, Upstream, certificates, eventually};
use rustix::process::Signal;

const UPGRADE: &str = "\
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection upgrade;";
const ASK: &str = "\
GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Switches protocols, greets, and then echoes what it receives in capitals.
fn shouting(place: &Place) -> Upstream {
    Upstream::start(place, |mut served| {
        let request = served.request().unwrap();
        assert_eq!(request.field("Upgrade"), Some("websocket"));
        served.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello\n",
        );
        loop {
            let line = served.wire.take_until(b"\n");
            if line.is_empty() {
                break;
            }
            served.write(line.to_ascii_uppercase());
        }
        served.write("bye\n");
    })
}

fn open(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send(ASK);
    let head = client.head();
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    assert_eq!(support::client::field(&head, "Upgrade"), Some("websocket"));
    assert_eq!(support::client::field(&head, "Connection"), Some("upgrade"));
    assert_eq!(
        support::client::field(&head, "Sec-WebSocket-Accept"),
        Some("x")
    );
    assert_eq!(client.take_until(b"\n"), b"hello\n");
    client
}

#[test]
fn bytes_pass_both_ways_until_one_side_has_ended() {
    let place = Place::new("both");
    let _upstream = shouting(&place);
    let proxy = Proxy::passing(place, UPGRADE);
    let mut client = open(&proxy);
    for text in ["one\n", "two\n"] {
        client.send(text);
        assert_eq!(client.take_until(b"\n"), text.to_uppercase().as_bytes());
    }
    client.finish_sending();
    assert!(client.rest().is_empty(), "as in nginx");
    proxy.logs("access.log", "\"GET /chat HTTP/1.1\" 101 ");
}

#[test]
fn bytes_sent_with_the_request_reach_the_upstream() {
    let place = Place::new("eager");
    let _upstream = shouting(&place);
    let proxy = Proxy::passing(place, UPGRADE);
    let mut client = proxy.connect();
    client.send(format!("{ASK}early\n"));
    client.head();
    assert_eq!(client.take_until(b"\n"), b"hello\n");
    assert_eq!(client.take_until(b"\n"), b"EARLY\n");
}

#[test]
fn an_upgrade_that_was_not_requested_is_a_bad_gateway() {
    let place = Place::new("unasked");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        served.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    });
    let proxy = Proxy::passing(place, UPGRADE);
    assert_eq!(proxy.connect().fetch("/").status, 502);
}

#[test]
fn the_drain_waits_for_a_tunnel() {
    let place = Place::new("waits");
    let _upstream = shouting(&place);
    let mut proxy = Proxy::passing(place, UPGRADE);
    let mut client = open(&proxy);
    proxy.signal(Signal::TERM);
    let address = proxy.place.address(support::place::PLAIN);
    eventually("refused connections", || {
        std::net::TcpStream::connect(address).is_err()
    });
    client.send("still here\n");
    assert_eq!(client.take_until(b"\n"), b"STILL HERE\n");
    assert!(proxy.is_running());
    client.finish_sending();
    assert!(client.rest().is_empty());
    assert_eq!(proxy.exit_code(), Some(0));
}

/// A proxy for an application that takes one connection, and a client with a tunnel to it. The
/// application switches protocols for `/chat` and runs `chat`; others get 200.
fn only_one(name: &str, chat: fn(&mut Served)) -> (Upstream, Proxy, Client) {
    let place = Place::new(name);
    let upstream = Upstream::start(&place, move |mut served| {
        while let Some(request) = served.request() {
            if request.head.starts_with("GET /chat ") {
                served.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
                return chat(&mut served);
            }
            served.respond("200 OK", b"free");
        }
    });
    let http = format!(
        "upstream app {{ zone app 64k; server {{upstream}} max_conns=1; keepalive 0; }}
         server {{ listen {{plain}}; {UPGRADE} proxy_read_timeout 1h;
             location / {{ proxy_pass http://app; }} }}"
    );
    let proxy = Proxy::start(place, &http);
    let mut client = proxy.connect();
    client.send(ASK);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    (upstream, proxy, client)
}

#[test]
fn an_application_that_closes_ends_its_tunnel_whatever_the_client_does() {
    let (_upstream, mut proxy, mut client) = only_one("closes", |served| served.write("bye\n"));
    // And the client does not close.
    assert_eq!(client.rest(), b"bye\n");
    assert_eq!(proxy.connect().fetch("/").text(), "free");
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
    assert!(client.rest().is_empty());
}

#[test]
fn a_client_that_closes_ends_its_tunnel_whatever_the_application_does() {
    static HEARD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    let (_upstream, mut proxy, mut client) = only_one("leaves", |served| {
        let heard = served.wire.rest();
        *HEARD.lock().unwrap() = heard;
        // And the application does not close.
        loop {
            std::thread::park();
        }
    });
    client.send(vec![b'x'; 4 << 20]);
    client.finish_sending();
    assert!(client.rest().is_empty());
    assert_eq!(proxy.connect().fetch("/").text(), "free");
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
    eventually("all that the client sent", || {
        HEARD.lock().unwrap().len() == 4 << 20
    });
}

#[test]
fn what_an_application_sent_before_it_closed_reaches_a_slow_client() {
    const SIZE: usize = 24 << 20;
    let (_upstream, mut proxy, mut client) =
        only_one("whole", |served| served.write(vec![b'x'; SIZE]));
    proxy.signal(Signal::QUIT);
    assert_eq!(client.skip(SIZE), SIZE);
    assert!(client.rest().is_empty());
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn a_client_that_does_not_read_holds_a_tunnel_for_its_send_timeout() {
    let place = Place::new("stuck");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        served.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        served.write(vec![b'x'; 24 << 20]);
    });
    let more = format!("send_timeout 1s; proxy_read_timeout 1h; {UPGRADE}");
    let mut proxy = Proxy::passing(place, &more);
    let mut client = proxy.connect();
    client.send(ASK);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    proxy.logs("access.log", "\"GET /chat HTTP/1.1\" 101 ");
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn force_cuts_a_tunnel() {
    let place = Place::new("cuts");
    let _upstream = shouting(&place);
    let mut proxy = Proxy::passing(place, UPGRADE);
    let mut client = open(&proxy);
    proxy.signal(Signal::QUIT);
    client.send("still here\n");
    assert_eq!(client.take_until(b"\n"), b"STILL HERE\n");
    // The kernel merges two pending signals, so wait for the first.
    proxy.logs("error.log", "draining");
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(1));
    assert!(client.rest().is_empty());
    assert!(
        proxy
            .place
            .read("error.log")
            .contains("1 connections were cut")
    );
}

#[test]
fn the_last_bytes_of_a_burst_reach_a_slow_reader_under_tls() {
    const SIZE: usize = 24 << 20;
    let place = Place::new("burst");
    certificates::ecdsa(&place, "localhost");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        served.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        served.write(vec![b'x'; SIZE]);
        // Then nothing, with the connection open, until the client closes.
        served.wire.rest();
    });
    let http = format!(
        "server {{ listen {{tls}} ssl; ssl_certificate localhost.pem;
         ssl_certificate_key localhost.key; {UPGRADE} location / {{ proxy_pass http://{{upstream}}; }} }}"
    );
    let proxy = Proxy::start(place, &http);
    let address = proxy.place.address(support::place::TLS).to_string();
    let mut tls = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = tls.stdin.take().unwrap();
    let mut stdout = tls.stdout.take().unwrap();
    stdin.write_all(ASK.as_bytes()).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let reader = std::thread::spawn(move || {
        let mut space = vec![0; 1 << 20];
        while counted.load(Ordering::Relaxed) < SIZE {
            let size = std::io::Read::read(&mut stdout, &mut space).unwrap();
            let more = space[..size].iter().filter(|byte| **byte == b'x').count();
            counted.fetch_add(more, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    // However long all of them take, the next one comes.
    while !reader.is_finished() {
        let seen = count.load(Ordering::Relaxed);
        eventually("the next byte", || {
            reader.is_finished() || count.load(Ordering::Relaxed) > seen
        });
    }
    drop(stdin);
    let _ = tls.kill();
    let _ = tls.wait();
}

//! `server … resolve`: the servers of an `upstream` block follow DNS responses, for all
//! workers and over a reload.

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::proxy::around;
use crate::support::{Place, Proxy, Upstream, eventually};

/// The name server's response: a code, and addresses.
type Answer = Arc<Mutex<(u8, Vec<[u8; 4]>)>>;

/// Names that a service has if a name has so many addresses that one response is full.
const MANY: usize = 6;
/// Addresses that fill a response.
const FULL: usize = 240;

/// A name server with the same response for every name, and for every service that it is at
/// the upstream's port.
fn name_server(place: &Place) -> Answer {
    counting_name_server(place).0
}

/// The same, and the number of queries for services.
fn counting_name_server(place: &Place) -> (Answer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let socket = UdpSocket::bind(place.address(5353)).unwrap();
    let answer = Answer::default();
    let own = answer.clone();
    let port = place.upstream().port();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((size, peer)) = socket.recv_from(&mut question) {
            let (code, addresses) = own.lock().unwrap().clone();
            let mut message = question[..size].to_vec();
            let is_full = addresses.len() == FULL;
            let is_about_a_service = message.ends_with(&[0, 33, 0, 1]);
            let addresses = match is_about_a_service {
                true => Vec::new(),
                false => addresses,
            };
            message[2..4].copy_from_slice(&[0x81, 0x80 | code]);
            message[7] = addresses.len() as u8;
            for address in addresses {
                // The name in the question, A, IN, an hour, four bytes.
                message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4]);
                message.extend(address);
            }
            if is_about_a_service {
                asked.fetch_add(1, Ordering::Relaxed);
                let count = if is_full { MANY } else { 1 };
                message[7] = count as u8;
                for _ in 0..count {
                    // SRV, IN, an hour, 14 bytes: priority, the largest weight, port, `a.test`.
                    message.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 14, 16, 0, 14, 0, 1, 255, 255]);
                    message.extend(port.to_be_bytes());
                    message.extend(b"\x01a\x04test\0");
                }
            }
            let _ = socket.send_to(&message, peer);
        }
    });
    (answer, count)
}

fn octets(place: &Place) -> [u8; 4] {
    match place.address(5353).ip() {
        IpAddr::V4(own) => own.octets(),
        IpAddr::V6(_) => panic!("a place has an IPv4 address"),
    }
}

/// Whether as many connections as reach every worker get this status.
fn all_say(proxy: &Proxy, status: u16) -> bool {
    (0..12).all(|_| proxy.connect().fetch("/").status == status)
}

#[test]
fn servers_come_and_go_with_their_name() {
    let place = Place::new("resolve");
    let own = octets(&place);
    let answer = name_server(&place);
    let upstream = Upstream::echo(&place);
    let port = place.upstream().port();
    let http = format!(
        "resolver {{ip}}:5353 ipv6=off valid=1s;\n\
         upstream app {{ zone app 64k; server app.test:{port} resolve max_fails=0; }}\n\
         server {{ listen {{plain}}; location / {{ proxy_pass http://app; }} }}"
    );
    let conf = around(&http).replace("worker_processes 1", "worker_processes 3");
    let proxy = Proxy::start_whole(place, &conf);
    assert_eq!(proxy.connect().fetch("/").status, 502, "nobody is known");

    answer.lock().unwrap().1 = vec![own];
    eventually("every worker knows the server", || all_say(&proxy, 200));
    // Known addresses are kept if the name server fails, and over a reload.
    *answer.lock().unwrap() = (2, Vec::new());
    eventually("the failure is logged", || {
        let log = proxy.place.read("error.log");
        log.contains("app.test could not be resolved (2: Server failure)")
    });
    assert!(all_say(&proxy, 200));
    assert!(proxy.send("reload").status.success());
    eventually("a reload", || {
        proxy
            .place
            .read("error.log")
            .contains("configuration reloaded")
    });
    assert!(all_say(&proxy, 200));
    // The name no longer exists.
    *answer.lock().unwrap() = (3, Vec::new());
    eventually("nobody is known any more", || all_say(&proxy, 502));
    *answer.lock().unwrap() = (0, vec![own]);
    eventually("the server is back", || all_say(&proxy, 200));
    drop(upstream);
}

#[test]
fn a_service_says_its_port() {
    let place = Place::new("service");
    let own = octets(&place);
    let answer = name_server(&place);
    answer.lock().unwrap().1 = vec![own];
    let upstream = Upstream::echo(&place);
    let http = "resolver {ip}:5353 ipv6=off valid=1s;\n\
        upstream app { zone app 64k; server app.test service=http resolve max_fails=0; }\n\
        server { listen {plain}; location / { proxy_pass http://app; } }";
    let proxy = Proxy::start(place, http);
    eventually("the server is known", || all_say(&proxy, 200));
    answer.lock().unwrap().1 = Vec::new();
    eventually("nobody is there any more", || all_say(&proxy, 502));
    drop(upstream);
}

#[test]
fn large_weights_take_little_memory() {
    let place = Place::new("weights");
    let own = octets(&place);
    let answer = name_server(&place);
    answer.lock().unwrap().1 = vec![own];
    let upstream = Upstream::echo(&place);
    let http = "resolver {ip}:5353 ipv6=off;\n\
        upstream app { zone app 64k; hash $uri consistent; server app.test service=http resolve; }\n\
        server { listen {plain}; location / { proxy_pass http://app; } }";
    let proxy = Proxy::start(place, http);
    eventually("the server is known", || all_say(&proxy, 200));
    let peak = proxy.peak_memory();
    assert!(peak < 100 << 20, "{peak} bytes");
    drop(upstream);
}

#[test]
fn very_many_servers_are_logged_once() {
    let place = Place::new("many_servers");
    let own = octets(&place);
    let (answer, asked) = counting_name_server(&place);
    answer.lock().unwrap().1 = vec![own; FULL];
    let upstream = Upstream::echo(&place);
    let http = "resolver {ip}:5353 ipv6=off valid=1s;\n\
        upstream app { zone app 64k; server app.test service=http resolve max_fails=0; }\n\
        server { listen {plain}; location / { proxy_pass http://app; } }";
    let proxy = Proxy::start(place, http);
    let warnings = || {
        let log = proxy.place.read("error.log");
        let all = log.matches("app.test has more than 1024 addresses; the others are not used");
        all.count()
    };
    eventually("they are logged", || warnings() == 1);
    // The third query comes after the response to the second one has been processed.
    let look_up_with = |addresses| {
        answer.lock().unwrap().1 = vec![own; addresses];
        let before = asked.load(Ordering::Relaxed);
        eventually("two more", || asked.load(Ordering::Relaxed) >= before + 3);
    };
    look_up_with(FULL);
    assert_eq!(warnings(), 1);
    look_up_with(1);
    look_up_with(FULL);
    assert_eq!(warnings(), 2, "they have changed");
    drop(upstream);
}

#[test]
fn a_name_server_that_does_not_respond_fails_no_lookup() {
    let place = Place::new("dead_server");
    let own = octets(&place);
    let answer = name_server(&place);
    answer.lock().unwrap().1 = vec![own];
    let upstream = Upstream::echo(&place);
    let port = place.upstream().port();
    let _silent = UdpSocket::bind(place.address(5355)).unwrap();
    // Nobody is at port 5354. nginx asks the next server after 5 seconds.
    let http = format!(
        "resolver_timeout 4s;\n\
         upstream app {{ zone app 64k; resolver {{ip}}:5355 {{ip}}:5353 ipv6=off valid=1s;\n\
             server app.test:{port} resolve max_fails=0; }}\n\
         server {{ listen {{plain}};\n\
             location /refused/ {{ resolver {{ip}}:5354 {{ip}}:5353 ipv6=off valid={};\n\
                 proxy_pass http://$arg_name:{port}; }}\n\
             location /silent/ {{ resolver {{ip}}:5355 {{ip}}:5353 ipv6=off;\n\
                 proxy_pass http://$arg_name:{port}; }}\n\
             location / {{ proxy_pass http://app; }} }}",
        i64::MAX
    );
    let proxy = Proxy::start(place, &http);
    for path in ["refused", "silent"] {
        for name in ["one.test", "two.test"] {
            let response = proxy.connect().fetch(&format!("/{path}/?name={name}"));
            assert_eq!(response.status, 200, "{path}: {name}");
        }
    }
    eventually("the server is known", || all_say(&proxy, 200));
    drop(upstream);
}

//! `proxy_pass http://$host`: names that clients choose, some of them of their own domains.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use crate::support::client::Client;
use crate::support::{Place, Proxy, Upstream};

/// A name server. Names that begin with `s` get no answer; others are at the place.
fn name_server(place: &Place) {
    let address = place.address(5353);
    let IpAddr::V4(own) = address.ip() else {
        panic!("a place has an IPv4 address");
    };
    let short = UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut space = [0; 512];
        while let Ok((size, peer)) = short.recv_from(&mut space) {
            let mut message = space[..size].to_vec();
            let first = message[13];
            message[2..4].copy_from_slice(&[0x81, 0x80]);
            match first {
                b's' => continue,
                _ => {
                    message[7] = 1;
                    // The name in the question, A, IN, a second, four bytes.
                    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                    message.extend(own.octets());
                }
            }
            let _ = short.send_to(&message, peer);
        }
    });
}

fn start(place: Place) -> (Proxy, Upstream) {
    name_server(&place);
    let upstream = Upstream::echo(&place);
    let http = format!(
        "resolver {{ip}}:5353 ipv6=off; resolver_timeout 20s;\n\
         server {{ listen {{plain}}; location / {{ proxy_pass http://$host:{}; }} }}",
        upstream_port(&place)
    );
    (Proxy::start(place, &http), upstream)
}

fn upstream_port(place: &Place) -> u16 {
    place.upstream().port()
}

fn ask(proxy: &Proxy, host: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client
}

#[test]
fn names_without_an_answer_keep_no_others_waiting() {
    let (proxy, _upstream) = start(Place::new("silent_names"));
    assert_eq!(ask(&proxy, "good.test").response().status, 200);
    let _waiting: Vec<_> = (0..150)
        .map(|number| ask(&proxy, &format!("s{number}.test")))
        .collect();
    // It is known for a second.
    std::thread::sleep(Duration::from_millis(1500));
    for host in ["good.test", "new.test"] {
        let began = std::time::Instant::now();
        assert_eq!(ask(&proxy, host).response().status, 200);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{host}: {took:?}");
    }
}

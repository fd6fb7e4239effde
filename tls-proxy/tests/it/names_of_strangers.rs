//! `proxy_pass http://$host`: names that clients choose, some of them of their own domains.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::Duration;

use crate::support::client::Client;
use crate::support::{Place, Proxy, Upstream, eventually};

/// Addresses of a name that begins with `m`.
const MANY: u16 = 4000;

/// A name server. Names that begin with `s` get no answer; those that begin with `m` have very
/// many addresses, where nobody is; others are at the place.
fn name_server(place: &Place) {
    let address = place.address(5353);
    let IpAddr::V4(own) = address.ip() else {
        panic!("a place has an IPv4 address");
    };
    let short = UdpSocket::bind(address).unwrap();
    let long = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut space = [0; 512];
        while let Ok((size, peer)) = short.recv_from(&mut space) {
            let mut message = space[..size].to_vec();
            let first = message[13];
            message[2..4].copy_from_slice(&[0x81, 0x80]);
            match first {
                b's' => continue,
                b'm' => message[2] |= 2,
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
    std::thread::spawn(move || {
        for stream in long.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut size = [0; 2];
                stream.read_exact(&mut size).unwrap();
                let mut message = vec![0; u16::from_be_bytes(size).into()];
                stream.read_exact(&mut message).unwrap();
                message[2..4].copy_from_slice(&[0x81, 0x80]);
                message[6..8].copy_from_slice(&MANY.to_be_bytes());
                for number in 0..MANY {
                    // An hour, and an address of the loopback interface that nobody has.
                    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 127, 255]);
                    message.extend(number.to_be_bytes());
                }
                let mut all = (message.len() as u16).to_be_bytes().to_vec();
                all.extend(message);
                let _ = stream.write_all(&all);
            });
        }
    });
}

fn start(place: Place) -> (Proxy, Upstream) {
    name_server(&place);
    let upstream = Upstream::echo(&place);
    let http = format!(
        "resolver {{ip}}:5353 ipv6=off; resolver_timeout 1h;\n\
         server {{ listen {{plain}}; location / {{ proxy_pass http://$host:{}; }} }}",
        place.upstream().port()
    );
    (Proxy::start(place, &http), upstream)
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
    // The others wait for longer than a test does.
    for host in ["good.test", "new.test"] {
        assert_eq!(ask(&proxy, host).response().status, 200, "{host}");
    }
}

#[test]
fn names_with_very_many_addresses_take_little_memory() {
    let (proxy, _upstream) = start(Place::new("large_names"));
    assert_eq!(ask(&proxy, "good.test").response().status, 200);
    let before = proxy.peak_memory();
    for number in 0..60 {
        let host = format!("m{number}.test");
        assert_eq!(ask(&proxy, &host).response().status, 502, "{host}");
    }
    let took = proxy.peak_memory() - before;
    assert!(took < 4 << 20, "{took} bytes");
    assert_eq!(ask(&proxy, "good.test").response().status, 200);
    eventually("the rest is logged as not used", || {
        let log = proxy.place.read("error.log");
        log.contains("m0.test has more than 128 addresses; the others are not used")
    });
}

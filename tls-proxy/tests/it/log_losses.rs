//! Lines of logs that cannot be written are counted and told of, once, not for each line.

use std::net::UdpSocket;

use crate::support::proxy::around;
use crate::support::{Client, PATIENCE, Place, Proxy, eventually};
use rustix::process::Signal;

/// Starts with an admin port.
fn start(place: Place, conf: &str) -> Proxy {
    let admin = place.address(9113).to_string();
    Proxy::start_with(place, conf, &["--admin", &admin])
}

fn lost(proxy: &Proxy) -> u64 {
    let mut client = Client::connect(proxy.place.address(9113));
    let page = client.fetch("/metrics").text();
    let name = "tls_proxy_log_lines_lost_total ";
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().parse().unwrap()
}

#[test]
fn a_log_that_cannot_be_written_is_named_at_once_and_at_the_end() {
    let conf = around(
        "log_format short '$uri';
         server { listen {plain};
            location /full { access_log /dev/full short; return 204; }
            location /packed { access_log /dev/full short gzip flush=10ms; return 204; }
            location /gone { access_log syslog:server=unix:{folder}/no.sock short; return 204; }
            location /closed { access_log syslog:server={ip}:9 short; return 204; } }",
    );
    let mut proxy = start(Place::new("log-lost"), &conf);
    let mut expected = 0;
    for (path, log, why) in [
        ("/full", "/dev/full", "28: No space left on device"),
        ("/packed", "/dev/full", "28: No space left on device"),
        ("/gone", "/no.sock", "2: No such file or directory"),
    ] {
        for round in 1..=3 {
            assert_eq!(proxy.connect().fetch(path).status, 204);
            expected += 1;
            eventually(&format!("{path} {round}"), || lost(&proxy) == expected);
        }
        proxy.logs("error.log", &format!("{log}\" was lost: {why}"));
    }
    // That nobody listens is known with the next line.
    for _ in 0..2 {
        assert_eq!(proxy.connect().fetch("/closed").status, 204);
    }
    proxy.logs("error.log", ":9\" was lost: 111: Connection refused");
    let said = proxy.place.read("error.log");
    assert_eq!(said.matches(" lost: ").count(), 4, "{said}");
    assert_eq!(said.matches("[error] ").count(), 4, "{said}");
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
    let said = proxy.place.read("error.log");
    let rest = said.matches("2 lines of \"").count();
    assert_eq!(rest, 3, "{said}");
}

#[test]
fn an_error_log_that_cannot_be_written_is_counted() {
    let conf = around("server { listen {plain}; location / { deny all; } }");
    let conf = format!("error_log /dev/full error; {conf}");
    let mut proxy = start(Place::new("log-lost-errors"), &conf);
    // Each line goes to the files in their order, so those of the start have been lost. That a
    // client has left is only of level info.
    proxy.logs("error.log", "listening on ");
    let before = lost(&proxy);
    assert!(before > 0);
    assert_eq!(proxy.connect().fetch("/").status, 403);
    // The line of the request, and the one that tells of it.
    eventually("another line", || lost(&proxy) == before + 2);
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn of_a_line_that_is_longer_than_a_datagram_syslog_gets_the_beginning() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = server.local_addr().unwrap();
    let conf = around(&format!(
        "large_client_header_buffers 4 32k; access_log syslog:server={address};
         server {{ listen {{plain}}; return 204; }}"
    ));
    let proxy = start(Place::new("log-long"), &conf);
    let referer = [&b"Referer: "[..], &[0xff; 17_000], b"\r\n"].concat();
    let request = [
        b"GET /secret HTTP/1.1\r\nHost: a\r\n",
        &referer[..],
        b"\r\n",
    ]
    .concat();
    let mut client = proxy.connect();
    client.send(&request);
    assert_eq!(client.response().status, 204);
    let mut datagram = vec![0; 70_000];
    let size = server.recv(&mut datagram).unwrap();
    let line = String::from_utf8_lossy(&datagram[..size]);
    assert!(line.starts_with("<190>"), "{line}");
    assert!(line.contains(" nginx: 127.0.0.1 - - ["), "{line}");
    assert!(
        line.contains("\"GET /secret HTTP/1.1\" 204 0 \"\\xFF"),
        "{line}"
    );
    assert_eq!((size, lost(&proxy)), (65_507, 0));
}

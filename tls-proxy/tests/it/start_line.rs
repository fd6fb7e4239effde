//! The first log line, and what is logged about certificates when they change.

use std::fs;

use crate::support::certificates::{ecdsa, openssl};
use crate::support::proxy::around;
use crate::support::{Place, Proxy};

const SERVER: &str = "server { listen {tls} ssl; listen {plain};
    ssl_certificate own.pem; ssl_certificate_key own.key; return 200 a; }";

/// `own.pem` and its key, valid for so many days.
fn certify(place: &Place, days: u32) {
    openssl(
        place,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days {days} \
             -keyout next.key -out next.pem -subj /CN=own -addext subjectAltName=IP:127.0.0.1"
        ),
    );
    for end in ["key", "pem"] {
        let next = place.path(&format!("next.{end}"));
        fs::rename(next, place.path(&format!("own.{end}"))).unwrap();
    }
}

/// A proxy that has logged its first line; from then on it watches its files.
fn started(place: Place, configuration: &str, arguments: &[&str]) -> Proxy {
    let proxy = Proxy::start_with(place, configuration, arguments);
    proxy.logs("error.log", "listening on");
    proxy
}

fn lines<'a>(log: &'a str, with: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(with)).collect()
}

#[test]
fn one_line_has_addresses_certificates_and_limits() {
    let place = Place::new("line");
    ecdsa(&place, "own");
    let admin = place.address(9113).to_string();
    let arguments = ["--admin", &admin[..], "--shutdown-budget", "25s"];
    let conf = around(SERVER).replace("worker_processes 1", "worker_processes 2");
    let proxy = started(place, &conf, &arguments);
    let log = proxy.place.read("error.log");
    let found = lines(&log, "listening on");
    assert_eq!(found.len(), 1, "{log}");
    let version = concat!("tls-proxy/", env!("CARGO_PKG_VERSION"), ": listening on ");
    for part in [
        version,
        &proxy.place.fill("{tls} (TLS), {plain}; "),
        &format!("admin on {admin}; "),
        "certificates: own until 20",
        &proxy.place.fill("Z ({folder}/own.pem); "),
        "2 workers, ",
        " connections each; ",
        "shutdown budget 25s",
    ] {
        assert!(found[0].contains(part), "{part} in {}", found[0]);
    }
    assert!(lines(&log, "[warn]").is_empty(), "{log}");
}

#[test]
fn a_certificate_that_is_about_to_end_is_warned_of_until_it_is_renewed() {
    let place = Place::new("about");
    certify(&place, 3);
    let proxy = started(place, &around(SERVER), &[]);
    proxy.logs("error.log", "expires within");
    let log = proxy.place.read("error.log");
    let warned = lines(&log, "[warn]");
    assert_eq!(warned.len(), 1, "{log}");
    let expected = "own.pem\" of 127.0.0.1 expires within 7 days: valid until 20";
    assert!(warned[0].contains(expected), "{}", warned[0]);
    certify(&proxy.place, 90);
    proxy.logs("error.log", "configuration reloaded");
    proxy.logs("error.log", "certificates: 127.0.0.1 until 20");
    let log = proxy.place.read("error.log");
    let after = log
        .split("configuration reloaded")
        .nth(1)
        .unwrap_or_default();
    assert!(lines(after, "[warn]").is_empty(), "{log}");
}

#[test]
fn a_reload_without_new_certificates_does_not_tell_of_them() {
    let place = Place::new("same");
    ecdsa(&place, "own");
    let proxy = started(place, &around(SERVER), &[]);
    proxy
        .place
        .write("nginx.conf", &around(&SERVER.replace("200 a", "200 b")));
    proxy.logs("error.log", "configuration reloaded");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let log = proxy.place.read("error.log");
    assert_eq!(lines(&log, "certificates: own until").len(), 1, "{log}");
}

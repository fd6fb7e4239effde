//! The admin port: probes and metrics.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support::certificates::ecdsa;
use crate::support::client::Response;
use crate::support::frames::{DATA, Http2};
use crate::support::place::TLS;
use crate::support::proxy::{around, output};
use crate::support::{self, Client, PATIENCE, Place, Proxy, Upstream, eventually, stderr};
use rustix::process::Signal;

const ADMIN: u16 = 9113;

fn admin(place: &Place) -> SocketAddr {
    place.address(ADMIN)
}

/// A proxy with an admin port; `more` is passed on the command line.
fn start(place: Place, http: &str, more: &[&str]) -> Proxy {
    let address = admin(&place).to_string();
    let arguments = [&["--admin", &address[..]][..], more].concat();
    Proxy::start_with(place, &around(http), &arguments)
}

fn ask(proxy: &Proxy, path: &str) -> Response {
    Client::connect(admin(&proxy.place)).fetch(path)
}

/// The value of a series; 0 if it does not exist yet.
fn value(proxy: &Proxy, series: &str) -> f64 {
    let page = ask(proxy, "/metrics").text();
    let found = page.lines().find_map(|line| line.strip_prefix(series));
    found.map_or(0.0, |value| value.trim().parse().unwrap())
}

fn becomes(proxy: &Proxy, series: &str, expected: f64) {
    eventually(&format!("{series} {expected}"), || {
        value(proxy, series) == expected
    });
}

const OWN: &str = "server { listen {plain}; return 200 own; }";

#[test]
fn probes_and_metrics_get_responses() {
    let proxy = start(Place::new("admin"), OWN, &[]);
    for path in ["/healthz", "/readiness", "/healthz?verbose"] {
        // A worker that does not run for a second is unhealthy.
        eventually(path, || {
            let response = ask(&proxy, path);
            assert_eq!(response.field("Connection"), Some("close"));
            (response.status, response.text().as_str()) == (200, "ok\n")
        });
    }
    let response = ask(&proxy, "/metrics");
    assert_eq!(
        response.field("Content-Type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(response.text().contains("tls_proxy_build_info{version=\""));
    assert_eq!(ask(&proxy, "/").status, 404);
    assert_eq!(proxy.connect().fetch("/metrics").text(), "own");
}

#[test]
fn other_methods_and_what_is_no_request_are_refused() {
    let proxy = start(Place::new("methods"), OWN, &[]);
    let tell = |text: String| {
        let mut client = Client::connect(admin(&proxy.place));
        client.send(text);
        client.response()
    };
    let response = tell("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".into());
    assert_eq!(
        (response.status, response.field("Allow")),
        (405, Some("GET, HEAD"))
    );
    assert_eq!(tell("\0\x01\r\n\r\n".into()).status, 400);
    assert_eq!(
        tell(format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000))).status,
        414
    );
    let field = "a".repeat(9000);
    let response = tell(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {field}\r\n\r\n"));
    assert_eq!(response.status, 431);
    let mut client = Client::connect(admin(&proxy.place));
    client.send("HEAD /healthz HTTP/1.0\r\n\r\n");
    let text = String::from_utf8(client.rest()).unwrap();
    assert!(text.contains("Content-Length: 3") && text.ends_with("\r\n\r\n"));
}

#[test]
fn who_connects_and_says_nothing_keeps_no_probe_out() {
    let proxy = start(Place::new("silent"), OWN, &[]);
    let mut silent: Vec<_> = (0..40)
        .map(|_| Client::connect(admin(&proxy.place)))
        .collect();
    assert_eq!(ask(&proxy, "/readiness").status, 200);
    // Without the 408 of a time-out.
    assert!(silent[0].is_closed(), "the oldest made room");
    assert_eq!(silent[39].response().status, 408);
}

#[test]
fn a_port_that_is_taken_or_none_is_refused_at_the_start() {
    let place = Place::new("taken");
    let address = admin(&place);
    let _taken = TcpListener::bind(address).unwrap();
    let conf = place.write("nginx.conf", &around(OWN));
    let conf = conf.to_str().unwrap();
    let refused = output(&place, &["-c", conf, "--admin", &address.to_string()]);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains(&format!("bind() to {address}, named by --admin")),
        "{said}"
    );
    let refused = output(&place, &["-c", conf, "--admin", "9113"]);
    assert_eq!(refused.status.code(), Some(64));
}

#[test]
fn requests_are_counted_as_the_log_has_them() {
    let place = Place::new("requests");
    let _upstream = Upstream::echo(&place);
    let http = "server { listen {plain}; http2 on; auth_request_set $a 1;
        location / { auth_request /auth; proxy_pass http://{upstream}; }
        location = /auth { internal; return 204; }
        location = /gone { return 404; } }";
    let proxy = start(place, http, &[]);
    let mut client = proxy.connect();
    for path in ["/a", "/b", "/gone"] {
        client.fetch(path);
    }
    client.send("GET /c HTTP/1.0\r\n\r\n");
    client.response();
    let mut frames = Http2::connect(proxy.place.address(support::place::PLAIN));
    frames.ask(1, "/gone", &[]);
    frames.frame_of(DATA);
    let series = |code, protocol| {
        format!("tls_proxy_requests_total{{code=\"{code}\",protocol=\"{protocol}\"}}")
    };
    becomes(&proxy, &series(200, "HTTP/1.1"), 2.0);
    becomes(&proxy, &series(404, "HTTP/1.1"), 1.0);
    becomes(&proxy, &series(200, "HTTP/1.0"), 1.0);
    becomes(&proxy, &series(404, "HTTP/2.0"), 1.0);
    becomes(&proxy, "tls_proxy_request_duration_seconds_count", 5.0);
    becomes(&proxy, "tls_proxy_upstream_tries_total", 3.0);
    becomes(
        &proxy,
        "tls_proxy_upstream_responses_total{class=\"2xx\"}",
        3.0,
    );
    assert!(value(&proxy, "tls_proxy_sent_bytes_total") > 500.0);
    assert!(value(&proxy, "tls_proxy_received_bytes_total") > 100.0);
    assert_eq!(
        value(
            &proxy,
            "tls_proxy_upstream_errors_total{reason=\"connect\"}"
        ),
        0.0
    );
}

#[test]
fn connections_are_counted_and_those_that_make_room() {
    let configuration = around(OWN).replace("events {}", "events { worker_connections 8; }");
    let place = Place::new("room");
    let address = admin(&place).to_string();
    let proxy = Proxy::start_with(place, &configuration, &["--admin", &address]);
    becomes(&proxy, "tls_proxy_connections_limit", 8.0);
    let mut idle: Vec<_> = (0..4).map(|_| proxy.connect()).collect();
    for client in &mut idle {
        client.fetch("/");
    }
    becomes(&proxy, "tls_proxy_connections_waiting", 4.0);
    let made_room = "tls_proxy_connections_made_room_total";
    becomes(&proxy, made_room, 0.0);
    for _ in 0..8 {
        idle.push(proxy.connect());
        assert_eq!(idle.last_mut().unwrap().fetch("/").text(), "own");
    }
    becomes(&proxy, "tls_proxy_connections_accepted_total", 12.0);
    // The others were closed with their response.
    assert!(value(&proxy, made_room) >= 1.0);
    assert!(value(&proxy, "tls_proxy_connections_active") <= 8.0);
}

#[test]
fn faults_of_upstreams_are_told_apart() {
    let place = Place::new("faults");
    let _upstream = Upstream::start(&place, |mut served| {
        let head = served.head().unwrap_or_default();
        if head.contains("/garbage") {
            served.write("no HTTP\r\n\r\n");
        } else if head.contains("/slow") {
            served.wire.rest();
        }
    });
    let http = "limit_req_zone $uri zone=a:1m rate=1r/m;
        server { listen {plain}; location / { proxy_pass http://{upstream}; }
        location = /slow { proxy_read_timeout 1s; proxy_pass http://{upstream}; }
        location = /limited { limit_req zone=a; stub_status; }
        location = /absent { proxy_pass http://{ip}:9; } }";
    let proxy = start(place, http, &[]);
    for (path, status, reason) in [
        ("/garbage", 502, "malformed"),
        ("/closed", 502, "closed"),
        ("/absent", 502, "connect"),
        ("/slow", 504, "timeout"),
    ] {
        assert_eq!(proxy.connect().fetch(path).status, status);
        let series = format!("tls_proxy_upstream_errors_total{{reason=\"{reason}\"}}");
        becomes(&proxy, &series, 1.0);
    }
    proxy.connect().fetch("/limited");
    proxy.connect().fetch("/limited");
    becomes(
        &proxy,
        "tls_proxy_limited_requests_total{limit=\"limit_req\"}",
        1.0,
    );
}

/// Runs `openssl s_client` against the proxy's TLS port.
fn handshake(proxy: &Proxy, more: &[&str]) {
    let address = proxy.place.address(TLS).to_string();
    let _ = Command::new("openssl")
        .args(["s_client", "-connect", &address])
        .args(more)
        .current_dir(proxy.place.folder())
        .stdin(Stdio::null())
        .output()
        .unwrap();
}

#[test]
fn handshakes_are_counted_with_their_end_and_certificates_with_theirs() {
    let place = Place::new("handshakes");
    ecdsa(&place, "own");
    let http = "server { listen {tls} ssl; ssl_certificate own.pem; ssl_certificate_key own.key;
        ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384; return 200 a; }";
    let proxy = start(place, http, &[]);
    let done = |version, session| {
        format!("tls_proxy_handshakes_total{{version=\"{version}\",session=\"{session}\"}}")
    };
    handshake(&proxy, &["-tls1_3"]);
    becomes(&proxy, &done("TLSv1.3", "full"), 1.0);
    handshake(&proxy, &["-tls1_2", "-sess_out", "session"]);
    handshake(&proxy, &["-tls1_2", "-sess_in", "session"]);
    becomes(&proxy, &done("TLSv1.2", "full"), 1.0);
    becomes(&proxy, &done("TLSv1.2", "resumed"), 1.0);
    let failed = |reason| format!("tls_proxy_handshake_failures_total{{reason=\"{reason}\"}}");
    handshake(
        &proxy,
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
    );
    becomes(&proxy, &failed("no_shared_cipher"), 1.0);
    handshake(&proxy, &["-verify_return_error"]);
    becomes(&proxy, &failed("certificate_rejected"), 1.0);
    let mut plain = Client::connect(proxy.place.address(TLS));
    assert_eq!(plain.fetch("/").status, 400);
    becomes(&proxy, &failed("plain_http"), 1.0);
    let page = ask(&proxy, "/metrics").text();
    let line = page
        .lines()
        .find(|line| line.starts_with("tls_proxy_certificate_not_after_timestamp_seconds{"));
    let line = line.unwrap_or_else(|| panic!("{page}"));
    assert!(line.contains("/own.pem\",name=\"own\",serial=\""), "{line}");
    // Made for 30 days.
    let end: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    let left = end - value(&proxy, "process_start_time_seconds");
    assert!((29.9 * 86_400.0..30.1 * 86_400.0).contains(&left), "{left}");
}

#[test]
fn a_reload_that_fails_shows_and_changes_nothing() {
    let proxy = start(Place::new("generation"), OWN, &[]);
    let generation = |expected| becomes(&proxy, "tls_proxy_config_generation", expected);
    let last = |expected| becomes(&proxy, "tls_proxy_config_last_reload_successful", expected);
    generation(1.0);
    last(1.0);
    proxy
        .place
        .write("nginx.conf", &around("no_such_directive on;"));
    last(0.0);
    generation(1.0);
    becomes(
        &proxy,
        "tls_proxy_config_reloads_total{result=\"failure\"}",
        1.0,
    );
    proxy.place.write(
        "nginx.conf",
        &around(&format!(
            "{OWN} server {{ listen {{plain}}; server_name b; }}"
        )),
    );
    generation(2.0);
    last(1.0);
    becomes(
        &proxy,
        "tls_proxy_config_reloads_total{result=\"success\"}",
        1.0,
    );
}

#[test]
fn it_responds_until_the_end_and_reports_the_phase() {
    let place = Place::new("end");
    let (upstream, release) = Upstream::held(&place);
    let http = "server { listen {plain}; location / { proxy_pass http://{upstream}; } }";
    let mut proxy = start(place, http, &["--shutdown-budget", "30s"]);
    let mut busy = proxy.connect();
    busy.ask("/");
    upstream.has_seen(1);
    let phase = |name: &str| format!("tls_proxy_drain_phase{{phase=\"{name}\"}}");
    assert_eq!(value(&proxy, &phase("serving")), 1.0);
    proxy.signal(Signal::QUIT);
    becomes(&proxy, &phase("lame_duck"), 1.0);
    assert_eq!(value(&proxy, &phase("serving")), 0.0);
    assert_eq!(ask(&proxy, "/readiness").status, 503);
    becomes(&proxy, &phase("draining"), 1.0);
    eventually("health", || ask(&proxy, "/healthz").status == 200);
    assert_eq!(ask(&proxy, "/readiness").status, 503);
    drop(release);
    assert_eq!(busy.response().text(), "held");
    assert_eq!(proxy.exit_code(), Some(0));
    let log = proxy.place.read("error.log");
    assert!(
        log.contains("exiting: drained 1 connections, none was cut"),
        "{log}"
    );
}

#[test]
fn a_worker_that_stands_still_is_named() {
    // Nobody reads its log: it is blocked in a write.
    let place = Place::new("stuck");
    let pipe = place.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let http = "log_format long '$request_uri'; access_log {folder}/pipe long;
        server { listen {plain}; return 200 a; }";
    let proxy = start(place, http, &[]);
    let path = format!("/{}", "a".repeat(4000));
    let mut clients: Vec<_> = (0..40).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.ask(&path);
    }
    let begin = Instant::now();
    loop {
        let response = ask(&proxy, "/healthz");
        if response.status == 503 {
            assert_eq!(response.text(), "worker 0 does not respond\n");
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{response:?}");
    }
    drop(reader);
}

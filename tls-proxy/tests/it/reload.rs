//! HUP, `-s reload` and USR1: a new configuration for new connections, the previous one if
//! it is invalid, and reopened log files.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::support::certificates;
use crate::support::frames::{DATA, Http2};
use crate::support::place::PLAIN;
use crate::support::{self, Client, Place, Proxy, Upstream, eventually};
use rustix::process::Signal;

fn saying(text: &str) -> String {
    support::proxy::around(&format!(
        "server {{ listen {{plain}}; return 200 {text}; }}"
    ))
}

fn becomes(proxy: &Proxy, expected: &str) {
    eventually(expected, || proxy.connect().fetch("/").text() == expected);
}

#[test]
fn hup_and_the_command_line_bring_a_new_configuration() {
    let mut proxy = Proxy::start_whole(Place::new("reload"), &saying("old"));
    becomes(&proxy, "old");
    proxy.place.write("nginx.conf", &saying("new"));
    proxy.signal(Signal::HUP);
    becomes(&proxy, "new");
    proxy.place.write("nginx.conf", &saying("newer"));
    assert!(proxy.send("reload").status.success());
    becomes(&proxy, "newer");
    assert!(proxy.is_running());
}

#[test]
fn an_invalid_configuration_is_rejected_and_the_previous_one_kept() {
    let mut proxy = Proxy::start_whole(Place::new("broken"), &saying("old"));
    proxy.place.write(
        "nginx.conf",
        "events {}\nhttp {\n  server {\n    lisen 1;\n  }\n}\n",
    );
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", "nginx.conf:4: unknown directive \"lisen\"");
    proxy.logs("error.log", "keeping the previous one");
    becomes(&proxy, "old");
    let reload = proxy.send("reload");
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    assert!(proxy.is_running());
    // Once fixed, it is applied.
    proxy.place.write("nginx.conf", &saying("mended"));
    proxy.signal(Signal::HUP);
    becomes(&proxy, "mended");
}

#[test]
fn a_changed_pid_file_replaces_the_previous_one() {
    let mut proxy = Proxy::start_whole(Place::new("pid"), &saying("old"));
    let pid = proxy.place.read("nginx.pid");
    let named = |name: &str, text: &str| saying(text).replace("/nginx.pid", name);
    proxy
        .place
        .write("nginx.conf", &named("/none/nginx.pid", "nowhere"));
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", "none/nginx.pid\" failed (2: No such file");
    proxy.logs("error.log", "keeping the previous configuration");
    becomes(&proxy, "old");
    assert_eq!(proxy.place.read("nginx.pid"), pid);

    proxy.place.write("nginx.conf", &named("/other.pid", "new"));
    proxy.signal(Signal::HUP);
    becomes(&proxy, "new");
    assert_eq!(proxy.place.read("other.pid"), pid);
    assert!(!proxy.place.path("nginx.pid").exists());
    assert!(proxy.send("reopen").status.success());
    assert!(proxy.send("quit").status.success());
    assert_eq!(proxy.exit_code(), Some(0));
    assert!(!proxy.place.path("other.pid").exists());
}

#[test]
fn an_address_is_added_and_another_removed() {
    let two =
        support::proxy::around("server { listen {plain}; listen {ip}:8081; return 200 two; }");
    let proxy = Proxy::start_whole(Place::new("listen"), &saying("one"));
    let added = proxy.place.address(8081);
    assert!(TcpStream::connect(added).is_err());
    proxy.place.write("nginx.conf", &two);
    proxy.signal(Signal::HUP);
    eventually("the added address", || TcpStream::connect(added).is_ok());
    assert_eq!(Client::connect(added).fetch("/").text(), "two");
    becomes(&proxy, "two");
    proxy.place.write("nginx.conf", &saying("one"));
    proxy.signal(Signal::HUP);
    eventually("the removed address", || TcpStream::connect(added).is_err());
    becomes(&proxy, "one");
}

/// Their order changes with each configuration, and so do their numbers.
#[test]
fn a_connection_belongs_to_the_address_that_accepted_it() {
    let ports = [PLAIN, 8081];
    let servers = |round: usize| {
        let [first, second] = [ports[round % 2], ports[(round + 1) % 2]];
        let server = |port| format!("server {{ listen {{ip}}:{port}; return 200 {port}; }}");
        support::proxy::around(&[server(first), server(second)].concat())
    };
    let proxy = Proxy::start_whole(Place::new("numbers"), &servers(0));
    for round in 1..30 {
        proxy.place.write("nginx.conf", &servers(round));
        proxy.signal(Signal::HUP);
        let mut clients: Vec<_> = (0..200)
            .map(|number| {
                let port = ports[number % 2];
                let mut client = Client::connect(proxy.place.address(port));
                client.ask("/");
                (port, client)
            })
            .collect();
        for (port, client) in &mut clients {
            assert_eq!(client.response().text(), port.to_string());
        }
    }
}

/// They wait since the worker has as many connections as it may.
#[test]
fn clients_in_the_queue_of_a_removed_address_are_served() {
    /// The minimum of `worker_connections`.
    const MOST: usize = 8;
    let place = Place::new("queue");
    let (upstream, release) = Upstream::held(&place);
    let configuration = |http: &str| {
        let events = format!("events {{ worker_connections {MOST}; }}");
        support::proxy::around(http).replace("events {}", &events)
    };
    // The number of an address is another one's after the reload.
    let before = [
        "kept {ip}:8082",
        "removed {ip}:8081",
        "socket unix:{folder}/socket",
    ]
    .map(|own| {
        let (name, address) = own.split_once(' ').unwrap();
        format!(
            "server {{ listen {address}; add_header Server-Name {name};
            location / {{ proxy_pass http://{{upstream}}; }} }}"
        )
    });
    let after =
        "server { listen {plain}; return 200 new; } server { listen {ip}:8082; return 200 new; }";
    let proxy = Proxy::start_whole(place, &configuration(&before.concat()));
    let ask = |port| {
        let mut client = Client::connect(proxy.place.address(port));
        client.ask("/");
        client
    };
    let mut kept: Vec<_> = (0..MOST).map(|_| ask(8082)).collect();
    let mut removed: Vec<_> = (0..2 * MOST).map(|_| ask(8081)).collect();
    let sockets: Vec<_> = (0..2 * MOST)
        .map(|_| {
            let mut client = UnixStream::connect(proxy.place.path("socket")).unwrap();
            client.set_read_timeout(Some(support::PATIENCE)).unwrap();
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            client
        })
        .collect();
    upstream.has_seen(MOST);
    proxy.place.write("nginx.conf", &configuration(after));
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", "configuration reloaded");
    drop(release);
    for client in &mut removed {
        let response = client.response();
        assert_eq!(response.field("server-name"), Some("removed"));
        assert_eq!(response.field("connection"), Some("close"));
        assert!(client.is_closed());
    }
    for mut client in sockets {
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert!(
            response.contains("\r\nServer-Name: socket\r\n"),
            "{response}"
        );
    }
    // The socket of this address stays, and so does its queue.
    for client in &mut kept {
        let response = client.response();
        let by = response.field("server-name").unwrap_or(&response.head);
        assert!(by == "kept" || response.text() == "new", "{by}");
    }
}

#[test]
fn an_address_in_use_keeps_the_old_configuration() {
    let place = Place::new("in-use");
    let _taken = std::net::TcpListener::bind(place.address(8081)).unwrap();
    let proxy = Proxy::start_whole(place, &saying("old"));
    let more =
        support::proxy::around("server { listen {plain}; listen {ip}:8081; return 200 new; }");
    proxy.place.write("nginx.conf", &more);
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", "8081 failed (98: Address already in use)");
    becomes(&proxy, "old");
}

#[test]
fn open_connections_stay_and_go_over_to_the_new_configuration() {
    let place = Place::new("flight");
    let (upstream, release) = Upstream::held(&place);
    let passing = "log_format old \"old $uri\"; access_log {folder}/access.log old;
        server { listen {plain}; http2 on; location = /own { return 200 own; }
        location = / { return 200 old; }
        location / { proxy_pass http://{upstream}; } }";
    let proxy = Proxy::start(place, passing);
    let mut idle = proxy.connect();
    idle.fetch("/own");
    let mut http2 = Http2::connect(proxy.place.address(PLAIN));
    http2.ask(1, "/own", &[]);
    assert_eq!(http2.frame_of(DATA).payload, b"own");
    let mut busy = proxy.connect();
    busy.ask("/slow");
    upstream.has_seen(1);
    // The log that was the first file is none of the new one's.
    let new = "log_format new \"new $uri\"; access_log {folder}/another.log new;
        server { listen {plain}; http2 on; return 200 new; }";
    let new = support::proxy::around(new).replace("{folder}/access.log;", "{folder}/third.log;");
    proxy.place.write("nginx.conf", &new);
    proxy.signal(Signal::HUP);
    becomes(&proxy, "new");
    drop(release);
    assert_eq!(busy.response().text(), "held");
    assert_eq!(busy.fetch("/busy").text(), "new");
    assert_eq!(idle.fetch("/idle").text(), "new");
    http2.ask(3, "/http2", &[]);
    assert_eq!(http2.frame_of(DATA).payload, b"new");
    proxy.logs("access.log", "old /slow\n");
    for path in ["/busy", "/idle", "/http2"] {
        proxy.logs("another.log", &format!("new {path}\n"));
    }
}

#[test]
fn a_connection_for_which_the_new_configuration_has_no_place_ends() {
    let place = Place::new("no-place");
    let (upstream, release) = Upstream::held(&place);
    let two = "server { listen {plain}; listen {ip}:8081; location = /own { return 200 own; }
        location / { proxy_pass http://{upstream}; } }";
    let proxy = Proxy::start(place, two);
    let gone = proxy.place.address(8081);
    let mut idle = Client::connect(gone);
    assert_eq!(idle.fetch("/own").text(), "own");
    let mut busy = Client::connect(gone);
    busy.ask("/slow");
    upstream.has_seen(1);
    proxy.place.write("nginx.conf", &saying("one"));
    proxy.signal(Signal::HUP);
    assert!(idle.is_closed());
    drop(release);
    let response = busy.response();
    assert_eq!(response.text(), "held");
    assert_eq!(response.field("connection"), Some("close"));
    assert!(busy.is_closed());
}

#[test]
fn a_file_that_changes_right_after_the_start_is_read() {
    let place = Place::new("soon-after");
    for name in ["a", "b", "c"] {
        certificates::ecdsa(&place, name);
    }
    let http = "server { listen {tls} ssl; ssl_certificate a.pem; ssl_certificate_key a.key;
        ssl_verify_client optional; ssl_client_certificate b.pem; }";
    let proxy = Proxy::start(place, http);
    std::fs::rename(proxy.place.path("c.pem"), proxy.place.path("b.pem")).unwrap();
    proxy.logs("error.log", "configuration reloaded");
}

#[test]
fn usr1_and_reopen_move_to_new_log_files() {
    let proxy = Proxy::start_whole(Place::new("reopen"), &saying("x"));
    let log = proxy.place.path("access.log");
    for (number, by_command) in [(1, false), (2, true)] {
        let moved = format!("moved-{number}");
        proxy.connect().fetch(&format!("/before-{number}"));
        proxy.logs("access.log", &format!("/before-{number} "));
        std::fs::rename(&log, proxy.place.path(&moved)).unwrap();
        std::fs::rename(proxy.place.path("error.log"), proxy.place.path("errors")).unwrap();
        if by_command {
            assert!(proxy.send("reopen").status.success());
        } else {
            proxy.signal(Signal::USR1);
        }
        eventually("a new log file", || log.exists());
        // The worker moves to it a moment after it was made.
        eventually("a line in it", || {
            proxy.connect().fetch(&format!("/soon-{number}"));
            proxy.place.read("access.log").contains("/soon-")
        });
        proxy.connect().fetch(&format!("/after-{number}"));
        proxy.logs("access.log", &format!("/after-{number} "));
        assert!(
            !proxy
                .place
                .read(&moved)
                .contains(&format!("/after-{number} "))
        );
        // Malformed requests are logged to the new error log.
        let mut wrong = proxy.connect();
        wrong.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(wrong.response().status, 400);
        proxy.logs(
            "error.log",
            "client sent HTTP/1.1 request without \"Host\" header",
        );
    }
}

#[test]
fn a_reload_leaves_nothing_behind() {
    let proxy = Proxy::start_whole(Place::new("many"), &saying("0"));
    let open = || {
        let folder = format!("/proc/{}/fd", proxy.pid());
        std::fs::read_dir(folder).unwrap().count()
    };
    becomes(&proxy, "0");
    let before = open();
    for number in 1..=10 {
        proxy
            .place
            .write("nginx.conf", &saying(&number.to_string()));
        proxy.signal(Signal::HUP);
        becomes(&proxy, &number.to_string());
    }
    eventually("as many open files as before", || open() <= before);
}

#[test]
fn what_a_key_has_used_up_outlives_a_reload() {
    let limited = |key: &str, text: &str| {
        support::proxy::around(&format!(
            "limit_req_zone {key} zone=z:1m rate=1r/m;
             server {{ listen {{plain}};
                 location /limited {{ limit_req zone=z; try_files /none /ok; }}
                 location / {{ return 200 {text}; }} }}"
        ))
    };
    let proxy = Proxy::start_whole(Place::new("reload-zone"), &limited("$server_port", "old"));
    let ask = || proxy.connect().fetch("/limited").status;
    assert_eq!((ask(), ask()), (200, 503));
    proxy
        .place
        .write("nginx.conf", &limited("$server_port", "new"));
    proxy.signal(Signal::HUP);
    becomes(&proxy, "new");
    assert_eq!(ask(), 503, "the zone is the same");
    proxy
        .place
        .write("nginx.conf", &limited("$remote_addr", "other"));
    proxy.signal(Signal::HUP);
    proxy.logs(
        "error.log",
        "limit_req \"z\" uses the \"$remote_addr\" key while previously",
    );
    becomes(&proxy, "new");
}

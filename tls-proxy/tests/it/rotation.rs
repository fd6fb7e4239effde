//! Certificates and the configuration are reloaded when their files change; invalid ones
//! are rejected.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::support::certificates::ecdsa;
use crate::support::place::TLS;
use crate::support::proxy::around;
use crate::support::{self, Place, Proxy, eventually, stdout};

/// A server whose certificate and key are in a volume as the kubelet mounts a Secret, with
/// one plain-text port.
const SERVER: &str = "\
server { listen {tls} ssl; listen {plain};
    ssl_certificate volume/cert.pem; ssl_certificate_key volume/key.pem; return 200 served; }";

/// The next generation of the Secret: the pair called `name`, and the swap of
/// the link `..data`.
fn mount(place: &Place, name: &str) {
    let generation = place.path(&format!("volume/..{name}"));
    fs::create_dir_all(&generation).unwrap();
    ecdsa(place, name);
    fs::rename(
        place.path(&format!("{name}.pem")),
        generation.join("cert.pem"),
    )
    .unwrap();
    fs::rename(
        place.path(&format!("{name}.key")),
        generation.join("key.pem"),
    )
    .unwrap();
    swap(place, name);
    for file in ["cert.pem", "key.pem"] {
        let _ = symlink(
            format!("..data/{file}"),
            place.path(&format!("volume/{file}")),
        );
    }
}

fn swap(place: &Place, name: &str) {
    let draft = place.path("volume/..data_tmp");
    symlink(format!("..{name}"), &draft).unwrap();
    fs::rename(draft, place.path("volume/..data")).unwrap();
}

/// The subject of the certificate that is served now.
fn served(proxy: &Proxy) -> String {
    let address = proxy.place.address(TLS).to_string();
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = stdout(&output);
    let subject = text.lines().find_map(|line| line.strip_prefix("subject="));
    subject.unwrap_or_default().trim().to_owned()
}

fn serves(proxy: &Proxy, name: &str) {
    eventually(name, || served(proxy).ends_with(&format!("= {name}")));
}

fn reloads(proxy: &Proxy) -> usize {
    let log = proxy.place.read("error.log");
    log.matches("configuration reloaded").count()
}

#[test]
fn a_renewed_secret_is_served_and_open_connections_stay() {
    let place = Place::new("secret");
    mount(&place, "first");
    let proxy = Proxy::start(place, SERVER);
    serves(&proxy, "first");
    let mut open = proxy.connect();
    assert_eq!(open.fetch("/").text(), "served");
    mount(&proxy.place, "second");
    serves(&proxy, "second");
    let response = open.fetch("/");
    assert_eq!(
        (response.text().as_str(), response.field("Connection")),
        ("served", Some("keep-alive"))
    );
}

#[test]
fn files_that_are_moved_over_the_old_ones_are_served() {
    let place = Place::new("moved");
    ecdsa(&place, "first");
    ecdsa(&place, "second");
    let server = "server { listen {tls} ssl;
        ssl_certificate first.pem; ssl_certificate_key first.key; return 200 served; }";
    let proxy = Proxy::start(place, server);
    serves(&proxy, "first");
    for end in ["key", "pem"] {
        let from = proxy.place.path(&format!("second.{end}"));
        fs::rename(from, proxy.place.path(&format!("first.{end}"))).unwrap();
    }
    serves(&proxy, "second");
}

#[test]
fn a_broken_certificate_changes_nothing_and_the_next_good_one_is_taken() {
    let place = Place::new("broken");
    mount(&place, "first");
    let proxy = Proxy::start(place, SERVER);
    let broken = proxy.place.path("volume/..broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("cert.pem"), "no certificate").unwrap();
    fs::write(broken.join("key.pem"), "no key").unwrap();
    swap(&proxy.place, "broken");
    proxy.logs(
        "error.log",
        "the new configuration was rejected; keeping the previous one",
    );
    assert!(proxy.place.read("error.log").contains("volume/cert.pem"));
    serves(&proxy, "first");
    mount(&proxy.place, "second");
    serves(&proxy, "second");
    proxy.logs("error.log", "configuration reloaded");
    assert_eq!(reloads(&proxy), 1);
}

#[test]
fn a_new_configuration_is_taken_and_a_broken_one_is_not() {
    let saying = |text: &str| {
        around(&format!(
            "server {{ listen {{plain}}; return 200 {text}; }}"
        ))
    };
    let proxy = Proxy::start_whole(Place::new("text"), &saying("old"));
    proxy
        .place
        .write("nginx.conf", &saying("new; no_such_directive"));
    proxy.logs("error.log", "unknown directive \"no_such_directive\"");
    assert_eq!(proxy.connect().fetch("/").text(), "old");
    proxy.place.write("nginx.conf", &saying("new"));
    eventually("the new configuration", || {
        proxy.connect().fetch("/").text() == "new"
    });
}

#[test]
fn a_file_that_a_pattern_includes_is_seen_and_one_beside_it_is_not() {
    let place = Place::new("pattern");
    fs::create_dir(place.path("conf.d")).unwrap();
    place.write(
        "conf.d/a.conf",
        "server { listen {plain}; location / { return 200 a; } }",
    );
    let proxy = Proxy::start(place, "include conf.d/*.conf;");
    let both = proxy.place.address(support::place::PLAIN).to_string();
    proxy.place.write("conf.d/draft", "anything");
    // Written at once, so that it is one change.
    let draft = proxy.place.write(
        "conf.d/draft",
        &format!("server {{ listen {both}; server_name b; }}"),
    );
    fs::rename(draft, proxy.place.path("conf.d/b.conf")).unwrap();
    proxy.logs("error.log", "configuration reloaded");
    proxy.place.write("conf.d/another-draft", "anything");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(reloads(&proxy), 1);
}

#[test]
fn looking_at_the_files_does_not_open_the_logs() {
    let place = Place::new("look");
    fs::create_dir_all(place.path("conf.d/logs")).unwrap();
    place.write(
        "conf.d/a.conf",
        "server { listen {plain}; access_log {folder}/conf.d/a.log; \
         access_log {folder}/conf.d/logs/b.log; return 200 a; }",
    );
    let proxy = Proxy::start(place, "include conf.d/*.conf;");
    // The worker has opened them.
    proxy.connect().fetch("/");
    proxy.logs("conf.d/logs/b.log", "GET / ");
    let log = proxy.place.path("conf.d/a.log");
    // The directory changes, and the configuration does not.
    fs::rename(&log, proxy.place.path("conf.d/a.old")).unwrap();
    fs::rename(
        proxy.place.path("conf.d/logs"),
        proxy.place.path("conf.d/old"),
    )
    .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(!log.exists());
    let text = proxy.place.read("error.log");
    assert!(!text.contains("[error]"), "{text}");
}

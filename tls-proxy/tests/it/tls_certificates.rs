//! Certificates and keys: which are served to whom, and the errors for those that
//! cannot be.

use std::process::{Command, Stdio};

use crate::support::certificates::{ecdsa, openssl, rsa};
use crate::support::{self, Place, Proxy, curl, proxy, stderr, stdout};
use rustix::process::Signal;

fn server(certificate: &str, key: &str) -> String {
    format!(
        "server {{ listen {{tls}} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
         return 200 served; }}"
    )
}

fn serves(proxy: &Proxy) {
    let output = curl(&[&proxy.https("/")]);
    assert_eq!(stdout(&output), "served", "{}", stderr(&output));
}

/// What `openssl s_client` prints about one connection.
fn handshake(proxy: &Proxy, arguments: &str) -> String {
    let address = proxy.place.address(support::place::TLS).to_string();
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address])
        .args(arguments.split_whitespace())
        .current_dir(proxy.place.folder())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    stdout(&output) + &stderr(&output)
}

#[test]
fn every_form_of_key_is_served() {
    let place = Place::new("keys");
    ecdsa(&place, "ec");
    rsa(&place, "rsa");
    openssl(&place, "ec -in ec.key -out sec1.key");
    openssl(&place, "rsa -in rsa.key -traditional -out pkcs1.key");
    assert!(place.read("sec1.key").contains("BEGIN EC PRIVATE KEY"));
    assert!(place.read("pkcs1.key").contains("BEGIN RSA PRIVATE KEY"));
    assert!(place.read("ec.key").contains("BEGIN PRIVATE KEY"));
    drop(place);
    for (certificate, key, form) in [
        ("ec.pem", "ec.key", ""),
        ("ec.pem", "sec1.key", "ec -in ec.key -out sec1.key"),
        ("rsa.pem", "rsa.key", ""),
        (
            "rsa.pem",
            "pkcs1.key",
            "rsa -in rsa.key -traditional -out pkcs1.key",
        ),
    ] {
        let place = Place::new("key");
        ecdsa(&place, "ec");
        rsa(&place, "rsa");
        if !form.is_empty() {
            openssl(&place, form);
        }
        serves(&Proxy::start(place, &server(certificate, key)));
    }
}

#[test]
fn a_certificate_of_version_1_is_served() {
    let place = Place::new("version-1");
    openssl(
        &place,
        "req -new -newkey rsa:2048 -nodes -keyout a.key -out a.csr -subj /CN=a",
    );
    openssl(
        &place,
        "x509 -req -in a.csr -signkey a.key -days 30 -out a.pem",
    );
    let shown = Command::new("openssl")
        .args(["x509", "-in", "a.pem", "-noout", "-text"])
        .current_dir(place.folder())
        .output()
        .unwrap();
    assert!(stdout(&shown).contains("Version: 1 (0x0)"));
    serves(&Proxy::start(place, &server("a.pem", "a.key")));
}

#[test]
fn a_certificate_with_what_openssl_trusts_it_for_is_served() {
    let place = Place::new("trusted");
    ecdsa(&place, "a");
    openssl(
        &place,
        "x509 -in a.pem -addtrust serverAuth -trustout -out b.pem",
    );
    assert!(place.read("b.pem").contains("BEGIN TRUSTED CERTIFICATE"));
    let more = "ssl_verify_client optional; ssl_client_certificate b.pem";
    let http = server(&format!("b.pem; {more}"), "a.key");
    serves(&Proxy::start(place, &http));
}

#[test]
fn a_pipe_is_read_once() {
    let place = Place::new("pipe");
    ecdsa(&place, "a");
    openssl(
        &place,
        "pkcs8 -topk8 -in a.key -out b.key -passout pass:word",
    );
    let names = ["certificate", "passwords"];
    let writers = names.map(|name| {
        let path = place.path(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        let content = match name {
            "passwords" => "word\n".to_owned(),
            _ => place.read("a.pem"),
        };
        std::thread::spawn(move || std::fs::write(path, content).unwrap())
    });
    let own = server("certificate", "b.key; ssl_password_file passwords");
    let other = own.replace("return", "server_name b; return");
    let mut proxy = Proxy::start(place, &format!("{own}{other}"));
    for writer in writers {
        writer.join().unwrap();
    }
    serves(&proxy);
    // Later, when other files would be looked at again, it still receives signals.
    std::thread::sleep(std::time::Duration::from_secs(1));
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn the_form_of_the_walkthrough_is_served() {
    let place = Place::new("ssl-on");
    ecdsa(&place, "a");
    let http = "server { listen {tls}; ssl on; ssl_certificate a.pem; ssl_certificate_key a.key;
        return 200 served; }";
    serves(&Proxy::start(place, http));
}

#[test]
fn the_name_in_the_handshake_picks_the_certificate() {
    let place = Place::new("sni");
    let mut http = String::new();
    for name in ["first.example", "second.example"] {
        ecdsa(&place, name);
        http += &format!(
            "server {{ listen {{tls}} ssl; server_name {name}; return 200 {name};
             ssl_certificate {name}.pem; ssl_certificate_key {name}.key; }}"
        );
    }
    let proxy = Proxy::start(place, &http);
    for (arguments, expected) in [
        ("-servername first.example", "first.example"),
        ("-servername second.example", "second.example"),
        ("-servername SECOND.example", "second.example"),
        ("-servername other.example", "first.example"),
        ("-noservername", "first.example"),
    ] {
        let said = handshake(&proxy, arguments);
        assert!(
            said.contains(&format!("subject=CN = {expected}")),
            "{arguments}: {said}"
        );
    }
}

#[test]
fn of_two_certificates_the_client_gets_the_one_it_can_verify() {
    let place = Place::new("two");
    rsa(&place, "rsa");
    ecdsa(&place, "ec");
    let http = "server { listen {tls} ssl; return 200 served;
        ssl_certificate rsa.pem; ssl_certificate_key rsa.key;
        ssl_certificate ec.pem; ssl_certificate_key ec.key; }";
    let proxy = Proxy::start(place, http);
    for (algorithm, expected) in [("ECDSA+SHA256", "ec"), ("RSA-PSS+SHA256", "rsa")] {
        let said = handshake(&proxy, &format!("-sigalgs {algorithm}"));
        assert!(
            said.contains(&format!("subject=CN = {expected}")),
            "{algorithm}: {said}"
        );
    }
}

/// One message, with the configuration's line and the file.
fn refused(place: &Place, certificate: &str, key: &str, line: usize, words: &[&str]) {
    let configuration = format!(
        "pid {{folder}}/nginx.pid;\nevents {{}}\nhttp {{\nserver {{\nlisten {{tls}} ssl;\n\
         ssl_certificate {certificate};\nssl_certificate_key {key};\n}}\n}}\n"
    );
    let said = proxy::refusal(place, &configuration);
    assert_eq!(said.matches("[emerg]").count(), 1, "one message: {said}");
    let at = format!("nginx.conf:{line}");
    for word in words.iter().chain([&at.as_str()]) {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!place.path("nginx.pid").exists());
}

#[test]
fn what_cannot_be_served_is_one_message_with_its_line() {
    let place = Place::new("wrong");
    ecdsa(&place, "a");
    ecdsa(&place, "b");
    place.write("garbage", "no PEM at all\n");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    place.write("broken.pem", broken);
    place.write("broken.key", &broken.replace("CERTIFICATE", "PRIVATE KEY"));
    refused(
        &place,
        "none.pem",
        "a.key",
        6,
        &["none.pem", "No such file"],
    );
    refused(
        &place,
        "a.pem",
        "none.key",
        7,
        &["none.key", "No such file"],
    );
    refused(&place, "garbage", "a.key", 6, &["garbage"]);
    refused(&place, "a.pem", "garbage", 7, &["garbage"]);
    refused(&place, "broken.pem", "a.key", 6, &["broken.pem"]);
    refused(&place, "a.pem", "broken.key", 7, &["broken.key"]);
    refused(&place, "a.pem", "b.key", 7, &["a.pem", "b.key"]);
    refused(&place, "a.key", "a.key", 6, &["a.key"]);
    refused(&place, "a.pem", "a.pem", 7, &["a.pem"]);
}

#[test]
fn a_server_without_certificate_is_refused() {
    let place = Place::new("without");
    let said = proxy::refusal(
        &place,
        "events {}\nhttp {\nserver {\nlisten {tls} ssl;\n}\n}\n",
    );
    assert!(said.contains("no \"ssl_certificate\" is defined"), "{said}");
    assert!(said.contains("nginx.conf:"), "{said}");
}

#[test]
fn a_connection_with_a_named_certificate_is_counted_once() {
    let place = Place::new("named");
    ecdsa(&place, "localhost");
    let own = server("$file.pem", "$file.key").replace("return 200 served", "stub_status");
    let map = "map $ssl_server_name $file { default localhost; }";
    let proxy = Proxy::start(place, &format!("{map} {own}"));
    let url = proxy.https("/");
    let page = stdout(&curl(&[&url]));
    let counts = page.lines().nth(2).map(str::trim);
    assert_eq!(counts.map(|line| &line[..4]), Some("1 1 "), "{page}");
}

//! Handshakes: versions of TLS, sessions that are resumed, plain HTTP on the
//! port for TLS.

use std::process::{Command, Stdio};

use crate::support::{self, Client, Place, Proxy, certificates, curl, stderr, stdout};

fn start(name: &str, more: &str) -> Proxy {
    let place = Place::new(name);
    certificates::ecdsa(&place, "a");
    let http = format!(
        "log_format reused \"$ssl_protocol $ssl_session_reused $request_uri\";
         access_log {{folder}}/access.log reused;
         server {{ listen {{tls}} ssl; ssl_certificate a.pem; ssl_certificate_key a.key; {more}
         return 200 served; }}"
    );
    Proxy::start(place, &http)
}

/// One request by `openssl s_client`.
fn ask(proxy: &Proxy, path: &str, arguments: &str) -> String {
    let address = proxy.place.address(support::place::TLS).to_string();
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-connect", &address])
        .args(arguments.split_whitespace())
        .current_dir(proxy.place.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    let stdin = child.stdin.as_mut().unwrap();
    // Refused handshakes end before this.
    let _ = std::io::Write::write_all(stdin, request.as_bytes());
    let output = child.wait_with_output().unwrap();
    stdout(&output) + &stderr(&output)
}

#[test]
fn sessions_are_resumed_in_both_versions() {
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let proxy = start("resumed", "");
        let first = ask(&proxy, "/first", &format!("{version} -sess_out session"));
        assert!(
            first.contains("served") && first.contains("New, "),
            "{first}"
        );
        let second = ask(&proxy, "/second", &format!("{version} -sess_in session"));
        assert!(
            second.contains("served") && second.contains("Reused, "),
            "{second}"
        );
        proxy.logs("access.log", &format!("{name} . /first"));
        proxy.logs("access.log", &format!("{name} r /second"));
    }
}

#[test]
fn a_session_cache_is_kept_over_a_reload() {
    let cache = "ssl_session_tickets off; ssl_session_cache shared:kept:1m;";
    let proxy = start("kept", cache);
    let first = ask(&proxy, "/first", "-tls1_2 -sess_out session");
    assert!(first.contains("New, "), "{first}");
    assert!(proxy.send("reload").status.success());
    let second = ask(&proxy, "/second", "-tls1_2 -sess_in session");
    assert!(second.contains("Reused, "), "{second}");
    proxy.logs("access.log", "TLSv1.2 r /second");
}

/// A proxy whose `locations` pass requests on over TLS to another server of its own, which responds
/// whether the session was resumed. Its certificate has some hundred bytes more than `size`.
fn before_itself(name: &str, size: usize, locations: &str) -> Proxy {
    let place = Place::new(name);
    certificates::large(&place, "a", size);
    let http = format!(
        "server {{ listen {{tls}} ssl; ssl_certificate a.pem; ssl_certificate_key a.key;
            return 200 $ssl_session_reused; }}
        server {{ listen {{plain}}; {locations} }}"
    );
    Proxy::start(place, &http)
}

#[test]
fn sessions_with_upstreams_are_resumed_unless_their_certificates_are_large() {
    for (size, resumed) in [(10, "r"), (20_000, ".")] {
        let proxy = before_itself(
            "upstream-sessions",
            size,
            "location /12 { proxy_ssl_protocols TLSv1.2; proxy_pass https://{ip}:8443; }
            location /13 { proxy_ssl_protocols TLSv1.3; proxy_pass https://{ip}:8443; }
            location /own { proxy_ssl_name other; proxy_ssl_session_reuse off;
                proxy_pass https://{ip}:8443; }",
        );
        for (path, later) in [("/12", resumed), ("/13", resumed), ("/own", ".")] {
            let answers = [(); 3].map(|()| proxy.connect().fetch(path).text());
            assert_eq!(answers, [".", later, later], "{path}, {size} bytes");
        }
    }
}

#[test]
fn sessions_with_an_upstream_suffice_for_some_handshakes_at_once() {
    let proxy = before_itself(
        "sessions-at-once",
        10,
        "location / { proxy_pass https://{ip}:8443; }",
    );
    let round = || {
        let mut clients = [(); 8].map(|()| proxy.connect());
        clients.iter_mut().for_each(|client| client.ask("/"));
        clients.map(|mut client| client.response().text())
    };
    round();
    assert_eq!(round(), ["r"; 8]);
}

#[test]
fn a_busy_name_of_an_upstream_leaves_the_others_their_sessions() {
    let proxy = before_itself(
        "sessions-of-names",
        10,
        "location / { proxy_ssl_name $arg_name; proxy_pass https://{ip}:8443; }",
    );
    assert_eq!(proxy.connect().fetch("/?name=quiet.example").text(), ".");
    let mut clients = [(); 20].map(|()| proxy.connect());
    for client in &mut clients {
        client.ask("/?name=busy.example");
    }
    for client in &mut clients {
        client.response();
    }
    assert_eq!(proxy.connect().fetch("/?name=quiet.example").text(), "r");
}

#[test]
fn without_tickets_nothing_is_resumed() {
    let proxy = start("tickets", "ssl_session_tickets off;");
    for version in ["-tls1_2", "-tls1_3"] {
        let said = ask(&proxy, "/first", &format!("{version} -sess_out session"));
        assert!(said.contains("served"), "{said}");
        assert!(
            !proxy.place.path("session").exists(),
            "{version}: nothing to come back with"
        );
    }
}

#[test]
fn aes_128_is_used_if_a_client_offers_it_and_no_directive_decides() {
    let (aes128, aes256) = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384");
    let chacha = "TLS_CHACHA20_POLY1305_SHA256";
    let both = format!("{aes256}:{aes128}");
    let own = "ssl_prefer_server_ciphers on;";
    let named = format!("ssl_conf_command Ciphersuites {aes256}:{aes128};");
    let cases = [
        ("", both.clone(), aes128),
        ("", format!("{aes256}:{chacha}:{aes128}"), aes128),
        ("", format!("{chacha}:{aes256}:{aes128}"), chacha),
        ("", aes256.to_owned(), aes256),
        ("", format!("{aes256}:{chacha}"), aes256),
        (own, both.clone(), aes256),
        (&named, both, aes256),
    ];
    for (more, offered, taken) in cases {
        let proxy = start("suites", more);
        let arguments = format!("-tls1_3 -ciphersuites {offered}");
        let said = ask(&proxy, "/", &arguments);
        let expected = format!("Cipher is {taken}");
        assert!(said.contains(&expected), "{more} {offered}: {said}");
    }
}

#[test]
fn tls_1_1_is_refused_and_told() {
    let proxy = start("old", "");
    let said = ask(&proxy, "/", "-tls1_1 -cipher ALL:@SECLEVEL=0");
    assert!(
        said.contains("SSL alert number") && !said.contains("served"),
        "{said}"
    );
    proxy.logs("error.log", "SSL_do_handshake() failed");
    assert_eq!(stdout(&curl(&[&proxy.https("/")])), "served");
}

#[test]
fn ssl_protocols_says_which_versions_there_are() {
    for (only, other) in [("1.2", "1.3"), ("1.3", "1.2")] {
        let proxy = start("only", &format!("ssl_protocols TLSv{only};"));
        let option = |version: &str| format!("-tls{}", version.replace('.', "_"));
        assert!(ask(&proxy, "/", &option(only)).contains("served"));
        assert!(!ask(&proxy, "/", &option(other)).contains("served"));
    }
}

#[test]
fn plain_http_on_the_port_for_tls_gets_the_page_of_nginx() {
    let proxy = start("plain", "");
    let mut client = Client::connect(proxy.place.address(support::place::TLS));
    client.ask("/");
    let response = client.response();
    assert_eq!(response.status, 400);
    assert!(
        response
            .text()
            .contains("The plain HTTP request was sent to HTTPS port")
    );
    assert!(client.is_closed());
}

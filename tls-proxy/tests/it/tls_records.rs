//! TLS records split, joined, and around key updates.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{self, Place, Proxy, Upstream, certificates, curl, eventually, stderr};

fn start(name: &str) -> (Upstream, Proxy) {
    let place = Place::new(name);
    certificates::ecdsa(&place, "a");
    let upstream = Upstream::start(&place, |mut served| {
        while let Some(got) = served.request() {
            served.respond("200 OK", &got.body);
        }
    });
    let proxy = Proxy::start(
        place,
        "server { listen {tls} ssl; ssl_certificate a.pem; ssl_certificate_key a.key;
         client_max_body_size 0; http2 on;
         location / { proxy_pass http://{upstream}; } }",
    );
    (upstream, proxy)
}

/// Forwards bytes in parts of `sizes` in turn; after a small part the proxy gets time to
/// read it alone.
fn crumble(mut from: TcpStream, mut to: TcpStream, sizes: &'static [usize]) {
    to.set_nodelay(true).unwrap();
    let mut sizes = sizes.iter().cycle();
    let mut piece = vec![0; 1 << 20];
    loop {
        let size = *sizes.next().unwrap();
        match from.read(&mut piece[..size]) {
            Ok(size) if size > 0 && to.write_all(&piece[..size]).is_ok() => {}
            _ => break,
        }
        if size < 100 {
            thread::sleep(Duration::from_micros(300));
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Forwards bytes that arrive within a short time together.
fn gather(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; 1 << 20];
    loop {
        let mut size = match from.read(&mut piece) {
            Ok(size) if size > 0 => size,
            _ => break,
        };
        from.set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        while let Ok(more @ 1..) = from.read(&mut piece[size..]) {
            size += more;
        }
        from.set_read_timeout(None).unwrap();
        if to.write_all(&piece[..size]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Forwards records, but splits the last one of the handshake after `cut` bytes, and
/// sends its rest together with what follows.
fn split(mut from: TcpStream, mut to: TcpStream, cut: usize, handshake: usize) {
    to.set_nodelay(true).unwrap();
    for _ in 0..handshake {
        let Some(record) = read_record(&mut from) else {
            return;
        };
        to.write_all(&record).unwrap();
    }
    let Some(finished) = read_record(&mut from) else {
        return;
    };
    to.write_all(&finished[..cut]).unwrap();
    thread::sleep(Duration::from_millis(200));
    let mut rest = finished[cut..].to_vec();
    rest.extend(read_record(&mut from).unwrap_or_default());
    to.write_all(&rest).unwrap();
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// An address from which all that a client sends is forwarded to `proxy` in parts of
/// `sizes`.
fn relay(proxy: SocketAddr, sizes: &'static [usize]) -> SocketAddr {
    relayed(proxy, move |from, to| crumble(from, to, sizes))
}

/// An address from which all that a client sends is forwarded to `proxy`.
fn relayed(
    proxy: SocketAddr,
    pass: impl Fn(TcpStream, TcpStream) + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(proxy).unwrap());
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let pass = pass.clone();
            thread::spawn(move || pass(client, server));
            thread::spawn(move || crumble(back.0, back.1, &[1 << 20]));
        }
    });
    address
}

#[test]
fn records_may_come_in_any_pieces() {
    let (_upstream, proxy) = start("crumbs");
    let body: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let file = proxy.place.path("body");
    std::fs::write(&file, &body).unwrap();
    let data = format!("@{}", file.display());
    let tls = proxy.place.address(support::place::TLS);
    // A record header has five bytes; 16,406 is a complete record.
    for sizes in [&[1, 2, 3, 4000][..], &[16_406, 1], &[5, 16_401], &[1 << 20]] {
        let url = format!("https://{}/", relay(tls, sizes));
        for version in ["--http1.1", "--http2"] {
            let output = curl(&["-k", version, "--data-binary", &data, &url]);
            assert!(
                output.stdout == body,
                "{sizes:?} {version}: {} bytes came back: {}",
                output.stdout.len(),
                stderr(&output)
            );
        }
    }
}

/// A server that responds without an upstream.
fn start_plain(name: &str, tickets: &str) -> Proxy {
    let place = Place::new(name);
    certificates::ecdsa(&place, "a");
    Proxy::start(
        place,
        &format!(
            "server {{ listen {{tls}} ssl; ssl_certificate a.pem; ssl_certificate_key a.key;
             ssl_session_tickets {tickets}; return 200 served; }}"
        ),
    )
}

/// One request by `openssl s_client` to `address`, with files in the proxy's folder.
fn ask(proxy: &Proxy, address: SocketAddr, version: &str, more: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", version, "-connect"])
        .arg(address.to_string())
        .args(more)
        .current_dir(proxy.place.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let request = b"GET / HTTP/1.0\r\n\r\n";
    child.stdin.as_mut().unwrap().write_all(request).unwrap();
    support::stdout(&child.wait_with_output().unwrap())
}

#[test]
fn a_request_may_come_with_the_end_of_the_handshake() {
    for (version, tickets) in [("-tls1_2", "on"), ("-tls1_3", "on"), ("-tls1_3", "off")] {
        let proxy = start_plain("joined", tickets);
        let address = relayed(proxy.place.address(support::place::TLS), gather);
        // A client that resumes a TLS 1.2 session sends the last record; with TLS 1.3 every client does.
        let sessions: &[&[&str]] = match tickets {
            "on" => &[&["-sess_out", "session"], &["-sess_in", "session"]],
            _ => &[&[]],
        };
        for session in sessions {
            let said = ask(&proxy, address, version, session);
            assert!(said.contains("served"), "{version} {session:?}: {said}");
        }
    }
}

#[test]
fn the_end_of_the_handshake_may_come_in_two_pieces_the_second_with_a_request() {
    // ClientHello and ChangeCipherSpec come before the client's Finished, in both versions.
    for (version, tickets) in [("-tls1_2", "on"), ("-tls1_3", "off")] {
        for cut in [3, 5, 20, 40] {
            let proxy = start_plain("split", tickets);
            let tls = proxy.place.address(support::place::TLS);
            let session: &[&str] = match tickets {
                "on" => {
                    ask(&proxy, tls, version, &["-sess_out", "session"]);
                    &["-sess_in", "session"]
                }
                _ => &[],
            };
            let address = relayed(tls, move |from, to| split(from, to, cut, 2));
            let said = ask(&proxy, address, version, session);
            assert!(said.contains("served"), "{version} {cut}: {said}");
        }
    }
}

#[test]
fn keys_may_change_between_requests() {
    let (_upstream, proxy) = start("keys");
    let address = proxy.place.address(support::place::TLS).to_string();
    let said = std::fs::File::create(proxy.place.path("said")).unwrap();
    let mut child = Command::new("openssl")
        .args(["s_client", "-tls1_3", "-connect", &address])
        .stdin(Stdio::piped())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let says = |what: &str, times: usize| {
        eventually(what, || {
            proxy.place.read("said").matches(what).count() == times
        });
    };
    // K: a KeyUpdate that requests one in return; k: one that does not. Each has to be
    // read alone, so it waits for the effect of the one before.
    for (times, keys) in [(1, "K\n"), (2, "k\n"), (3, "K\n")] {
        let stdin = child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        says("KEYUPDATE", times);
        stdin.write_all(request.as_bytes()).unwrap();
        says("HTTP/1.1 200 OK", times);
    }
    child.stdin.as_mut().unwrap().write_all(b"Q\n").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn nothing_follows_a_fatal_alert() {
    const ALERT: u8 = 21;
    const DATA: u8 = 23;
    let (_upstream, proxy) = start("fatal");
    let tls = proxy.place.address(support::place::TLS);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-tls1_2", "-connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    child.stdin.as_mut().unwrap().write_all(request).unwrap();
    let (mut client, _) = listener.accept().unwrap();
    let mut server = TcpStream::connect(tls).unwrap();
    let (mut to_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        while let Some(mut record) = read_record(&mut client) {
            if record[0] == DATA {
                *record.last_mut().unwrap() ^= 1;
            }
            let _ = to_server.write_all(&record);
        }
    });
    let mut kinds = Vec::new();
    while let Some(record) = read_record(&mut server) {
        kinds.push(record[0]);
        let _ = to_client.write_all(&record);
    }
    let alerts = kinds.iter().filter(|kind| **kind == ALERT).count();
    assert_eq!((alerts, kinds.last()), (1, Some(&ALERT)), "{kinds:?}");
    let _ = child.kill();
    let _ = child.wait();
}

/// One record of TLS with its header.
fn read_record(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut record = vec![0; 5];
    from.read_exact(&mut record).ok()?;
    record.resize(
        5 + usize::from(u16::from_be_bytes([record[3], record[4]])),
        0,
    );
    from.read_exact(&mut record[5..]).ok()?;
    Some(record)
}

#[test]
fn tickets_reach_clients_that_wait_for_them() {
    let (_upstream, proxy) = start("tickets");
    let address = proxy.place.address(support::place::TLS).to_string();
    let ticket = proxy.place.path("ticket");
    let mut child = Command::new("openssl")
        .args(["s_client", "-tls1_3", "-connect", &address, "-sess_out"])
        .arg(&ticket)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Not a byte of a request: there is no response that a ticket could be sent with.
    eventually("a ticket", || ticket.exists());
    child.stdin.as_mut().unwrap().write_all(b"Q\n").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_client_hello_without_end_is_cut() {
    let (_upstream, proxy) = start("hello");
    let mut client = TcpStream::connect(proxy.place.address(support::place::TLS)).unwrap();
    client.set_read_timeout(Some(support::PATIENCE)).unwrap();
    // Handshake records of 4 KiB; the message says it is 65,535 bytes long.
    let mut record = vec![22, 3, 1, 16, 0, 1, 0, 255, 255, 3, 3];
    record.resize(5 + 4096, 7);
    for _ in 0..8 {
        // The connection may have been closed by now.
        let _ = client.write_all(&record);
        record[5] = 7;
    }
    let mut rest = Vec::new();
    let ended = client.read_to_end(&mut rest);
    let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(ended.as_ref().map_or_else(reset, |_| true), "{ended:?}");
    proxy.logs("error.log", "the ClientHello is too long");
}

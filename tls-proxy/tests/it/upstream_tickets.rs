//! What an upstream sends over TLS that is no data: its sessions.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Place, Proxy, certificates};

/// Tickets of this size, which resume nothing.
#[derive(Debug)]
struct Tickets(usize);

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        3600
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(vec![1; self.0])
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// An upstream that sends two tickets after the handshake and then responds to each request with a
/// body of so many bytes.
fn serve(place: &Place, size: usize, body: usize) {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(place.path("a.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(place.path("a.key")).unwrap(),
        )
        .unwrap();
    config.ticketer = Arc::new(Tickets(size));
    let config = Arc::new(config);
    let listener = TcpListener::bind(place.upstream()).unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let stream = StreamOwned::new(session, socket.unwrap());
            thread::spawn(move || respond(stream, body));
        }
    });
}

fn respond(mut stream: StreamOwned<ServerConnection, TcpStream>, body: usize) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n");
    let response = [head.as_bytes(), &b"ok".repeat(body / 2)].concat();
    // Until the proxy closes the connection.
    while let Ok(1..) = stream.read(&mut [0; 4096]) {
        if stream.write_all(&response).is_err() {
            break;
        }
    }
}

fn start(name: &str, size: usize) -> Proxy {
    start_with_body(name, size, 2)
}

fn start_with_body(name: &str, size: usize, body: usize) -> Proxy {
    let place = Place::new(name);
    certificates::ecdsa(&place, "a");
    serve(&place, size, body);
    Proxy::start(
        place,
        "server { listen {plain}; location / { proxy_pass https://{upstream}; } }",
    )
}

#[test]
fn tickets_of_usual_sizes_are_taken() {
    let proxy = start("tickets-usual", 7000);
    assert_eq!(proxy.connect().fetch("/").text(), "ok");
}

#[test]
fn no_more_than_so_much_of_a_ticket_is_held() {
    let proxy = start("tickets-large", 60_000);
    assert_eq!(proxy.connect().fetch("/").status, 502);
    proxy.logs(
        "error.log",
        "the upstream's TLS messages after the handshake are too long",
    );
}

#[test]
fn a_large_response_that_has_come_is_read_at_once() {
    let proxy = start_with_body("tickets-large-body", 7000, 3 << 20);
    for _ in 0..3 {
        assert_eq!(proxy.connect().fetch("/").body.len(), 3 << 20);
    }
}

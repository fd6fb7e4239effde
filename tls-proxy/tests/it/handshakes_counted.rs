//! What is kept of a handshake as long as its connection lasts is counted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use crate::support::counted::{reserved, start};
use crate::support::place::TLS;
use crate::support::{Place, Proxy, certificates, eventually};

const CONNECTIONS: usize = 100;
/// Connections before anything is measured: tables and pages that are used again.
const FIRST: usize = 20;
/// What is held may exceed what is counted by this, bytes: pages that are partly used.
const ROUNDING: u64 = 512 << 10;

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Accepts every server.
#[derive(Debug)]
struct Any(CryptoProvider);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn client(
    provider: CryptoProvider,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let any = Arc::new(Any(provider.clone()));
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(any)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// A connection after its first response.
fn served(proxy: &Proxy, config: &Arc<ClientConfig>) -> Connection {
    let name = ServerName::try_from("a").unwrap();
    let session = ClientConnection::new(config.clone(), name).unwrap();
    let socket = TcpStream::connect(proxy.place.address(TLS)).unwrap();
    let mut connection = StreamOwned::new(session, socket);
    connection
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"served") {
        let mut piece = [0; 4096];
        let size = connection.read(&mut piece).unwrap();
        assert!(size > 0, "{}", String::from_utf8_lossy(&response));
        response.extend(&piece[..size]);
    }
    connection
}

/// Opens connections, and compares what they hold, which is `least` bytes each at least, with
/// what is counted.
fn check(proxy: &Proxy, config: &Arc<ClientConfig>, least: usize) {
    let _first: Vec<_> = (0..FIRST).map(|_| served(proxy, config)).collect();
    let now = || (proxy.anonymous_memory(), reserved(proxy));
    let before = now();
    let _kept: Vec<_> = (0..CONNECTIONS).map(|_| served(proxy, config)).collect();
    // The allocator keeps freed memory for some time.
    eventually("no more is held than is counted", || {
        let (held, counted) = now();
        held < before.0 + (counted - before.1) + ROUNDING
    });
    let counted = reserved(proxy) - before.1;
    assert!(counted >= (CONNECTIONS * least) as u64, "{counted}");
}

fn open(more: &str, location: &str) -> Proxy {
    let place = Place::new("handshakes-counted");
    certificates::ecdsa(&place, "a");
    let http = format!(
        "keepalive_timeout 10m; server {{ listen {{tls}} ssl; ssl_certificate a.pem;
         ssl_certificate_key a.key; {more} location / {{ return 200 \"{location} served\"; }} }}"
    );
    start(place, &http)
}

#[test]
fn what_a_client_offered_is_counted() {
    let proxy = open("", "");
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256; 7800];
    check(&proxy, &client(provider, &TLS13), 2 * 7800);
}

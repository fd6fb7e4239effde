//! What is kept of a handshake as long as its connection lasts is counted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
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
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Arc<ClientConfig> {
    let any = Arc::new(Any(provider.clone()));
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(any);
    let mut config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

fn connect(proxy: &Proxy, config: &Arc<ClientConfig>) -> Connection {
    let name = ServerName::try_from("a").unwrap();
    let session = ClientConnection::new(config.clone(), name).unwrap();
    let socket = TcpStream::connect(proxy.place.address(TLS)).unwrap();
    StreamOwned::new(session, socket)
}

/// A connection after its first response.
fn served(proxy: &Proxy, config: &Arc<ClientConfig>) -> Connection {
    let mut connection = connect(proxy, config);
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
    check(&proxy, &client(provider, &TLS13, None), 2 * 7800);
}

/// A client's certificate of its own making, with so many names of 64 letters.
fn certificate(place: &Place, names: usize) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let name = format!("/OU={}", "x".repeat(64)).repeat(names);
    certificates::openssl(
        place,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -keyout client.key -out client.pem -subj {name}"
        ),
    );
    let read = CertificateDer::from_pem_file(place.path("client.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(place.path("client.key")).unwrap();
    (read, key)
}

#[test]
fn a_clients_certificate_is_counted() {
    let proxy = open("ssl_verify_client optional_no_ca;", "$ssl_client_s_dn");
    let (own, key) = certificate(&proxy.place, 180);
    assert!(own.len() > 25_000, "{}", own.len());
    let provider = aws_lc_rs::default_provider();
    // In TLS 1.3 rustls keeps it, too.
    for (version, times) in [(&TLS12, 1), (&TLS13, 2)] {
        let identity = (vec![own.clone()], key.clone_key());
        let config = client(provider.clone(), version, Some(identity));
        check(&proxy, &config, times * own.len());
    }
}

#[test]
fn the_certificates_of_a_client_are_few() {
    let proxy = open("ssl_verify_client optional_no_ca;", "");
    let (own, key) = certificate(&proxy.place, 1);
    let others = CertificateDer::from(vec![b'x']);
    for count in [99, 100] {
        let chain = [vec![own.clone()], vec![others.clone(); count]].concat();
        let identity = Some((chain, key.clone_key()));
        let config = client(aws_lc_rs::default_provider(), &TLS12, identity);
        let mut connection = connect(&proxy, &config);
        let shaken = connection.conn.complete_io(&mut connection.sock);
        assert_eq!(shaken.is_ok(), count < 100, "{shaken:?}");
    }
}

#[test]
fn the_elements_of_a_clients_certificates_are_few() {
    let proxy = open("ssl_verify_client optional_no_ca;", "");
    let (own, key) = certificate(&proxy.place, 1);
    for count in [3000, 4096] {
        // Each takes much more memory than on the wire.
        let others = CertificateDer::from([0x82, 0x00].repeat(count));
        let identity = Some((vec![own.clone(), others], key.clone_key()));
        let config = client(aws_lc_rs::default_provider(), &TLS12, identity);
        let mut connection = connect(&proxy, &config);
        let shaken = connection.conn.complete_io(&mut connection.sock);
        assert_eq!(shaken.is_ok(), count < 4096, "{shaken:?}");
    }
}

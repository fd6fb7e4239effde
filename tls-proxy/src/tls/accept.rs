//! A TLS handshake: reads the ClientHello, selects the server by SNI, completes the
//! handshake.

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{Accepted, Acceptor, ClientHello, UnbufferedServerConnection};
use rustls::{CipherSuite, HandshakeKind, ServerConfig, SignatureScheme};
use tokio::io::AsyncWriteExt as _;

use super::certificate_choice::Resolver;
use super::client_certificate::{CERTIFICATE, ClientCertificate};
use super::handshake::MAX_HANDSHAKE;
use super::server_config::TlsServer;
use super::stream::TlsStream;
use crate::admission::HANDSHAKE;
use crate::net::prefixed::Prefixed;

/// The longest ClientHello, bytes: browsers send 2 KiB, and it is held twice.
const MAX_HELLO: usize = 16 * 1024;
/// A ClientHello up to this size fits into the memory counted for any handshake, bytes.
const SMALL_HELLO: usize = 4 * 1024;
/// Memory for a longer one, bytes: as received and reassembled, each with spare capacity.
const LARGE_HELLO: u64 = 4 * MAX_HELLO as u64;
/// What is kept of a handshake up to this size is part of what is counted for any connection,
/// bytes.
const SMALL: u64 = 512;
/// A page of the allocator, bytes.
const PAGE: usize = 4096;
/// Memory for a client's few certificates, bytes: as received, and as rustls and variables have
/// them.
const SMALL_CERTIFICATES: u64 = 16 * 1024;
/// Memory for a longer message of a handshake, such as a chain of certificates, bytes: as received
/// and reassembled.
const CERTIFICATES: u64 = 2 * MAX_HANDSHAKE as u64;

/// The result of a handshake.
#[derive(Debug)]
pub(crate) struct TlsInfo {
    /// `$ssl_protocol`.
    pub(crate) protocol: &'static str,
    /// `$ssl_cipher`, by OpenSSL's name.
    pub(crate) cipher: String,
    /// `$ssl_curve`.
    pub(crate) curve: String,
    /// `$ssl_server_name`.
    pub(crate) server_name: Option<String>,
    /// `$ssl_alpn_protocol`.
    pub(crate) alpn: Option<Vec<u8>>,
    /// `$ssl_session_reused`.
    pub(crate) reused: bool,
    /// The client's certificate, if one was requested.
    pub(crate) client: Option<Box<ClientCertificate>>,
    /// `$ssl_sigalg`; none where a session was resumed.
    pub(crate) scheme: Option<SignatureScheme>,
    /// The parameters the client offered.
    pub(crate) offered: Offered,
    /// Memory for all of it, and for what rustls keeps of it, bytes; 0 if it is part of what
    /// is counted for any connection.
    pub(crate) memory: u64,
}

/// What a client offered, for variables: IANA's numbers, not text, since every connection
/// keeps them.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    /// `$ssl_ciphers`.
    pub(crate) ciphers: Box<[u16]>,
    /// `$ssl_curves`.
    pub(crate) curves: Box<[u16]>,
    /// `$ssl_sigalgs`.
    pub(crate) schemes: Box<[u16]>,
}

impl Offered {
    fn of(hello: &ClientHello<'_>) -> Self {
        let curves = hello.named_groups().unwrap_or_default();
        Self {
            ciphers: numbers(hello.cipher_suites()),
            curves: numbers(curves),
            schemes: numbers(hello.signature_schemes()),
        }
    }

    fn memory(&self) -> u64 {
        let lists = [&self.ciphers, &self.curves, &self.schemes];
        lists
            .map(|list| allocated(size_of_val(&**list)))
            .iter()
            .sum()
    }

    /// The cipher suites, as rustls has them.
    fn suites(&self) -> Vec<CipherSuite> {
        self.ciphers
            .iter()
            .copied()
            .map(CipherSuite::from)
            .collect()
    }

    /// The schemes that this version of TLS may use (RFC 8446, section 4.2.3:
    /// PKCS #1 signatures are of TLS 1.2).
    fn usable(&self, tls13: bool) -> Vec<SignatureScheme> {
        let old = |scheme: &SignatureScheme| {
            use SignatureScheme as Own;
            matches!(
                scheme,
                Own::RSA_PKCS1_SHA256 | Own::RSA_PKCS1_SHA384 | Own::RSA_PKCS1_SHA512
            )
        };
        let all = self.schemes.iter().copied().map(SignatureScheme::from);
        all.filter(|scheme| !tls13 || !old(scheme)).collect()
    }
}

/// The memory that the allocator takes for so many bytes, at most: it has four sizes between
/// two powers of two, and a page more for what is large.
fn allocated(bytes: usize) -> u64 {
    let step = (bytes.next_power_of_two() / 8).max(16);
    let page = if bytes > PAGE { PAGE } else { 0 };
    (bytes.next_multiple_of(step) + page) as u64
}

fn numbers<T: Copy + Into<u16>>(named: &[T]) -> Box<[u16]> {
    named.iter().map(|own| (*own).into()).collect()
}

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The client or the network caused it.
    #[error("SSL_do_handshake() failed ({0})")]
    Handshake(#[from] io::Error),
    /// `ssl_reject_handshake`, or a server without a certificate.
    #[error("handshake rejected")]
    Rejected,
}

/// The server selected for a ClientHello.
pub(crate) struct SelectedServer {
    pub(crate) server: Arc<TlsServer>,
    /// HTTP/2 is offered.
    pub(crate) http2: bool,
    /// The certificates if some of their names contain variables.
    pub(crate) certificates: Option<Arc<Resolver>>,
}

/// Waits for the ClientHello, calls `choose` with its server name, and completes the
/// handshake with the certificate of that server. Memory is first reserved by `reserve`,
/// bytes.
pub(crate) async fn accept(
    mut stream: Prefixed,
    choose: impl FnOnce(Option<&str>) -> Option<SelectedServer>,
    reserve: impl AsyncFn(u64),
) -> Result<(TlsStream, TlsInfo), Error> {
    let accepted = read_hello(&mut stream, &reserve).await?;
    reserve(HANDSHAKE).await;
    let hello = accepted.client_hello();
    let server_name = hello.server_name().map(str::to_ascii_lowercase);
    let chosen = choose(server_name.as_deref()).filter(|chosen| !chosen.server.rejects);
    let Some(SelectedServer {
        server,
        http2,
        certificates,
    }) = chosen
    else {
        // A fatal alert: unrecognized_name (RFC 6066, section 3).
        let mut io = stream.socket;
        io.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70])
            .await?;
        io.shutdown().await?;
        return Err(Error::Rejected);
    };
    let config = server.offers.config(hello.cipher_suites(), http2);
    let config = match &certificates {
        Some(certificates) => {
            let mut own = ServerConfig::clone(&config);
            own.cert_resolver = certificates.clone();
            Arc::new(own)
        }
        None => config,
    };
    let certificates = certificates.unwrap_or_else(|| server.own_certificates());
    let offered = Offered::of(&hello);
    let server_name = server_name.map(|name| sni_as_sent(&stream.seen, &name).unwrap_or(name));
    drop(accepted);
    if server.asks_for_certificate() {
        reserve(SMALL_CERTIFICATES).await;
    }
    // The session parses the ClientHello again: rustls' unbuffered interface cannot
    // continue from an `Accepted`.
    let Prefixed { seen, socket } = stream;
    let inspect = |session: &UnbufferedServerConnection| {
        TlsInfo::of(session, &server, &certificates, server_name, offered)
    };
    let large = reserve(CERTIFICATES);
    Ok(TlsStream::accept(socket, config, seen, large, inspect).await?)
}

/// Reads a ClientHello; all bytes stay in the stream.
async fn read_hello(stream: &mut Prefixed, reserve: &impl AsyncFn(u64)) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    let mut parsed = 0;
    let mut small = true;
    loop {
        while parsed < stream.seen.len() {
            let mut rest = &stream.seen[parsed..];
            parsed += acceptor.read_tls(&mut rest)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    // Written to memory, then sent without waiting for the client.
                    let _ = alert.write_all(&mut bytes);
                    let _ = stream.socket.try_write(&bytes);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
        if stream.seen.len() > MAX_HELLO {
            let reason = "the ClientHello is too long";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if small && stream.seen.len() > SMALL_HELLO {
            small = false;
            reserve(LARGE_HELLO).await;
        }
        if stream.peek().await? == 0 {
            let reason = "tls handshake eof";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
        }
    }
}

/// The server name in the client's spelling (`$ssl_server_name`): rustls returns it in
/// lower case.
fn sni_as_sent(hello: &[u8], name: &str) -> Option<String> {
    let length = u16::try_from(name.len()).ok()?.to_be_bytes();
    hello.windows(name.len() + 2).find_map(|window| {
        let found = window.strip_prefix(&length)?;
        let same = found.eq_ignore_ascii_case(name.as_bytes());
        same.then(|| String::from_utf8_lossy(found).into_owned())
    })
}

impl TlsInfo {
    /// What is known when the certificate is selected: the server name only.
    pub(crate) fn in_handshake(server_name: Option<&str>) -> Self {
        Self {
            protocol: "",
            cipher: String::new(),
            curve: String::new(),
            server_name: server_name.map(str::to_owned),
            alpn: None,
            reused: false,
            client: None,
            scheme: None,
            offered: Offered::default(),
            memory: 0,
        }
    }

    pub(crate) fn is_tls13(&self) -> bool {
        self.protocol == "TLSv1.3"
    }

    fn of(
        session: &UnbufferedServerConnection,
        server: &TlsServer,
        certificates: &Resolver,
        server_name: Option<String>,
        offered: Offered,
    ) -> Self {
        let shown = session.peer_certificates();
        let client = shown.and_then(|shown| server.examine(shown)).map(Box::new);
        let reused = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let tls13 = session.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_2);
        let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
        let group = session
            .negotiated_key_exchange_group()
            .map(|group| group.name());
        Self {
            protocol: if tls13 { "TLSv1.3" } else { "TLSv1.2" },
            cipher: suite
                .and_then(|suite| suite.as_str())
                .map(openssl_name)
                .unwrap_or_default(),
            curve: group
                .and_then(|group| group.as_str())
                .map(curve_name)
                .unwrap_or_default(),
            server_name,
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            reused,
            memory: memory(&offered, shown.unwrap_or_default(), tls13),
            client,
            scheme: if reused {
                None
            } else {
                certificates.scheme(&offered.usable(tls13), &offered.suites(), tls13)
            },
            offered,
        }
    }
}

/// The memory that stays as long as the connection, bytes.
fn memory(offered: &Offered, shown: &[CertificateDer<'_>], tls13: bool) -> u64 {
    let size = |one: &CertificateDer<'_>| allocated(one.len()) + size_of_val(one) as u64;
    let own = shown.first().map_or(0, |own| CERTIFICATE + size(own));
    // In TLS 1.3 rustls' session stays, for its keys, and with it all that was shown.
    let all: u64 = shown.iter().filter(|_| tls13).map(size).sum();
    let sum = offered.memory() + own + all;
    if sum > SMALL { sum } else { 0 }
}

/// OpenSSL's name of a cipher suite; for TLS 1.3 it is that of the RFC.
pub(crate) fn openssl_name(name: &str) -> String {
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name
            .trim_start_matches("TLS_")
            .trim_start_matches("RSA_WITH_")
            .replace("_WITH", "")
            .replace("AES_", "AES")
            .replace("_CBC", "")
            .replace("CAMELLIA_", "CAMELLIA")
            .replace("CCM_8", "CCM8")
            .replace("_POLY1305_SHA256", "_POLY1305")
            .replace('_', "-"),
    }
}

/// OpenSSL's name of a group.
pub(crate) fn curve_name(name: &str) -> String {
    match name {
        "secp256r1" => "prime256v1".to_owned(),
        finite if finite.starts_with("FFDHE") => finite.to_ascii_lowercase(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_dashboards_know() {
        assert_eq!(
            openssl_name("TLS13_AES_128_GCM_SHA256"),
            "TLS_AES_128_GCM_SHA256"
        );
        assert_eq!(
            openssl_name("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            "ECDHE-RSA-AES128-GCM-SHA256"
        );
        assert_eq!(
            openssl_name("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        );
    }
}

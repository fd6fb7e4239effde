//! One TLS 1.3 client, the same for every contestant: one group, X25519 unless another
//! is named, and AES-256-GCM, so that all do the same work. It does not verify the
//! certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use memchr::memmem;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest response that is parsed, in bytes.
const MOST: usize = 8192;

/// The TLS configuration of every client.
pub(super) fn config(resumption: Resumption) -> Result<Arc<ClientConfig>> {
    Ok(Arc::new(offer(aws_lc_rs::kx_group::X25519, resumption)?))
}

/// The same with another group for the key exchange, which is the only one offered.
pub(super) fn offer(
    group: &'static dyn SupportedKxGroup,
    resumption: Resumption,
) -> Result<ClientConfig> {
    let provider = CryptoProvider {
        kx_groups: vec![group],
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.resumption = resumption;
    Ok(config)
}

/// The server name of every client.
pub(super) fn name() -> Result<ServerName<'static>> {
    Ok(ServerName::try_from("localhost")?)
}

/// A connection after its handshake.
pub(super) async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let connector = TlsConnector::from(config.clone());
    Ok(connector.connect(name()?, socket).await?)
}

/// Sends close_notify and waits for the server's, which has then done all its work.
pub(super) async fn close(mut stream: TlsStream<TcpStream>) {
    // Servers may close without it: the handshake is complete.
    let _ = stream.shutdown().await;
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}

/// The bytes of a `GET`.
pub(super) fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// Sends a request and reads the response, which has to be 200 and `ok`.
pub(super) async fn ask(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> Result<()> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut answer = [0; MOST];
    let mut size = 0;
    loop {
        let read = stream.read(&mut answer[size..]).await?;
        size += read;
        if read == 0 {
            bail!(
                "closed after {:?}",
                String::from_utf8_lossy(&answer[..size])
            );
        }
        if is_whole(&answer[..size])? {
            return Ok(());
        }
    }
}

/// Whether a correct response is complete.
pub(super) fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(end) = memmem::find(answer, b"\r\n\r\n") else {
        return Ok(false);
    };
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        let line = answer.split(|byte| *byte == b'\r').next();
        bail!(
            "answered {}",
            String::from_utf8_lossy(line.context("nothing")?)
        );
    }
    match &answer[end + 4..] {
        b"ok" => Ok(true),
        b"" | b"o" => Ok(false),
        other => bail!("the body is {:?}", String::from_utf8_lossy(other)),
    }
}

/// Accepts any certificate: the client's work is not measured.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
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
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PSS_SHA256,
        ]
    }
}

//! What rustls is told for each server, made from `ssl_*` directives.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite};

use super::keys;
use crate::conf::{Position, Problem};
use crate::modules::ssl::Settings;

/// TLS of one server.
#[derive(Debug)]
pub(crate) struct TlsServer {
    /// Offers HTTP/1.1 by ALPN.
    pub(crate) http1: Arc<ServerConfig>,
    /// Offers HTTP/2 as well.
    pub(crate) http2: Arc<ServerConfig>,
    /// `ssl_reject_handshake`.
    pub(crate) rejects: bool,
}

/// What all servers share: the key that session tickets are sealed with.
pub(crate) struct TlsContext {
    tickets: Arc<dyn ProducesTickets>,
}

impl TlsContext {
    pub(crate) fn new(problems: &mut Vec<Problem>) -> Option<Self> {
        match aws_lc_rs::Ticketer::new() {
            Ok(tickets) => Some(Self { tickets }),
            Err(source) => {
                problems.push(Problem::emerg_nowhere(format!("no random bytes: {source}")));
                None
            }
        }
    }
}

impl TlsServer {
    /// Loads a server's certificates; `None` where it has none or something is
    /// wrong, which `problems` then tells.
    pub(crate) fn load(
        ssl: &Settings,
        at: &Position,
        context: &mut TlsContext,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        if ssl.certificates.len() > ssl.keys.len() {
            let file = &ssl.certificates[ssl.keys.len()];
            let message = format!(
                "no \"ssl_certificate_key\" is defined for certificate \"{}\"",
                file.path.display()
            );
            problems.push(Problem::emerg(&file.at, message));
            return None;
        }
        let mut certified = Vec::new();
        for (certificate, key) in ssl.certificates.iter().zip(ssl.keys.iter()) {
            match keys::load(certificate, key) {
                Ok(key) => certified.push(key),
                Err(problem) => problems.push(problem),
            }
        }
        if certified.len() < ssl.certificates.len()
            || (certified.is_empty() && !ssl.reject_handshake)
        {
            return None;
        }
        match build(ssl, at, certified, context, problems) {
            Ok(server) => Some(server),
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }
}

fn build(
    ssl: &Settings,
    at: &Position,
    certified: Vec<Arc<CertifiedKey>>,
    context: &TlsContext,
    problems: &mut Vec<Problem>,
) -> Result<TlsServer, Problem> {
    let provider = CryptoProvider {
        cipher_suites: cipher_suites(ssl, at, problems)?,
        kx_groups: groups(ssl, at, problems)?,
        ..aws_lc_rs::default_provider()
    };
    let versions: &[_] = match (ssl.tls12, ssl.tls13) {
        (true, true) => &[&TLS13, &TLS12],
        (true, false) => &[&TLS12],
        _ => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .map_err(|source| Problem::emerg(at, format!("TLS parameters do not fit: {source}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(certified)));
    config.ignore_client_order = ssl.prefer_server_ciphers;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if ssl.tickets {
        config.ticketer = context.tickets.clone();
    } else {
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    let mut http2 = config.clone();
    http2.alpn_protocols.insert(0, b"h2".to_vec());
    Ok(TlsServer {
        http1: Arc::new(config),
        http2: Arc::new(http2),
        rejects: ssl.reject_handshake,
    })
}

/// Chooses among a server's certificates by what the client can verify.
#[derive(Debug)]
struct Resolver(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}

const TLS12_SUITES: [(&str, SupportedCipherSuite); 6] = [
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The suites of TLS 1.3, and those of TLS 1.2 that `ssl_ciphers` leaves. A
/// list of OpenSSL's keywords alone (`HIGH:!aNULL`) leaves them all: none of
/// the suites here is weak.
fn cipher_suites(
    ssl: &Settings,
    at: &Position,
    problems: &mut Vec<Problem>,
) -> Result<Vec<SupportedCipherSuite>, Problem> {
    let all = aws_lc_rs::default_provider().cipher_suites;
    let Some(list) = &ssl.ciphers else {
        return Ok(all);
    };
    let mut named = Vec::new();
    let mut missing = Vec::new();
    for word in list.split([':', ' ', ',']).filter(|word| !word.is_empty()) {
        match TLS12_SUITES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
        {
            Some((_, suite)) => named.push(*suite),
            // A name of a suite has at least two hyphens and no operator.
            None if word.matches('-').count() >= 2 && !word.starts_with(['!', '-', '+']) => {
                missing.push(word);
            }
            None => {}
        }
    }
    if !missing.is_empty() && ssl.tls12 {
        let message = format!(
            "cipher suites that are not supported are left out: {}",
            missing.join(":")
        );
        problems.push(Problem::warn(at, message));
    }
    if named.is_empty() && missing.is_empty() {
        return Ok(all);
    }
    if named.is_empty() && !ssl.tls13 {
        return Err(
            Problem::emerg(at, "no supported cipher suite is left by \"ssl_ciphers\"")
                .with_help("write ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"),
        );
    }
    let tls13 = all.into_iter().filter(|suite| suite.tls13().is_some());
    Ok(tls13.chain(named).collect())
}

fn groups(
    ssl: &Settings,
    at: &Position,
    problems: &mut Vec<Problem>,
) -> Result<Vec<&'static dyn SupportedKxGroup>, Problem> {
    let all = aws_lc_rs::default_provider().kx_groups;
    let Some(list) = ssl.curves.as_deref().filter(|list| *list != "auto") else {
        return Ok(all);
    };
    let mut groups: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for name in list.split(':') {
        match name.to_ascii_lowercase().as_str() {
            "x25519" => groups.push(kx_group::X25519),
            "prime256v1" | "p-256" | "secp256r1" => groups.push(kx_group::SECP256R1),
            "secp384r1" | "p-384" => groups.push(kx_group::SECP384R1),
            "x25519mlkem768" => groups.push(kx_group::X25519MLKEM768),
            _ => {
                let message = format!("curve \"{name}\" is not supported and left out");
                problems.push(Problem::warn(at, message));
            }
        }
    }
    if groups.is_empty() {
        return Err(
            Problem::emerg(at, "no supported curve is left by \"ssl_ecdh_curve\"")
                .with_help("write X25519:prime256v1:secp384r1, or auto"),
        );
    }
    Ok(groups)
}

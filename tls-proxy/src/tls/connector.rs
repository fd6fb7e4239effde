//! TLS to upstreams (`proxy_pass https://`).
//!
//! nginx verifies upstreams only if configured. So the handshake accepts every certificate
//! for which the peer has the key; the certificate is verified afterwards, before any byte
//! of the request is sent.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::client_auth::{check_tls12, check_tls13, has_too_many_elements};
use super::files::Files;
use super::named_certificates::NamedCertificates;
use super::trust::{Purpose, Trust};
use super::upstream_sessions::UpstreamSessions;
use super::upstream_stream::{HandshakeMemory, UpstreamTls, metered, size_of_certificates};
use super::{authorities, host_name, keys, parameters};
use crate::admission::Permit;
use crate::conf::{Position, Problem};
use crate::tls::settings::{ServerSettings, UpstreamSettings};

/// Used if the upstream's name is not a DNS name; never sent.
const NAMELESS: &str = "upstream.invalid";

/// The TLS configuration of a location for its upstreams.
#[derive(Debug)]
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    /// `proxy_ssl_verify`.
    trust: Option<Trust>,
    /// The proxy's own certificate, if its name contains variables.
    pub(crate) named: Option<NamedCertificates>,
}

impl Connector {
    /// Loads the files of `proxy_ssl_*`.
    pub(crate) fn load(
        settings: &UpstreamSettings,
        at: &Position,
        files: &mut Files,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, Problem> {
        let parameters = ServerSettings {
            tls12: settings.tls12,
            tls13: settings.tls13,
            ciphers: settings.ciphers.clone(),
            ..ServerSettings::default()
        };
        let provider = CryptoProvider {
            cipher_suites: parameters::cipher_suites(&parameters, at, problems)?,
            ..aws_lc_rs::default_provider()
        };
        let algorithms = provider.signature_verification_algorithms;
        let versions: &[_] = match (settings.tls12, settings.tls13) {
            (true, true) => &[&TLS13, &TLS12],
            (true, false) => &[&TLS12],
            _ => &[&TLS13],
        };
        let sessions = Arc::new(UpstreamSessions::default());
        let verifier = AnyServer {
            algorithms,
            sessions: sessions.clone(),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .map_err(|source| Problem::emerg(at, format!("TLS parameters do not fit: {source}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut named = None;
        let mut config = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) if certificate.name.or(key.name).is_some() => {
                let pairs = vec![(certificate.clone(), key.clone())];
                let (passwords, cache) = (settings.passwords.clone(), settings.certificate_cache);
                named = Some(NamedCertificates::new(pairs, passwords, cache));
                builder.with_no_client_auth()
            }
            (Some(certificate), Some(key)) => {
                let own = keys::load(certificate, key, settings.passwords.as_ref(), files)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
            (Some(certificate), None) => {
                let message = format!(
                    "no \"proxy_ssl_certificate_key\" is defined for certificate \"{}\"",
                    certificate.path.display()
                );
                return Err(Problem::emerg(&certificate.at, message)
                    .with_help("add proxy_ssl_certificate_key"));
            }
            (None, _) => builder.with_no_client_auth(),
        };
        config.enable_sni = settings.server_name;
        // With a name of variables a session would belong to another certificate.
        config.resumption = match settings.session_reuse && named.is_none() {
            true => Resumption::store(sessions),
            false => Resumption::disabled(),
        };
        Ok(Self {
            config: Arc::new(config),
            trust: trust(settings, files)?,
            named,
        })
    }

    /// Performs a handshake on `stream`; `name` is `proxy_ssl_name`, `own` a certificate
    /// whose name contained variables. Returns a permit for what many certificates take.
    pub(crate) async fn connect<S>(
        &self,
        name: &str,
        own: Option<&Arc<CertifiedKey>>,
        stream: S,
        memory: HandshakeMemory<'_>,
    ) -> io::Result<(UpstreamTls<S>, Option<Permit>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = self.config.clone();
        if let Some(own) = own {
            let mut with = ClientConfig::clone(&config);
            let own = SingleCertAndKey::from(CertifiedKey::clone(own));
            with.client_auth_cert_resolver = Arc::new(own);
            config = Arc::new(with);
        }
        let (server, config) = match ServerName::try_from(name.to_owned()) {
            Ok(server) => (server, config),
            Err(_) => {
                let mut silent = ClientConfig::clone(&config);
                silent.enable_sni = false;
                let server = ServerName::try_from(NAMELESS).map_err(io::Error::other)?;
                (server, Arc::new(silent))
            }
        };
        let connector = TlsConnector::from(config);
        let handshake = async |stream| connector.connect(server, stream).await;
        let connected = metered(stream, memory, handshake, size_of_certificates).await;
        let (stream, certificates) = connected.map_err(|source| {
            let what = format!("SSL_do_handshake() failed ({source})");
            io::Error::other(format!("{what} while SSL handshaking to upstream"))
        })?;
        if let Some(trust) = &self.trust {
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            check(trust, shown, name).map_err(|why| {
                io::Error::other(format!("{why} while SSL handshaking to upstream"))
            })?;
        }
        Ok((UpstreamTls::new(stream), certificates))
    }
}

fn trust(settings: &UpstreamSettings, files: &mut Files) -> Result<Option<Trust>, Problem> {
    let Some(at) = &settings.verify else {
        return Ok(None);
    };
    let Some(file) = &settings.trusted else {
        let message = "no proxy_ssl_trusted_certificate for proxy_ssl_verify";
        return Err(Problem::emerg(at, message)
            .with_help("add proxy_ssl_trusted_certificate with the upstream's authority"));
    };
    let lists = match &settings.crl {
        Some(file) => authorities::load_crls(file, files)?,
        None => Arc::default(),
    };
    let known = authorities::load(file, files)?;
    Ok(Some(Trust::new(known, lists, settings.depth)))
}

fn check(trust: &Trust, shown: &[CertificateDer<'_>], name: &str) -> Result<(), String> {
    if has_too_many_elements(shown.iter()) {
        return Err("upstream sent certificates with too many names or extensions".to_owned());
    }
    trust
        .examine(shown, Purpose::Server, UnixTime::now())
        .map_err(|error| {
            let number = error.number();
            format!("upstream SSL certificate verify error: ({number}:{error})")
        })?;
    if shown
        .first()
        .is_some_and(|own| host_name::is_for(own, name))
    {
        return Ok(());
    }
    Err(format!(
        "upstream SSL certificate does not match \"{name}\""
    ))
}

/// Accepts every certificate for which the peer has the key.
#[derive(Debug)]
struct AnyServer {
    algorithms: WebPkiSupportedAlgorithms,
    /// They depend on the size of the certificates.
    sessions: Arc<UpstreamSessions>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.sessions.note(name, first, others);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_tls12(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_tls13(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The TLS parameters of one request's connection.
#[derive(Clone, Debug)]
pub(crate) struct Secured {
    pub(crate) connector: Arc<Connector>,
    pub(crate) name: Box<str>,
    /// The proxy's certificate, if its name contained variables.
    pub(crate) own: Option<Arc<CertifiedKey>>,
}

impl PartialEq for Secured {
    fn eq(&self, other: &Self) -> bool {
        let chain = |it: &Self| it.own.as_ref().map(|own| own.cert.clone());
        Arc::ptr_eq(&self.connector, &other.connector)
            && self.name == other.name
            && chain(self) == chain(other)
    }
}

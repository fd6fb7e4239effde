//! The rustls configuration of a server, made from `ssl_*` directives.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::certificate_choice::Resolver;
use super::client_auth::AnyClient;
use super::client_certificate::ClientCertificate;
use super::files::Files;
use super::lifetime::Lifetime;
use super::named_certificates::NamedCertificates;
use super::offers::{self, Offers};
use super::sessions::{Cache, Cached, Mark, Tickets};
use super::trust::{Purpose, Trust};
use super::{authorities, keys, parameters, sessions, stapling, tickets};
use crate::conf::{Position, Problem};
use crate::tls::settings::{File, ServerSettings, Verify};

/// The TLS configuration of a server.
#[derive(Debug)]
pub(crate) struct TlsServer {
    /// The configurations of rustls.
    pub(super) offers: Offers,
    /// `ssl_reject_handshake`.
    pub(crate) rejects: bool,
    /// Verifies clients' certificates; `None` if none is requested.
    trust: Option<Arc<Trust>>,
    /// The certificates, for variables about the handshake that rustls does not report.
    resolver: Arc<Resolver>,
    /// Those whose names contain variables.
    pub(crate) named: Option<NamedCertificates>,
    /// Their expiry, if they can be parsed.
    pub(crate) lifetimes: Vec<Lifetime>,
}

/// State shared by all servers: the ticket key and the caches of `ssl_session_cache`.
pub(crate) struct TlsContext {
    tickets: Arc<dyn ProducesTickets>,
    caches: HashMap<Box<str>, Arc<Cache>>,
    files: Files,
    /// The last line of `http`, where nginx reads most files.
    end: Option<u32>,
}

impl TlsContext {
    /// `files` are those read so far.
    pub(crate) fn new(end: Option<u32>, files: Files, problems: &mut Vec<Problem>) -> Option<Self> {
        let tickets = sessions::own_tickets();
        if tickets.is_none() {
            problems.push(Problem::emerg_nowhere("no random bytes"));
        }
        Some(Self {
            tickets: tickets?,
            caches: HashMap::new(),
            files,
            end,
        })
    }

    /// Identifies the files that have been read.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.files.digest()
    }
}

impl TlsServer {
    /// Loads a server's certificates; `curves` is `ssl_ecdh_curve` of the address's default
    /// server, which OpenSSL uses. `None` if it has none, or if there are errors, which are
    /// added to `problems`.
    pub(crate) fn load(
        ssl: &ServerSettings,
        curves: Option<&str>,
        at: &Position,
        context: &mut TlsContext,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        problems.extend(check_files(ssl, &mut context.files));
        if ssl.certificates.len() > ssl.keys.len() {
            let file = &ssl.certificates[ssl.keys.len()];
            let message = format!(
                "no \"ssl_certificate_key\" is defined for certificate \"{}\"",
                file.path.display()
            );
            problems.push(Problem::emerg(&file.at, message));
            return None;
        }
        let (mut certified, mut lifetimes) = (Vec::new(), Vec::new());
        let mut pairs: Vec<_> = ssl.certificates.iter().zip(ssl.keys.iter()).collect();
        // A single one is combined with the other half of the last pair, and must match it.
        let (own, key) = (&ssl.override_certificate, &ssl.override_key);
        if own.is_some() || key.is_some() {
            let own = own.as_ref().or(ssl.certificates.last());
            pairs.extend(own.zip(key.as_ref().or(ssl.keys.last())));
        }
        let is_named = |pair: &(&File, &File)| pair.0.name.is_some() || pair.1.name.is_some();
        let (named, pairs): (Vec<_>, Vec<_>) = pairs.into_iter().partition(is_named);
        for (certificate, key) in &pairs {
            let passwords = ssl.passwords.as_ref();
            match keys::load(certificate, key, passwords, &mut context.files) {
                Ok(key) => {
                    let own = key.cert.first();
                    lifetimes.extend(own.and_then(|own| Lifetime::read(&certificate.path, own)));
                    certified.push(key);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if certified.len() < pairs.len()
            || (certified.is_empty() && named.is_empty() && !ssl.reject_handshake)
        {
            return None;
        }
        match build(ssl, curves, at, certified, context, problems) {
            Ok(server) => Some(Self {
                lifetimes,
                named: name_certificates(ssl, &named),
                ..server
            }),
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }
}

fn name_certificates(ssl: &ServerSettings, pairs: &[(&File, &File)]) -> Option<NamedCertificates> {
    let cloned = |(certificate, key): &(&File, &File)| ((*certificate).clone(), (*key).clone());
    let pairs: Vec<_> = pairs.iter().map(cloned).collect();
    let cache = ssl.certificate_cache;
    (!pairs.is_empty()).then(|| NamedCertificates::new(pairs, ssl.passwords.clone(), cache))
}

/// Files that must exist although they are not used.
fn check_files(ssl: &ServerSettings, files: &mut Files) -> Vec<Problem> {
    let asks = ssl.client.verify != Verify::Off;
    let mut problems = Vec::new();
    // If client certificates are requested, both are loaded with the rest.
    if let Some(file) = ssl.client.trusted.as_ref().filter(|_| !asks) {
        problems.extend(authorities::load(file, files).err());
    }
    if let Some(file) = ssl.client.crl.as_ref().filter(|_| !asks) {
        problems.extend(authorities::load_crls(file, files).err());
    }
    if let Some(file) = &ssl.dhparam {
        problems.extend(keys::check_parameters(file, files).err());
    }
    problems
}

fn build(
    ssl: &ServerSettings,
    curves: Option<&str>,
    at: &Position,
    certified: Vec<CertifiedKey>,
    context: &mut TlsContext,
    problems: &mut Vec<Problem>,
) -> Result<TlsServer, Problem> {
    let mut suites = parameters::cipher_suites(ssl, at, problems)?;
    let provider = CryptoProvider {
        cipher_suites: suites.clone(),
        kx_groups: parameters::groups(curves, at, problems)?,
        ..rustls::crypto::aws_lc_rs::default_provider()
    };
    suites.retain(|suite| ssl.tls13 || suite.tls13().is_none());
    let (asked, trust) = client_auth(ssl, &mut context.files)?.unzip();
    let asked = asked.map(Arc::new);
    let mark = mark(ssl, &certified);
    let certified = staple(ssl, certified, &mut context.files, problems)?;
    let resolver = Resolver::new(certified, suites, ssl.prefer_server_ciphers);
    let resolver = Arc::new(resolver);
    let config = |provider: CryptoProvider| {
        let versions: &[_] = match (ssl.tls12, ssl.tls13) {
            (true, true) => &[&TLS13, &TLS12],
            (true, false) => &[&TLS12],
            _ => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .map_err(|source| Problem::emerg(at, format!("TLS parameters do not fit: {source}")))?;
        let builder = match &asked {
            Some(any) => builder.with_client_cert_verifier(any.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(resolver.clone());
        config.ignore_client_order = ssl.prefer_server_ciphers;
        // tls/record.rs takes them over.
        config.enable_secret_extraction = true;
        Ok(config)
    };
    let mut any = config(provider.clone())?;
    resume(ssl, mark, context, &mut any)?;
    let chooses = ssl.prefer_server_ciphers || ssl.suites13.is_some();
    let aes128 = if ssl.tls13 && !chooses {
        let mut aes128 = config(offers::with_aes128(provider))?;
        aes128.session_storage = any.session_storage.clone();
        aes128.ticketer = any.ticketer.clone();
        aes128.send_tls13_tickets = any.send_tls13_tickets;
        Some(aes128)
    } else {
        None
    };
    Ok(TlsServer {
        offers: Offers::new(any, aes128),
        rejects: ssl.reject_handshake,
        trust: trust.map(Arc::new),
        resolver,
        named: None,
        lifetimes: Vec::new(),
    })
}

/// `ssl_verify_client` and related directives.
fn client_auth(
    ssl: &ServerSettings,
    files: &mut Files,
) -> Result<Option<(AnyClient, Trust)>, Problem> {
    let client = &ssl.client;
    let Some(at) = client.at.as_ref().filter(|_| client.verify != Verify::Off) else {
        return Ok(None);
    };
    let mut load = |file: &Option<File>| match file {
        Some(file) => authorities::load(file, files),
        None => Ok(Vec::new()),
    };
    let (told, untold) = (load(&client.authorities)?, load(&client.trusted)?);
    if told.is_empty() && untold.is_empty() && client.verify != Verify::OptionalNoCa {
        let message = "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client";
        return Err(Problem::emerg(at, message)
            .with_help("add ssl_client_certificate with the authorities of your clients"));
    }
    let lists = match &client.crl {
        Some(file) => authorities::load_crls(file, files)?,
        None => Arc::default(),
    };
    let any = AnyClient::new(&told);
    let known = told.into_iter().chain(untold).collect();
    Ok(Some((any, Trust::new(known, lists, client.depth))))
}

/// `ssl_stapling`: the same OCSP response for every certificate, as in nginx.
fn staple(
    ssl: &ServerSettings,
    certified: Vec<CertifiedKey>,
    files: &mut Files,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Arc<CertifiedKey>>, Problem> {
    let answer = stapling::load(&ssl.stapling, files, problems)?;
    let with = certified.into_iter().map(|mut own| {
        own.ocsp.clone_from(&answer);
        Arc::new(own)
    });
    Ok(with.collect())
}

/// Tickets and caches. One ticket for each connection: a client that comes back is given
/// the next one.
fn resume(
    ssl: &ServerSettings,
    mark: Mark,
    context: &mut TlsContext,
    config: &mut ServerConfig,
) -> Result<(), Problem> {
    let session = &ssl.session;
    let lifetime = session.timeout;
    let shared = session.cache.as_ref().map(|cache| &*cache.name);
    config.session_storage = match &session.cache {
        Some(asked) => {
            let cache = context
                .caches
                .entry(asked.name.clone())
                .or_insert_with(|| Arc::new(Cache::new(&asked.name, asked.size.clone())));
            let cache = cache.clone();
            Arc::new(Cached {
                cache,
                mark,
                lifetime,
            })
        }
        None => Arc::new(NoServerSessionStorage {}),
    };
    if session.tickets {
        let sealed_by = match &session.ticket_keys[..] {
            [] => match shared {
                Some(cache) => tickets::rotating(cache, lifetime),
                None => context.tickets.clone(),
            },
            named => tickets::load(named, &mut context.files)
                .map_err(|problem| problem.on_line(context.end))?,
        };
        config.ticketer = Arc::new(Tickets {
            sealed_by,
            mark,
            lifetime,
        });
    }
    let resumes = session.tickets || session.cache.is_some();
    config.send_tls13_tickets = usize::from(resumes);
    Ok(())
}

/// Identifies the rules under which sessions are created: the server's certificates and the
/// requirements for clients. The same in every pod with the same files.
fn mark(ssl: &ServerSettings, certified: &[CertifiedKey]) -> Mark {
    let mut digest = digest::Context::new(&digest::SHA256);
    for own in certified {
        digest.update(own.cert.first().map_or(&[], |own| own.as_ref()));
    }
    for file in ssl.certificates.iter().filter(|file| file.name.is_some()) {
        digest.update(file.path.as_os_str().as_encoded_bytes());
    }
    let asks = ssl.client.verify != Verify::Off;
    digest.update(format!("{asks} {:?}", ssl.client.verify).as_bytes());
    for file in ssl.client.files().filter(|_| asks) {
        digest.update(file.path.as_os_str().as_encoded_bytes());
    }
    let digest = digest.finish();
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

impl TlsServer {
    /// Whether client certificates are requested.
    pub(crate) fn asks_for_certificate(&self) -> bool {
        self.trust.is_some()
    }

    /// Verifies the certificate that a client sent.
    pub(crate) fn examine(&self, shown: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
        let own = shown.first()?.clone().into_owned();
        let trust = self.trust.as_ref()?;
        let verdict = trust.examine(shown, Purpose::Client, UnixTime::now());
        Some(ClientCertificate::new(own, verdict))
    }

    /// Its certificates and those of one connection, whose names contained variables.
    pub(crate) fn certificates(
        &self,
        more: impl IntoIterator<Item = Arc<CertifiedKey>>,
    ) -> Arc<Resolver> {
        Arc::new(self.resolver.with(more))
    }

    /// Its certificates, if no name contains variables.
    pub(super) fn own_certificates(&self) -> Arc<Resolver> {
        self.resolver.clone()
    }
}

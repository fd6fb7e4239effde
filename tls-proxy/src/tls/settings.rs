//! The TLS settings. Their directives are in `modules/`, their use is in this folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::table_size::TableSize;
use crate::conf::Position;

/// A certificate or key file, and the line that names it.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its path.
    pub path: PathBuf,
    /// The line.
    pub at: Position,
    /// Its index among the configuration's names with variables, if it is one.
    pub(crate) name: Option<usize>,
}

impl File {
    /// A file whose name has no variables.
    pub(crate) fn fixed(path: PathBuf, at: Position) -> Self {
        Self {
            path,
            at,
            name: None,
        }
    }
}

/// `ssl_certificate_cache`, `proxy_ssl_certificate_cache`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CertificateCache {
    /// `max=`, certificates and keys together.
    pub(crate) most: usize,
    /// `inactive=`.
    pub(crate) inactive: Duration,
    /// `valid=`.
    pub(crate) valid: Duration,
}

/// Settings of each server.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    /// `ssl_certificate` and `ssl_certificate_key`, paired in order.
    pub certificates: Arc<[File]>,
    /// The keys of `certificates`.
    pub keys: Arc<[File]>,
    /// `ssl_certificate_cache`.
    pub(crate) certificate_cache: Option<CertificateCache>,
    /// `ssl_conf_command Certificate` and `PrivateKey`: an additional certificate and key.
    pub(crate) override_certificate: Option<File>,
    pub(crate) override_key: Option<File>,
    /// `ssl_protocols`: TLS 1.2.
    pub tls12: bool,
    /// `ssl_protocols`: TLS 1.3.
    pub tls13: bool,
    /// `ssl_reject_handshake`.
    pub reject_handshake: bool,
    /// `ssl_ciphers`, as written.
    pub ciphers: Option<Arc<str>>,
    /// `ssl_ecdh_curve`, as written.
    pub curves: Option<Arc<str>>,
    /// `ssl_prefer_server_ciphers`.
    pub prefer_server_ciphers: bool,
    /// `ssl_password_file`.
    pub passwords: Option<File>,
    /// `ssl_dhparam`.
    pub dhparam: Option<File>,
    /// `ssl_conf_command Ciphersuites`, as written.
    pub suites13: Option<Arc<str>>,
    /// Client certificates.
    pub client: ClientSettings,
    /// Session resumption.
    pub session: SessionSettings,
    /// OCSP stapling.
    pub stapling: StaplingSettings,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            certificates: Arc::new([]),
            keys: Arc::new([]),
            certificate_cache: None,
            override_certificate: None,
            override_key: None,
            tls12: true,
            tls13: true,
            reject_handshake: false,
            ciphers: None,
            curves: None,
            prefer_server_ciphers: false,
            passwords: None,
            dhparam: None,
            suites13: None,
            client: ClientSettings::default(),
            session: SessionSettings::default(),
            stapling: StaplingSettings::default(),
        }
    }
}

impl ServerSettings {
    /// All files it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        let own = self.certificates.iter().chain(self.keys.iter());
        own.chain(&self.passwords)
            .chain(&self.override_certificate)
            .chain(&self.override_key)
            .chain(self.client.files())
            .chain(self.session.ticket_keys.iter())
            .chain(&self.stapling.file)
            .filter(|file| file.name.is_none())
    }
}

/// Client certificate settings of each server.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    /// `ssl_verify_client`.
    pub verify: Verify,
    /// Its line.
    pub at: Option<Position>,
    /// `ssl_client_certificate`: CAs whose names are sent to clients.
    pub authorities: Option<File>,
    /// `ssl_trusted_certificate`: CAs whose names are not sent.
    pub trusted: Option<File>,
    /// `ssl_verify_depth`.
    pub depth: usize,
    /// `ssl_crl`.
    pub crl: Option<File>,
}

impl ClientSettings {
    /// Whether both verify a certificate by the same files.
    pub(crate) fn verifies_like(&self, other: &Self) -> bool {
        let files = |own: &Self| {
            let all = [&own.authorities, &own.trusted, &own.crl];
            all.map(|file| file.as_ref().map(|file| file.path.clone()))
        };
        self.depth == other.depth && files(self) == files(other)
    }
}

/// `ssl_verify_client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// No certificate is requested.
    Off,
    /// A valid certificate is required.
    On,
    /// A certificate is optional, but must be valid.
    Optional,
    /// A certificate is optional; an unknown CA is accepted.
    OptionalNoCa,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            verify: Verify::Off,
            at: None,
            authorities: None,
            trusted: None,
            depth: 1,
            crl: None,
        }
    }
}

impl ClientSettings {
    /// The files it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        [&self.authorities, &self.trusted, &self.crl]
            .into_iter()
            .flatten()
    }
}

/// Session settings of each server.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    /// `ssl_session_tickets`.
    pub tickets: bool,
    /// `ssl_session_ticket_key`; the first one encrypts.
    pub ticket_keys: Arc<[File]>,
    /// `ssl_session_cache`; `None` for `off` and `none`.
    pub cache: Option<Cache>,
    /// `ssl_session_timeout`.
    pub timeout: Duration,
}

/// A session cache.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Servers that use the same name share it.
    pub name: Box<str>,
    /// Memory for its sessions.
    pub size: Arc<TableSize>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            tickets: true,
            ticket_keys: Arc::new([]),
            cache: None,
            timeout: Duration::from_secs(5 * 60),
        }
    }
}

/// Stapling settings of each server.
#[derive(Clone, Debug, Default)]
pub(crate) struct StaplingSettings {
    /// The line of `ssl_stapling on`.
    pub on: Option<Position>,
    /// `ssl_stapling_file`.
    pub file: Option<File>,
}

/// `proxy_ssl_*` settings of each block.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamSettings {
    /// The line of `proxy_ssl_verify on`.
    pub verify: Option<Position>,
    /// `proxy_ssl_trusted_certificate`.
    pub trusted: Option<File>,
    /// `proxy_ssl_crl`.
    pub crl: Option<File>,
    /// `proxy_ssl_verify_depth`.
    pub depth: usize,
    /// `proxy_ssl_server_name`: the name is sent (SNI).
    pub server_name: bool,
    /// `proxy_ssl_protocols`: TLS 1.2.
    pub tls12: bool,
    /// `proxy_ssl_protocols`: TLS 1.3.
    pub tls13: bool,
    /// `proxy_ssl_ciphers`, as written.
    pub ciphers: Option<Arc<str>>,
    /// `proxy_ssl_certificate`.
    pub certificate: Option<File>,
    /// `proxy_ssl_certificate_key`.
    pub key: Option<File>,
    /// `proxy_ssl_password_file`.
    pub passwords: Option<File>,
    /// `proxy_ssl_certificate_cache`.
    pub(crate) certificate_cache: Option<CertificateCache>,
    /// `proxy_ssl_session_reuse`.
    pub session_reuse: bool,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            verify: None,
            trusted: None,
            crl: None,
            depth: 1,
            server_name: false,
            tls12: true,
            tls13: true,
            ciphers: None,
            certificate: None,
            key: None,
            passwords: None,
            certificate_cache: None,
            session_reuse: true,
        }
    }
}

impl UpstreamSettings {
    /// The files it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        let own = [&self.trusted, &self.crl, &self.certificate, &self.key];
        let own = own.into_iter().flatten().chain(&self.passwords);
        own.filter(|file| file.name.is_none())
    }
}

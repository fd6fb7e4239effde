//! The upstream of a request, as the configuration names it.

/// `$proxy_host` and `$proxy_port`.
#[derive(Debug)]
pub(crate) struct ProxyTo {
    /// Without or with TLS.
    pub scheme: Scheme,
    /// The host, with the port unless it is the scheme's default.
    pub host: String,
    /// The port.
    pub port: String,
}

/// The scheme of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The default port.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The URL up to the host.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }
}

//! What the configuration calls the upstream that a request goes to.

/// What `$proxy_host` and `$proxy_port` say.
#[derive(Debug)]
pub(crate) struct ProxyTo {
    /// In clear text or over TLS.
    pub scheme: Scheme,
    /// Host, and the port where it is not the scheme's own.
    pub host: String,
    /// The port.
    pub port: String,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The port where an address names none.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// What stands before the host.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }
}

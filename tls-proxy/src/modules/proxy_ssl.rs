//! The part of `ngx_http_proxy_module` about TLS to upstreams. `tls/connector.rs` uses it.

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::{listen, ssl};
use crate::conf::Problem;
use crate::config::settings::{Inside, ModuleSettings};
use crate::config::spec::{Contexts, Effect, MANY, Spec};
use crate::directive::arguments;
use crate::request::Request;
use crate::tls::connector::{Connector, Secured};
use crate::tls::settings::{File, UpstreamSettings};
use crate::upstream::target::ProxyTo;
use crate::variables::template::Template;

/// What the directives here keep for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Settings of the TLS connection.
    pub tls: UpstreamSettings,
    /// `proxy_ssl_name`; `None` is the host of `proxy_pass`.
    pub name: Option<Template>,
    /// Built from these settings, if `proxy_pass` needs it.
    pub(crate) connector: Option<Arc<Connector>>,
}

impl ModuleSettings for Settings {
    fn inside(&self, inside: Inside) -> Option<Self> {
        let kept = inside != Inside::Location || self.connector.is_none();
        (!kept).then(|| Self {
            connector: None,
            ..self.clone()
        })
    }
}

/// TLS to the upstream as the location of `request` has it.
pub(crate) fn secured(request: &Request, to: &ProxyTo) -> Result<Option<Secured>, Problem> {
    let settings = request.settings().of::<Settings>();
    let written = settings.name.as_ref().map(|name| name.evaluate(request));
    let name = match &written {
        Some(written) => String::from_utf8_lossy(written),
        None => to.host.as_str().into(),
    };
    let (name, _) = listen::split_port(&name);
    let Some(connector) = settings.connector.clone() else {
        return Ok(None);
    };
    Ok(Some(Secured {
        own: own_certificate(request, &connector)?,
        connector,
        name: name.into(),
    }))
}

/// The client certificate whose name depends on the request; `None` if that is empty.
fn own_certificate(
    request: &Request,
    connector: &Connector,
) -> Result<Option<Arc<CertifiedKey>>, Problem> {
    let pair = connector.named.iter().flat_map(|named| &named.pairs).next();
    let (Some(named), Some((certificate, key))) = (&connector.named, pair) else {
        return Ok(None);
    };
    let path = |file: &File| ssl::path_of(file, request);
    let (Some(chain), Some(private)) = (path(certificate), path(key)) else {
        return Ok(None);
    };
    named.load(&chain, &private, &certificate.at).map(Some)
}

const ALL: Contexts = Contexts::ALL;

/// A directive that names one file.
macro_rules! file {
    ($name:literal, $field:ident, $about:literal) => {
        Spec::set($name, ALL, (1, 1), |scope, directive| {
            let word = arguments::first(directive);
            if word.text.contains('$') {
                return Err(
                    Problem::emerg(&word.at, "a file's name cannot have variables here")
                        .with_help("write the path itself"),
                );
            }
            let own = &mut scope.settings.of_mut::<Settings>().tls;
            own.$field = match word.text.as_str() {
                "" => None,
                _ => Some(File::parse(directive, scope.draft)),
            };
            Ok(())
        })
        .about($about)
    };
}

/// A directive that names one file, which may have variables.
macro_rules! named {
    ($name:literal, $field:ident, $about:literal) => {
        Spec::set($name, ALL, (1, 1), |scope, directive| {
            let file = match arguments::first(directive).text.as_str() {
                "" => None,
                _ => Some(File::parse_named(directive, scope.draft)?),
            };
            scope.settings.of_mut::<Settings>().tls.$field = file;
            Ok(())
        })
        .about($about)
    };
}

/// A directive that is one flag.
macro_rules! flag {
    ($name:literal, $field:ident, $default:literal, $about:literal) => {
        Spec::set($name, ALL, (1, 1), |scope, directive| {
            scope.settings.of_mut::<Settings>().tls.$field = arguments::flag(directive)?;
            Ok(())
        })
        .default($default)
        .about($about)
    };
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("proxy_ssl_verify", ALL, (1, 1), |scope, directive| {
        let on = arguments::flag(directive)?;
        scope.settings.of_mut::<Settings>().tls.verify = on.then(|| directive.name.at.clone());
        Ok(())
    })
    .default("off")
    .about("Verifies the upstream's certificate and its name; if off, any is accepted."),
    file!(
        "proxy_ssl_trusted_certificate",
        trusted,
        "Authorities of upstreams' certificates (PEM)."
    ),
    file!(
        "proxy_ssl_crl",
        crl,
        "Revoked certificates (PEM): a list of every authority in the chain."
    ),
    Spec::set("proxy_ssl_verify_depth", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().tls.depth = arguments::number(directive)?;
        Ok(())
    })
    .default("1")
    .about("Most intermediate certificates between the upstream's and its authority's."),
    Spec::set("proxy_ssl_name", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        let name = Template::compile(word, &mut scope.draft.variables)?;
        scope.settings.of_mut::<Settings>().name = Some(name);
        Ok(())
    })
    .default("$proxy_host")
    .about("The name that is verified, and sent by `proxy_ssl_server_name`."),
    flag!(
        "proxy_ssl_server_name",
        server_name,
        "off",
        "Sends the name in the handshake (SNI)."
    ),
    flag!(
        "proxy_ssl_session_reuse",
        session_reuse,
        "on",
        "Sessions with upstreams are resumed."
    ),
    Spec::set("proxy_ssl_protocols", ALL, (1, MANY), |scope, directive| {
        let own = &mut scope.settings.of_mut::<Settings>().tls;
        let before = (!scope.first_here).then_some((own.tls12, own.tls13));
        let problems = &mut scope.draft.problems;
        (own.tls12, own.tls13) = super::ssl::protocols(directive, before, problems)?;
        Ok(())
    })
    .default("TLSv1.2 TLSv1.3")
    .about("Versions of TLS; never older than 1.2.")
    .repeats(),
    Spec::set("proxy_ssl_ciphers", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().tls.ciphers =
            Some(arguments::first(directive).text.as_str().into());
        Ok(())
    })
    .default("DEFAULT")
    .about("Cipher suites of TLS 1.2, by OpenSSL's names; unknown ones are ignored."),
    named!(
        "proxy_ssl_certificate",
        certificate,
        "The proxy's own certificate and its chain (PEM), for upstreams that ask; its name may have variables."
    ),
    named!(
        "proxy_ssl_certificate_key",
        key,
        "The certificate's private key (PEM)."
    ),
    Spec::set(
        "proxy_ssl_password_file",
        ALL,
        (1, 1),
        |scope, directive| {
            let file = File::parse_readable(directive, scope.draft)?;
            scope.settings.of_mut::<Settings>().tls.passwords = Some(file);
            Ok(())
        },
    )
    .about("Passwords of encrypted keys (PKCS#8), one a line."),
    Spec::set("proxy_ssl_certificate_cache", ALL, (1, 3), |scope, directive| {
        let cache = super::ssl::certificate_cache(directive)?;
        scope.settings.of_mut::<Settings>().tls.certificate_cache = cache;
        Ok(())
    })
    .default("off")
    .about("How many certificates and keys are remembered whose names have variables, and for how long."),
    Spec::new(
        "proxy_ssl_conf_command",
        ALL,
        (2, 2),
        Effect::Refused("write proxy_ssl_protocols and proxy_ssl_ciphers instead"),
    )
    .repeats(),
    Spec::new(
        "proxy_ssl_key_log",
        ALL,
        (1, 1),
        Effect::Refused("keys of sessions are never written; remove the line"),
    ),
];

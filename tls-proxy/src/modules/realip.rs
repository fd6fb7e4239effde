//! nginx's `ngx_http_realip_module`: the client's address as a trusted proxy
//! reports it.

use std::sync::Arc;

use super::forwarded_for::Trust;
use crate::conf::Problem;
use crate::conf::hosts::Hosts;
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::modules::variables::Evaluate;
use crate::modules::variables::known::append;
use crate::net::UNSPECIFIED;
use crate::net::cidr::Network;
use crate::request::Request;

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `set_real_ip_from`.
    trusted: Arc<Vec<Network>>,
    /// `real_ip_header`.
    source: Source,
    /// `real_ip_recursive`.
    recursive: bool,
}

/// Where the address is taken from.
#[derive(Clone, Debug)]
enum Source {
    Field(Box<str>),
    ProxyProtocol,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted: Arc::default(),
            source: Source::Field("X-Real-IP".into()),
            recursive: false,
        }
    }
}

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        !self.trusted.is_empty()
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "set_real_ip_from",
        Contexts::ALL,
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            let own = &mut scope.settings.of_mut::<Settings>().trusted;
            if scope.first_here {
                *own = Arc::default();
            }
            let trusted = Arc::make_mut(own);
            match word.text.as_str() {
                // Clients of a UNIX socket have no IP address.
                "unix:" => {
                    let nobody = UNSPECIFIED.ip().to_string();
                    trusted.extend(Network::parse(&nobody).map(|(network, _)| network));
                }
                text => match Network::parse(text) {
                    Some((network, _)) => trusted.push(network),
                    None => {
                        trusted.extend(lookup(text, &mut scope.draft.hosts).ok_or_else(|| {
                            let message = format!("host not found in set_real_ip_from \"{text}\"");
                            Problem::emerg(&word.at, message)
                        })?)
                    }
                },
            }
            Ok(())
        },
    )
    .about("Addresses, networks or names of proxies that are trusted to name the client.")
    .repeats(),
    Spec::set(
        "real_ip_header",
        Contexts::ALL,
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            scope.settings.of_mut::<Settings>().source = match word.text.as_str() {
                "proxy_protocol" => Source::ProxyProtocol,
                name => Source::Field(name.into()),
            };
            Ok(())
        },
    )
    .default("X-Real-IP")
    .about("The field that names the client, or `proxy_protocol`."),
    Spec::set(
        "real_ip_recursive",
        Contexts::ALL,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<Settings>().recursive = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("off")
    .about("Skips trusted addresses in the field, from its end."),
];

/// The addresses of a name; `None` if it is not found.
fn lookup(name: &str, hosts: &mut Hosts) -> Option<Vec<Network>> {
    if name.contains('/') {
        return None;
    }
    let found = hosts.find(name, 0);
    if found.is_empty() {
        return None;
    }
    let networks = found
        .into_iter()
        .filter_map(|address| Network::parse(&address.ip().to_string()));
    Some(networks.map(|(network, _)| network).collect())
}

/// Replaces the proxy's address by the client's own.
pub(crate) fn apply(request: &mut Request) {
    if !request.settings().uses::<Settings>() {
        return;
    }
    let config = request.config.clone();
    let settings = config.location(request.location).settings.of::<Settings>();
    if request.behind_proxy {
        return;
    }
    let peer = request.connection.peer;
    let trust = Trust {
        proxies: &settings.trusted,
        recursive: settings.recursive,
    };
    let fields = &request.head.fields;
    let found = match &settings.source {
        Source::ProxyProtocol => {
            let header = request.connection.proxy_header.as_ref();
            let source = header.and_then(|header| header.source.as_ref());
            source
                .and_then(|source| source.address())
                .filter(|_| trust.has(peer))
        }
        Source::Field(name) if name.eq_ignore_ascii_case("X-Forwarded-For") => {
            trust.forwarded(peer, fields)
        }
        Source::Field(name) => trust.client(peer, fields.first(name.as_bytes()).into_iter()),
    };
    if let Some(found) = found {
        request.peer = found;
        request.behind_proxy = true;
    }
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[
    ("realip_remote_addr", |request, out| {
        let address = request.connection.peer.ip();
        append(out, format_args!("{address}"))
    }),
    ("realip_remote_port", |request, out| {
        append(out, format_args!("{}", request.connection.peer.port()))
    }),
];

//! nginx's `ngx_http_realip_module`: the client's address as a trusted proxy
//! reports it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::cidr::Network;
use super::{Contexts, Spec, arguments};
use crate::conf::Problem;
use crate::http1::fields::Fields;
use crate::server::request::Request;
use crate::vars::Evaluate;
use crate::vars::known::append;

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `set_real_ip_from`.
    trusted: Arc<[Network]>,
    /// `real_ip_header`.
    source: Source,
    /// `real_ip_recursive`.
    recursive: bool,
}

/// Where the address stands.
#[derive(Clone, Debug)]
enum Source {
    Field(Box<str>),
    ProxyProtocol,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted: Arc::new([]),
            source: Source::Field("X-Real-IP".into()),
            recursive: false,
        }
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "set_real_ip_from",
        Contexts::ALL,
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            let own = &mut scope.settings.realip.trusted;
            let inherited = if scope.first_here { &[] } else { &own[..] };
            let mut trusted = inherited.to_vec();
            match word.text.as_str() {
                // Nobody comes through a UNIX socket here.
                "unix:" => {}
                text => match Network::parse(text) {
                    Some((network, _)) => trusted.push(network),
                    None => trusted.extend(lookup(text).ok_or_else(|| {
                        let message = format!("host not found in set_real_ip_from \"{text}\"");
                        Problem::emerg(&word.at, message)
                    })?),
                },
            }
            *own = trusted.into();
            Ok(())
        },
    )
    .about("Addresses, networks or names of proxies whose word about the client counts.")
    .repeats(),
    Spec::set(
        "real_ip_header",
        Contexts::ALL,
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            scope.settings.realip.source = match word.text.as_str() {
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
            scope.settings.realip.recursive = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("off")
    .about("Looks past trusted addresses in the field, from its end."),
];

fn lookup(name: &str) -> Option<Vec<Network>> {
    use std::net::ToSocketAddrs as _;
    if name.contains('/') {
        return None;
    }
    let found = (name, 0).to_socket_addrs().ok()?;
    let networks = found.filter_map(|address| Network::parse(&address.ip().to_string()));
    Some(networks.map(|(network, _)| network).collect())
}

/// Puts the client's own address in the place of the proxy's.
pub(crate) fn apply(request: &mut Request) {
    let config = request.config.clone();
    let settings = &config.location(request.location).settings.realip;
    if settings.trusted.is_empty() || request.behind_proxy {
        return;
    }
    let peer = request.connection.peer;
    let found = match &settings.source {
        Source::ProxyProtocol => {
            let header = request.connection.proxy_header.as_ref();
            let source = header.and_then(|header| header.source);
            source.filter(|_| is_trusted(&settings.trusted, peer.ip()))
        }
        Source::Field(name) => settings.find(&request.head.fields, name, peer),
    };
    if let Some(found) = found {
        request.peer = found;
        request.behind_proxy = true;
    }
}

fn is_trusted(trusted: &[Network], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.has(address))
}

impl Settings {
    /// Walks the field from its end for as long as the last speaker is trusted.
    fn find(&self, fields: &Fields, name: &str, peer: SocketAddr) -> Option<SocketAddr> {
        let forwarded = name.eq_ignore_ascii_case("X-Forwarded-For");
        let values: Vec<&[u8]> = if forwarded {
            fields.all(name.as_bytes()).collect()
        } else {
            fields.first(name.as_bytes()).into_iter().collect()
        };
        let mut words = values.iter().rev().flat_map(|value| {
            let text = std::str::from_utf8(value).unwrap_or_default();
            text.rsplit([' ', ',']).filter(|word| !word.is_empty())
        });
        let mut current = None;
        let mut speaker = peer;
        while is_trusted(&self.trusted, speaker.ip()) {
            let Some(said) = words.next().and_then(parse_address) else {
                break;
            };
            speaker = said;
            current = Some(said);
            if !self.recursive {
                break;
            }
        }
        current
    }
}

/// An address, with a port or without (then 0).
fn parse_address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, 0));
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    Some(SocketAddr::new(inner.parse().ok()?, 0))
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[
    ("realip_remote_addr", |request, out| {
        let address = request.connection.peer.ip().to_canonical();
        append(out, format_args!("{address}"))
    }),
    ("realip_remote_port", |request, out| {
        append(out, format_args!("{}", request.connection.peer.port()))
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(recursive: bool, values: &[&str]) -> Option<String> {
        let network = |text| Network::parse(text).expect("valid").0;
        let settings = Settings {
            trusted: [network("127.0.0.1"), network("10.0.0.0/8")].into(),
            recursive,
            ..Settings::default()
        };
        let fields = values
            .iter()
            .map(|value| (&b"X-Forwarded-For"[..], value.as_bytes()));
        let peer = "127.0.0.1:9".parse().expect("valid");
        let found = settings.find(&Fields::collect(fields), "X-Forwarded-For", peer);
        found.map(|address| address.to_string())
    }

    #[test]
    fn the_last_untrusted_speaker_is_the_client() {
        let chain = ["6.6.6.6, 1.2.3.4, 10.0.0.1"];
        assert_eq!(found(false, &chain).as_deref(), Some("10.0.0.1:0"));
        assert_eq!(found(true, &chain).as_deref(), Some("1.2.3.4:0"));
        assert_eq!(
            found(true, &["10.0.0.2", "10.0.0.1"]).as_deref(),
            Some("10.0.0.2:0")
        );
        assert_eq!(found(false, &["garbage"]), None);
        assert_eq!(found(false, &["1.2.3.4:5"]).as_deref(), Some("1.2.3.4:5"));
        assert_eq!(
            found(false, &["[2001:db8::1]:5"]).as_deref(),
            Some("[2001:db8::1]:5")
        );
    }
}

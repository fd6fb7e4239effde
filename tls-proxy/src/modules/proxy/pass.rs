//! `proxy_pass`: where requests go.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::{listen, upstream};
use crate::conf::{Position, Problem, Word, units};
use crate::config::group;
use crate::config::spec::{Contexts, Scope};
use crate::log::level::Level;
use crate::metrics;
use crate::metrics::labels::UpstreamError;
use crate::modules::resolver;
use crate::request::response::Refusal;
use crate::request::{Request, error_log};
use crate::upstream::target::{ProxyTo, Scheme};
use crate::variables::template::Template;

/// The target of `proxy_pass`.
#[derive(Debug)]
pub(crate) struct Pass {
    /// The group, or how to choose it for each request.
    pub target: PassTarget,
    /// `$proxy_host` and the like.
    pub to: Arc<ProxyTo>,
    /// The path of the address; it replaces the location's prefix.
    pub path: Option<Box<str>>,
    /// The address as it is written; empty where it has variables.
    pub url: Box<str>,
    /// Its line.
    pub at: Position,
}

impl Pass {
    /// Whether TLS may be needed: `https://`, or a scheme that depends on a variable.
    pub(crate) fn may_be_tls(&self) -> bool {
        self.to.scheme == Scheme::Https || matches!(self.target, PassTarget::Template(_))
    }
}

/// A group of peers, fixed or chosen for each request.
#[derive(Debug)]
pub(crate) enum PassTarget {
    /// Fixed.
    Group(Arc<group::Upstream>),
    /// The address has variables.
    Template(Template),
}

pub(super) fn parse_pass(
    scope: &mut Scope<'_>,
    word: &Word,
    has_prefix: bool,
) -> Result<Pass, Problem> {
    let text = word.text.as_str();
    if text.contains('$') {
        let template = Template::compile(word, &mut scope.draft.variables)?;
        let to = ProxyTo {
            scheme: Scheme::Http,
            host: String::new(),
            port: String::new(),
        };
        return Ok(Pass {
            target: PassTarget::Template(template),
            to: to.into(),
            path: None,
            url: Box::default(),
            at: word.at.clone(),
        });
    }
    let (scheme, rest) = split_scheme(text).ok_or_else(|| {
        Problem::emerg(&word.at, "invalid URL prefix")
            .with_help("write http:// or https:// and host:port or the name of an upstream")
    })?;
    let address = split_address(rest);
    if address.host.is_empty() {
        return Err(Problem::emerg(
            &word.at,
            format!("no host in upstream \"{text}\""),
        ));
    }
    let nameless = Contexts::IF.or(Contexts::LIMIT_EXCEPT).meets(scope.context);
    if address.path.is_some() && (nameless || !has_prefix) {
        let message = "\"proxy_pass\" cannot have URI part in location given by regular \
                       expression, or inside named location, or inside \"if\" statement, or \
                       inside \"limit_except\" block";
        return Err(Problem::emerg(&word.at, message));
    }
    let (name, port) = listen::split_port(address.host);
    let group = match (named(&scope.draft.upstreams, name), port) {
        (Some(group), None) => group.clone(),
        (Some(_), Some(port)) if units::parse_integer(port).is_some_and(|port: u16| port > 0) => {
            let message = format!("upstream \"{name}\" may not have port {port}");
            return Err(Problem::emerg(&word.at, message)
                .with_help("its servers have ports of their own: leave this one out"));
        }
        _ => {
            let hosts = &mut scope.draft.hosts;
            let peers = upstream::server::resolve(address.host, scheme.port(), word, hosts)?;
            // The same host with another scheme has another port.
            let name = group_name(scheme, address.host);
            let (host, port) = host_and_port(scheme, address.host);
            let own = (host.to_owned(), port.unwrap_or_default());
            scope.draft.group_of_address(&name, own, peers)
        }
    };
    let to = Arc::new(proxy_to(scheme, address.host));
    Ok(Pass {
        target: PassTarget::Group(group),
        to,
        path: address.path.map(Into::into),
        url: text.into(),
        at: word.at.clone(),
    })
}

/// The `upstream` block of a name. A name with a port is never one of a block.
fn named<'a>(blocks: &'a [Arc<group::Upstream>], name: &str) -> Option<&'a Arc<group::Upstream>> {
    let mut blocks = blocks.iter();
    blocks.find(|block| block.name.eq_ignore_ascii_case(name))
}

/// Host and port of an address.
fn host_and_port(scheme: Scheme, address: &str) -> (&str, Option<u16>) {
    let (host, port) = listen::split_port(address);
    let port = port.map_or(Some(scheme.port()), units::parse_integer);
    (host, port)
}

fn group_name(scheme: Scheme, host: &str) -> String {
    match scheme {
        Scheme::Https if listen::split_port(host).1.is_none() => format!("{host}:443"),
        _ => host.to_owned(),
    }
}

fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    [Scheme::Http, Scheme::Https].into_iter().find_map(|own| {
        let (scheme, rest) = text.split_at_checked(own.prefix().len())?;
        scheme
            .eq_ignore_ascii_case(own.prefix())
            .then_some((own, rest))
    })
}

/// The two parts of an address after its scheme.
struct SplitAddress<'a> {
    host: &'a str,
    path: Option<&'a str>,
}

fn split_address(rest: &str) -> SplitAddress<'_> {
    // `unix:/path:/uri` has slashes in its host.
    let host_end = match rest.strip_prefix("unix:") {
        Some(path) => path.find(':').map_or(rest.len(), |colon| colon + 5),
        None => rest.find(['/', '?']).unwrap_or(rest.len()),
    };
    let path = rest[host_end..].trim_start_matches(':');
    SplitAddress {
        host: &rest[..host_end],
        path: (!path.is_empty()).then_some(path),
    }
}

fn proxy_to(scheme: Scheme, host: &str) -> ProxyTo {
    let (name, port) = listen::split_port(host);
    let own = scheme.port().to_string();
    let (host, port) = match port {
        _ if host.starts_with("unix:") => ("localhost", ""),
        None => (name, own.as_str()),
        Some(port) if port == own => (name, port),
        Some(port) => (host, port),
    };
    ProxyTo {
        scheme,
        host: host.to_owned(),
        port: port.to_owned(),
    }
}

/// The peers of a request, and their `$proxy_host`.
pub(crate) struct SelectedUpstream {
    pub(crate) group: Arc<group::Upstream>,
    pub(crate) to: Arc<ProxyTo>,
    /// The whole target, if the address has variables and a path.
    pub(crate) target: Option<Vec<u8>>,
}

/// Why there are no peers: the status, and the message for the error log.
type NoUpstream = (u16, String);

/// Finds the peers of `pass`. An error has been logged.
pub(crate) async fn choose(
    pass: &Pass,
    request: &mut Request,
) -> Result<SelectedUpstream, Refusal> {
    let template = match &pass.target {
        PassTarget::Group(group) => {
            return Ok(SelectedUpstream {
                group: request.connection.worker.groups.current(group),
                to: pass.to.clone(),
                target: None,
            });
        }
        PassTarget::Template(template) => template,
    };
    let value = template.evaluate(request);
    let text = String::from_utf8_lossy(&value);
    let (scheme, rest) = split_scheme(&text).ok_or_else(|| {
        let reason = format!("invalid URL prefix in \"{text}\"");
        refuse(request, (500, reason))
    })?;
    let address = split_address(rest);
    let readable = match &text {
        Cow::Borrowed(_) => 0,
        Cow::Owned(text) => text.len(),
    };
    // The address, and the host for the request, the group, and the resolver.
    let size = value.len() + readable + 3 * address.host.len();
    request.keep_value(size)?;
    let to = Arc::new(proxy_to(scheme, address.host));
    request.proxy = Some(to.clone());
    let group = match known(&request.config.upstreams, scheme, address.host) {
        Some(group) => request.connection.worker.groups.current(group),
        // Boxed: a lookup would be part of every request's future.
        None => Box::pin(look_up(scheme, address.host, request))
            .await
            .map_err(|failed| {
                if failed.0 == 500 {
                    // It is not an address at all.
                    request.proxy = Some(pass.to.clone());
                }
                refuse(request, failed)
            })?,
    };
    let target = address
        .path
        .map(|path| target_of(&value, text.len() - path.len()));
    Ok(SelectedUpstream { group, to, target })
}

/// Logs that there are no peers.
fn refuse(request: &Request, (status, reason): NoUpstream) -> Refusal {
    metrics::upstream_failed(UpstreamError::Resolve);
    error_log::request(request, Level::Error, reason);
    Refusal::new(status)
}

/// The target in an address, from `at` on: its bytes as they are, whether they are text or not.
fn target_of(address: &[u8], at: usize) -> Vec<u8> {
    let given = address.get(at..).unwrap_or_default();
    let slash: &[u8] = if given.starts_with(b"?") { b"/" } else { b"" };
    [slash, given].concat()
}

/// The group that the configuration has for an address: an `upstream` block of that name, or that
/// of another `proxy_pass` with the same host and port.
fn known<'a>(
    groups: &'a [Arc<group::Upstream>],
    scheme: Scheme,
    address: &str,
) -> Option<&'a Arc<group::Upstream>> {
    let (host, port) = host_and_port(scheme, address);
    let has_port = host.len() < address.len();
    groups.iter().find(|group| match &group.address {
        None => !has_port && group.name.eq_ignore_ascii_case(address),
        Some((own, own_port)) => own.eq_ignore_ascii_case(host) && Some(*own_port) == port,
    })
}

/// A group for an address; a name is resolved (`resolver`).
async fn look_up(
    scheme: Scheme,
    host: &str,
    request: &Request,
) -> Result<Arc<group::Upstream>, NoUpstream> {
    if let Some(path) = host.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        let path = path.trim_end_matches(':');
        return Ok(group_of(host, group::PeerAddress::Unix(path.into())));
    }
    let (name, port) = listen::split_port(host);
    let port = match port {
        None => Some(scheme.port()),
        Some(port) => units::parse_integer(port).filter(|port| *port > 0),
    };
    let Some(port) = port else {
        return Err((500, format!("invalid port in upstream \"{host}\"")));
    };
    if name.is_empty() {
        return Err((500, format!("no host in upstream \"{host}\"")));
    }
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        let address = std::net::SocketAddr::new(ip, port);
        return Ok(group_of(host, group::PeerAddress::Tcp(address)));
    }
    let config = request.config.clone();
    let settings = config
        .location(request.location)
        .settings
        .of::<resolver::Settings>();
    let Some(resolver) = &settings.resolver else {
        return Err((502, format!("no resolver defined to resolve {name}")));
    };
    let worker = request.connection.worker.clone();
    let found = worker
        .names
        .find(resolver, name, port, settings.timeout, &worker.admission)
        .await;
    found.map_err(|error| (502, format!("{name} could not be resolved ({error})")))
}

fn group_of(host: &str, address: group::PeerAddress) -> Arc<group::Upstream> {
    Arc::new(group::Upstream::of_address(host, vec![address]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_splits_into_host_and_path() {
        for (text, host, path) in [
            ("a:80", "a:80", None),
            ("a:80/", "a:80", Some("/")),
            ("[::1]:80/x", "[::1]:80", Some("/x")),
            ("unix:/run/a.sock", "unix:/run/a.sock", None),
            ("unix:/run/a.sock:/x", "unix:/run/a.sock", Some("/x")),
        ] {
            let found = split_address(text);
            assert_eq!((found.host, found.path), (host, path), "{text}");
        }
    }

    #[test]
    fn proxy_host_leaves_out_the_default_port() {
        assert_eq!(proxy_to(Scheme::Http, "a:80").host, "a");
        assert_eq!(proxy_to(Scheme::Http, "a:81").host, "a:81");
        assert_eq!(proxy_to(Scheme::Http, "127.0.0.1").port, "80");
        assert_eq!(proxy_to(Scheme::Https, "a:443").host, "a");
        assert_eq!(proxy_to(Scheme::Https, "a:80").host, "a:80");
    }
}

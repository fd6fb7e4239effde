//! nginx's `ngx_http_proxy_module`: what a request to an upstream looks like,
//! and what of its answer reaches the client.

use std::sync::Arc;
use std::time::Duration;

use super::{Contexts, Effect, Scope, Spec, arguments, listen, upstream};
use crate::conf::{Directive, Position, Problem, Word};
use crate::http1::request_head::{Framing, Version};
use crate::http1::target::escape_path;
use crate::server::request::Request;
use crate::vars::template::Template;

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `proxy_pass`.
    pub pass: Option<Arc<Pass>>,
    /// The location's prefix, which a path in `proxy_pass` replaces.
    pub location: Option<Box<[u8]>>,
    /// `proxy_set_header`, in order.
    pub set_headers: Arc<[(Box<str>, Template)]>,
    /// `proxy_http_version`.
    pub version: Version,
    /// `proxy_connect_timeout`.
    pub connect_timeout: Duration,
    /// `proxy_send_timeout`: between two writes.
    pub send_timeout: Duration,
    /// `proxy_read_timeout`: between two reads.
    pub read_timeout: Duration,
    /// `proxy_request_buffering`.
    pub request_buffering: bool,
    /// `proxy_buffer_size`: largest head of an answer, bytes.
    pub buffer_size: usize,
    /// `proxy_pass_request_headers`.
    pub pass_request_headers: bool,
    /// `proxy_pass_request_body`.
    pub pass_request_body: bool,
    /// `proxy_method`.
    pub method: Option<Template>,
    /// `proxy_hide_header`.
    pub hide: Arc<[Box<str>]>,
    /// `proxy_pass_header`.
    pub show: Arc<[Box<str>]>,
    /// `proxy_redirect`.
    pub redirect: Redirect,
    /// `proxy_intercept_errors`.
    pub intercept_errors: bool,
    /// `proxy_ignore_client_abort`.
    pub ignore_client_abort: bool,
    /// `proxy_next_upstream`.
    pub next_upstream: NextUpstream,
    /// `proxy_next_upstream_tries`; zero is no limit.
    pub next_tries: usize,
    /// `proxy_next_upstream_timeout`; zero is no limit.
    pub next_timeout: Duration,
    /// `proxy_pass_trailers`.
    pub pass_trailers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pass: None,
            location: None,
            set_headers: Arc::new([]),
            version: Version::Http11,
            connect_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            request_buffering: true,
            buffer_size: 4 << 10,
            pass_request_headers: true,
            pass_request_body: true,
            method: None,
            hide: Arc::new([]),
            show: Arc::new([]),
            redirect: Redirect::Default,
            intercept_errors: false,
            ignore_client_abort: false,
            next_upstream: NextUpstream::default(),
            next_tries: 0,
            next_timeout: Duration::ZERO,
            pass_trailers: false,
        }
    }
}

/// Where `proxy_pass` leads.
#[derive(Debug)]
pub struct Pass {
    /// The group, or how to find it for each request.
    pub target: PassTarget,
    /// `$proxy_host`: what the address calls the upstream.
    pub to: Arc<ProxyTo>,
    /// The path of the address; it replaces the location's prefix.
    pub path: Option<Box<str>>,
    /// Its line.
    pub at: Position,
}

impl Pass {
    /// Whether TLS may be needed: by `https://`, or by a variable's value.
    pub(crate) fn may_be_tls(&self) -> bool {
        self.to.scheme == Scheme::Https || matches!(self.target, PassTarget::Template(_))
    }
}

/// What `$proxy_host` and `$proxy_port` say.
#[derive(Debug)]
pub struct ProxyTo {
    /// In clear text or over TLS.
    pub scheme: Scheme,
    /// Host, and the port where it is not the scheme's own.
    pub host: String,
    /// The port.
    pub port: String,
}

/// A group of peers, known now or for each request.
#[derive(Debug)]
pub enum PassTarget {
    /// Known.
    Group(Arc<upstream::Upstream>),
    /// The address has variables.
    Template(Template),
}

/// `proxy_redirect`.
#[derive(Clone, Debug)]
pub enum Redirect {
    /// From the address of `proxy_pass` to the location.
    Default,
    /// `off`.
    Off,
    /// Pairs of prefix and replacement.
    Pairs(Arc<[(Template, Template)]>),
}

/// `proxy_next_upstream`: which failures lead to another peer.
#[derive(Clone, Copy, Debug)]
pub struct NextUpstream {
    /// Connecting, sending or reading failed.
    pub error: bool,
    /// It took too long.
    pub timeout: bool,
    /// The answer made no sense.
    pub invalid_header: bool,
    /// Also where the request is not idempotent (RFC 9110, section 9.2.2).
    pub non_idempotent: bool,
    /// Answers with these statuses.
    pub statuses: Statuses,
}

/// A small set of statuses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statuses(u16);

impl Statuses {
    const ALL: [u16; 7] = [500, 502, 503, 504, 403, 404, 429];

    /// Whether `status` is in the set.
    pub fn has(self, status: u16) -> bool {
        Self::ALL
            .iter()
            .position(|own| *own == status)
            .is_some_and(|bit| self.0 & (1 << bit) != 0)
    }

    fn add(&mut self, status: u16) -> bool {
        let bit = Self::ALL.iter().position(|own| *own == status);
        self.0 |= bit.map_or(0, |bit| 1 << bit);
        bit.is_some()
    }
}

impl Default for NextUpstream {
    fn default() -> Self {
        Self {
            error: true,
            timeout: true,
            invalid_header: false,
            non_idempotent: false,
            statuses: Statuses::default(),
        }
    }
}

/// A directive that is one flag, size or time in [`Settings`].
macro_rules! plain {
    ($name:literal, $field:ident, flag, $default:literal, $about:literal) => {
        Spec::set($name, Contexts::ALL, (1, 1), |scope, directive| {
            scope.settings.proxy.$field = arguments::flag(directive)?;
            Ok(())
        })
        .default($default)
        .about($about)
    };
    ($name:literal, $field:ident, $reader:ident, $default:literal, $about:literal) => {
        Spec::set($name, Contexts::ALL, (1, 1), |scope, directive| {
            scope.settings.proxy.$field =
                arguments::$reader(directive, arguments::first(directive))?;
            Ok(())
        })
        .default($default)
        .about($about)
    };
}

const ALL: Contexts = Contexts::ALL;
const STREAMS: &str = "answers are streamed as they come, with the client's pace as the limit";
const NO_CACHE: &str = "there is no cache; remove the line";

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "proxy_pass",
        Contexts::LOCATION.or(Contexts::IF),
        (1, 1),
        |scope, directive| {
            let pass = parse_pass(scope, arguments::first(directive))?;
            scope.settings.proxy.pass = Some(Arc::new(pass));
            Ok(())
        },
    )
    .about("Sends requests to an upstream: `http[s]://host[:port][/path]`, `http[s]://name-of-a-group`."),
    Spec::set("proxy_set_header", ALL, (2, 2), |scope, directive| {
        let name = directive.args[0].text.as_str().into();
        let value = Template::compile(&directive.args[1], &mut scope.draft.variables)?;
        let own = &mut scope.settings.proxy.set_headers;
        let inherited = if scope.first_here { &[] } else { &own[..] };
        *own = inherited.iter().cloned().chain([(name, value)]).collect();
        Ok(())
    })
    .default("Host $proxy_host")
    .about("Sets a field of the request to the upstream; an empty value leaves it out.")
    .repeats(),
    Spec::set("proxy_http_version", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.proxy.version = match word.text.as_str() {
            "1.0" => Version::Http10,
            "1.1" => Version::Http11,
            other => {
                return Err(
                    Problem::emerg(&word.at, format!("invalid value \"{other}\""))
                        .with_help("write 1.0 or 1.1"),
                );
            }
        };
        Ok(())
    })
    .default("1.1")
    .about("The version of requests to the upstream."),
    plain!(
        "proxy_connect_timeout",
        connect_timeout,
        time,
        "60s",
        "Time to connect to the upstream; then 504."
    ),
    plain!(
        "proxy_send_timeout",
        send_timeout,
        time,
        "60s",
        "Time between two writes to the upstream; then 504."
    ),
    plain!(
        "proxy_read_timeout",
        read_timeout,
        time,
        "60s",
        "Time between two reads from the upstream; then 504."
    ),
    plain!(
        "proxy_request_buffering",
        request_buffering,
        flag,
        "on",
        "Small bodies are read whole before the upstream sees the request."
    ),
    plain!(
        "proxy_buffer_size",
        buffer_size,
        size,
        "4k",
        "Largest head of an upstream's answer; beyond it 502."
    ),
    plain!(
        "proxy_pass_request_headers",
        pass_request_headers,
        flag,
        "on",
        "The client's own fields go upstream."
    ),
    plain!(
        "proxy_pass_request_body",
        pass_request_body,
        flag,
        "on",
        "The client's body goes upstream."
    ),
    plain!(
        "proxy_intercept_errors",
        intercept_errors,
        flag,
        "off",
        "`error_page` holds for the upstream's errors too."
    ),
    plain!(
        "proxy_ignore_client_abort",
        ignore_client_abort,
        flag,
        "off",
        "The upstream is heard out when the client has gone."
    ),
    plain!(
        "proxy_next_upstream_timeout",
        next_timeout,
        time,
        "0",
        "Time in which further peers are tried; 0 is no limit."
    ),
    plain!(
        "proxy_pass_trailers",
        pass_trailers,
        flag,
        "off",
        "Trailer fields of the upstream's answer reach the client."
    ),
    Spec::set(
        "proxy_next_upstream_tries",
        ALL,
        (1, 1),
        |scope, directive| {
            scope.settings.proxy.next_tries = arguments::number(directive)?;
            Ok(())
        },
    )
    .default("0")
    .about("Most peers tried for a request; 0 is no limit."),
    Spec::set(
        "proxy_next_upstream",
        ALL,
        (1, usize::MAX),
        |scope, directive| {
            scope.settings.proxy.next_upstream = parse_next_upstream(directive)?;
            Ok(())
        },
    )
    .default("error timeout")
    .about("Which failures lead to the next peer."),
    Spec::set("proxy_method", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.proxy.method = Some(Template::compile(word, &mut scope.draft.variables)?);
        Ok(())
    })
    .about("The method of requests to the upstream."),
    Spec::set("proxy_hide_header", ALL, (1, 1), |scope, directive| {
        let name = arguments::first(directive).text.as_str();
        add_name(&mut scope.settings.proxy.hide, name, scope.first_here);
        Ok(())
    })
    .about("Keeps a field of the upstream's answer from the client.")
    .repeats(),
    Spec::set("proxy_pass_header", ALL, (1, 1), |scope, directive| {
        let name = arguments::first(directive).text.as_str();
        add_name(&mut scope.settings.proxy.show, name, scope.first_here);
        Ok(())
    })
    .about("Lets a field through that is hidden otherwise: `Server`, `Date`, `X-Accel-*`.")
    .repeats(),
    Spec::set("proxy_redirect", ALL, (1, 2), set_redirect)
        .default("default")
        .about("Rewrites `Location` and `Refresh` of the upstream's answers.")
        .repeats(),
    Spec::new("proxy_buffering", ALL, (1, 1), Effect::Accepted(STREAMS)),
    Spec::new("proxy_buffers", ALL, (2, 2), Effect::Accepted(STREAMS)),
    Spec::new(
        "proxy_busy_buffers_size",
        ALL,
        (1, 1),
        Effect::Accepted(STREAMS),
    ),
    Spec::new(
        "proxy_max_temp_file_size",
        ALL,
        (1, 1),
        Effect::Accepted(STREAMS),
    ),
    Spec::new(
        "proxy_temp_file_write_size",
        ALL,
        (1, 1),
        Effect::Accepted(STREAMS),
    ),
    Spec::new("proxy_temp_path", ALL, (1, 4), Effect::Accepted(STREAMS)),
    Spec::new(
        "proxy_headers_hash_max_size",
        ALL,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    ),
    Spec::new(
        "proxy_headers_hash_bucket_size",
        ALL,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    ),
    Spec::new(
        "proxy_socket_keepalive",
        ALL,
        (1, 1),
        Effect::Accepted("idle connections are checked before they are used again"),
    ),
    Spec::new(
        "proxy_send_lowat",
        ALL,
        (1, 1),
        Effect::Accepted("the kernel's own setting serves"),
    ),
    Spec::new("proxy_cache", ALL, (1, 1), Effect::Refused(NO_CACHE)),
    Spec::new(
        "proxy_cache_path",
        Contexts::HTTP,
        (2, usize::MAX),
        Effect::Refused(NO_CACHE),
    ),
    Spec::new(
        "proxy_cache_valid",
        ALL,
        (1, usize::MAX),
        Effect::Refused(NO_CACHE),
    ),
    Spec::new(
        "proxy_cache_bypass",
        ALL,
        (1, usize::MAX),
        Effect::Refused(NO_CACHE),
    ),
    Spec::new(
        "proxy_no_cache",
        ALL,
        (1, usize::MAX),
        Effect::Refused(NO_CACHE),
    ),
    Spec::new("proxy_store", ALL, (1, 1), Effect::Refused(NO_CACHE)),
    Spec::new(
        "proxy_bind",
        ALL,
        (1, 2),
        Effect::Refused("not implemented; remove the line"),
    ),
    Spec::new(
        "proxy_set_body",
        ALL,
        (1, 1),
        Effect::Refused("not implemented; remove the line"),
    ),
    Spec::new(
        "proxy_cookie_path",
        ALL,
        (1, 3),
        Effect::Refused("not implemented yet"),
    ),
    Spec::new(
        "proxy_cookie_domain",
        ALL,
        (1, 2),
        Effect::Refused("not implemented yet"),
    ),
];

fn add_name(own: &mut Arc<[Box<str>]>, name: &str, first_here: bool) {
    let inherited = if first_here { &[] } else { &own[..] };
    *own = inherited.iter().cloned().chain([name.into()]).collect();
}

fn parse_next_upstream(directive: &Directive) -> Result<NextUpstream, Problem> {
    let mut next = NextUpstream {
        error: false,
        timeout: false,
        invalid_header: false,
        non_idempotent: false,
        statuses: Statuses::default(),
    };
    for word in &directive.args {
        match word.text.as_str() {
            "error" => next.error = true,
            "timeout" => next.timeout = true,
            "invalid_header" => next.invalid_header = true,
            "non_idempotent" => next.non_idempotent = true,
            "off" => {}
            text => {
                let status = text
                    .strip_prefix("http_")
                    .and_then(|code| code.parse().ok());
                if !status.is_some_and(|status| next.statuses.add(status)) {
                    return Err(Problem::emerg(
                        &word.at,
                        format!("invalid value \"{text}\""),
                    ));
                }
            }
        }
    }
    Ok(next)
}

fn set_redirect(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let own = &mut scope.settings.proxy.redirect;
    let variables = &mut scope.draft.variables;
    match (&directive.args[..], &*own) {
        ([word], _) if word.text == "off" => *own = Redirect::Off,
        ([word], _) if word.text == "default" => *own = Redirect::Default,
        ([from, to], before) if !from.text.starts_with('~') => {
            let pair = (
                Template::compile(from, variables)?,
                Template::compile(to, variables)?,
            );
            let pairs = match before {
                Redirect::Pairs(pairs) if !scope.first_here => pairs.to_vec(),
                _ => Vec::new(),
            };
            *own = Redirect::Pairs(pairs.into_iter().chain([pair]).collect());
        }
        _ => {
            let word = arguments::first(directive);
            return Err(
                Problem::emerg(&word.at, format!("invalid parameter \"{}\"", word.text))
                    .with_help("write `default`, `off`, or a prefix and its replacement"),
            );
        }
    }
    Ok(())
}

fn parse_pass(scope: &mut Scope<'_>, word: &Word) -> Result<Pass, Problem> {
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
    if address.path.is_some() && scope.settings.proxy.location.is_none() {
        let message = "\"proxy_pass\" cannot have URI part in location given by regular \
                       expression, or inside named location, or inside \"if\" statement, or \
                       inside \"limit_except\" block";
        return Err(Problem::emerg(&word.at, message));
    }
    let group = match scope
        .draft
        .upstreams
        .iter()
        .find(|group| group.name == address.host)
    {
        Some(group) => group.clone(),
        None => {
            let peers = upstream::resolve(address.host, scheme.port(), word)?;
            // The same host by another scheme is another port.
            let name = scheme.group_name(address.host);
            scope.draft.group_of_address(&name, peers)
        }
    };
    let to = Arc::new(ProxyTo::of(scheme, address.host));
    Ok(Pass {
        target: PassTarget::Group(group),
        to,
        path: address.path.map(Into::into),
        at: word.at.clone(),
    })
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    fn port(self) -> u16 {
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

    fn group_name(self, host: &str) -> String {
        match self {
            Self::Https if listen::split_port(host).1.is_none() => format!("{host}:443"),
            _ => host.to_owned(),
        }
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

/// The two halves of an address behind its scheme.
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

impl ProxyTo {
    fn of(scheme: Scheme, host: &str) -> Self {
        let (name, port) = listen::split_port(host);
        let own = scheme.port().to_string();
        let (host, port) = match port {
            _ if host.starts_with("unix:") => ("localhost", ""),
            None => (name, own.as_str()),
            Some(port) if port == own => (name, port),
            Some(port) => (host, port),
        };
        Self {
            scheme,
            host: host.to_owned(),
            port: port.to_owned(),
        }
    }
}

/// The peers a request goes to, and what `$proxy_host` says of them.
pub(crate) struct Chosen {
    pub(crate) group: Arc<upstream::Upstream>,
    pub(crate) to: Arc<ProxyTo>,
    /// The whole target where the address has variables and a path.
    pub(crate) target: Option<Vec<u8>>,
}

/// Finds the peers of `pass`; the error is for the error log.
pub(crate) fn choose(pass: &Pass, request: &Request) -> Result<Chosen, String> {
    let template = match &pass.target {
        PassTarget::Group(group) => {
            return Ok(Chosen {
                group: group.clone(),
                to: pass.to.clone(),
                target: None,
            });
        }
        PassTarget::Template(template) => template,
    };
    let value = template.evaluate(request);
    let text = String::from_utf8_lossy(&value);
    let (scheme, rest) =
        split_scheme(&text).ok_or_else(|| format!("invalid URL prefix in \"{text}\""))?;
    let address = split_address(rest);
    let group = request
        .config
        .upstreams
        .iter()
        .find(|group| group.name == address.host)
        .cloned()
        .or_else(|| literal_group(scheme, address.host))
        .ok_or_else(|| format!("no resolver defined to resolve {}", address.host))?;
    let target = address.path.map(|path| path.as_bytes().to_vec());
    Ok(Chosen {
        group,
        to: Arc::new(ProxyTo::of(scheme, address.host)),
        target,
    })
}

/// A group for an address that needs no resolver.
fn literal_group(scheme: Scheme, host: &str) -> Option<Arc<upstream::Upstream>> {
    let (name, port) = listen::split_port(host);
    let port = port.map_or(Some(scheme.port()), |port| port.parse().ok())?;
    let ip = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()?;
    let address = upstream::Address::Tcp(std::net::SocketAddr::new(ip, port));
    Some(Arc::new(upstream::Upstream::of_address(
        host,
        vec![address],
    )))
}

/// Fields of the client's that never go upstream as they are: they are about
/// this connection, or made anew.
const REPLACED: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "keep-alive",
    "expect",
    "upgrade",
    "proxy-connection",
];

/// Writes the head of the request to the upstream (RFC 9112, section 3).
pub(crate) fn write_head(request: &Request, chosen: &Chosen, framing: Framing) -> Vec<u8> {
    let settings = &request.settings().proxy;
    let mut out = Vec::with_capacity(1024);
    match &settings.method {
        Some(method) => method.write(request, &mut out),
        None => out.extend_from_slice(&request.head.method),
    }
    out.push(b' ');
    write_target(request, chosen, &mut out);
    out.extend_from_slice(match settings.version {
        Version::Http10 => b" HTTP/1.0\r\n",
        _ => b" HTTP/1.1\r\n",
    });
    write_set_headers(settings, request, &mut out);
    if !sets(settings, "host") {
        write_field(b"Host", chosen.to.host.as_bytes(), &mut out);
    }
    match framing {
        Framing::Length(length) => {
            write_field(b"Content-Length", length.to_string().as_bytes(), &mut out);
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    if settings.pass_request_headers {
        for (name, value) in request.head.fields.iter() {
            let replaced = REPLACED
                .iter()
                .any(|own| own.as_bytes().eq_ignore_ascii_case(name));
            if !replaced && !std::str::from_utf8(name).is_ok_and(|name| sets(settings, name)) {
                write_field(name, value, &mut out);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn write_set_headers(settings: &Settings, request: &Request, out: &mut Vec<u8>) {
    for (name, value) in settings.set_headers.iter() {
        // Framing is the proxy's own business; a set value could only lie.
        let framing = ["content-length", "transfer-encoding"];
        if framing.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            continue;
        }
        let start = out.len();
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        let value_start = out.len();
        value.write(request, out);
        if out.len() == value_start {
            out.truncate(start);
            continue;
        }
        // A variable must not end its line.
        for byte in &mut out[value_start..] {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn sets(settings: &Settings, name: &str) -> bool {
    settings
        .set_headers
        .iter()
        .any(|(own, _)| own.eq_ignore_ascii_case(name))
}

fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The target: as the client sent it, or with the location's prefix replaced
/// by the path of `proxy_pass`.
fn write_target(request: &Request, chosen: &Chosen, out: &mut Vec<u8>) {
    let settings = &request.settings().proxy;
    if let Some(target) = &chosen.target {
        out.extend(
            target
                .iter()
                .map(|byte| if *byte <= b' ' { b'_' } else { *byte }),
        );
        return;
    }
    let pass = settings.pass.as_ref();
    match (
        pass.and_then(|pass| pass.path.as_deref()),
        &settings.location,
    ) {
        (Some(path), Some(prefix)) if request.path.starts_with(prefix) || !request.rewritten => {
            out.extend_from_slice(path.as_bytes());
            let rest = request.path.get(prefix.len()..).unwrap_or_default();
            write_path(request, rest, out);
        }
        _ if !request.rewritten => {
            out.extend_from_slice(&request.head.target);
            return;
        }
        _ => write_path(request, &request.path, out),
    }
    if !request.args.is_empty() {
        out.push(b'?');
        out.extend_from_slice(&request.args);
    }
}

fn write_path(request: &Request, path: &[u8], out: &mut Vec<u8>) {
    if request.quoted || request.rewritten {
        escape_path(path, out);
    } else {
        out.extend_from_slice(path);
    }
}

/// Whether a field of the upstream's answer stays between it and the proxy.
pub(crate) fn hides(settings: &Settings, name: &[u8]) -> bool {
    const HIDDEN: [&str; 12] = [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "date",
        "server",
        "x-pad",
        "x-accel-expires",
        "x-accel-redirect",
        "x-accel-limit-rate",
        "x-accel-buffering",
        "x-accel-charset",
    ];
    let is = |own: &str| own.as_bytes().eq_ignore_ascii_case(name);
    let about_the_connection = HIDDEN[..4].iter().any(|own| is(own));
    about_the_connection
        || settings.hide.iter().any(|own| is(own))
        || (HIDDEN[4..].iter().any(|own| is(own)) && !settings.show.iter().any(|own| is(own)))
}

/// `Location` as the client should see it; `None` leaves it alone.
pub(crate) fn rewrite_location(request: &Request, value: &[u8]) -> Option<Vec<u8>> {
    let settings = &request.settings().proxy;
    match &settings.redirect {
        Redirect::Off => None,
        Redirect::Pairs(pairs) => pairs.iter().find_map(|(from, to)| {
            let rest = value.strip_prefix(&from.evaluate(request)[..])?;
            Some([&to.evaluate(request), rest].concat())
        }),
        Redirect::Default => {
            let pass = settings.pass.as_ref()?;
            if !matches!(pass.target, PassTarget::Group(_)) {
                return None;
            }
            let rest = value
                .strip_prefix(pass.to.scheme.prefix().as_bytes())?
                .strip_prefix(pass.to.host.as_bytes())?;
            match &pass.path {
                Some(path) => {
                    let rest = rest.strip_prefix(path.as_bytes())?;
                    Some([settings.location.as_deref().unwrap_or(b"/"), rest].concat())
                }
                None => rest.starts_with(b"/").then(|| rest.to_vec()),
            }
        }
    }
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
        assert_eq!(ProxyTo::of(Scheme::Http, "a:80").host, "a");
        assert_eq!(ProxyTo::of(Scheme::Http, "a:81").host, "a:81");
        assert_eq!(ProxyTo::of(Scheme::Http, "127.0.0.1").port, "80");
        assert_eq!(ProxyTo::of(Scheme::Https, "a:443").host, "a");
        assert_eq!(ProxyTo::of(Scheme::Https, "a:80").host, "a:80");
    }

    #[test]
    fn framing_and_upstream_identity_stay_behind() {
        let settings = Settings::default();
        for name in [
            "Transfer-Encoding",
            "connection",
            "Server",
            "X-Accel-Redirect",
        ] {
            assert!(hides(&settings, name.as_bytes()), "{name}");
        }
        assert!(!hides(&settings, b"X-Foo"));
        let shown = Settings {
            show: Arc::new(["server".into()]),
            ..Settings::default()
        };
        assert!(!hides(&shown, b"Server"));
    }
}

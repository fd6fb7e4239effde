//! nginx's `ngx_http_upstream_module`: groups of servers.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) mod method;

use crate::conf::{Directive, Position, Problem, Word, units};
use crate::config::group::{Members, Named, Peer, PeerAddress, Upstream};
use crate::config::method::{Method, Ring};
use crate::config::resolver::Resolver;
use crate::config::spec::{BlockDraft, Contexts, Effect, Scope, Spec};
use crate::config::walk::walk_block;
use crate::config::zone::UpstreamZone;
use crate::directive::arguments;
use crate::modules::resolver;

/// An `upstream` block while it is read.
#[derive(Debug)]
pub(crate) struct UpstreamDraft {
    group: Upstream,
    /// Servers that are resolved at run time.
    names: Vec<Named>,
    /// How many `server` lines there are.
    lines: usize,
    /// `zone`.
    is_shared: bool,
    pub(crate) allowed: Allowed,
}

/// The parameters of `server` that the method allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) backup: bool,
}

/// The resolver and its time-out.
struct Asking {
    resolver: Option<Arc<Resolver>>,
    timeout: Duration,
}

impl Default for UpstreamDraft {
    fn default() -> Self {
        Self {
            group: Upstream::default(),
            names: Vec::new(),
            lines: 0,
            is_shared: false,
            allowed: Allowed { backup: true },
        }
    }
}

impl UpstreamDraft {
    fn build(self, name: &str, asking: &Asking) -> Upstream {
        let mut group = self.group;
        group.name = name.to_owned();
        if let Method::Consistent(_, ring) = &mut group.method {
            *ring = Ring::new(&group.peers);
        }
        if let (false, Some(resolver)) = (self.names.is_empty(), &asking.resolver) {
            group.identity = Some(Arc::default());
            let members = Members::new(self.names, resolver.clone(), asking.timeout, &group);
            group.members = Some(Arc::new(members));
        }
        group
    }

    /// Whether all servers are backups.
    fn has_backups_alone(&self) -> bool {
        let names = self.names.iter().map(Named::is_backup);
        let peers = self.group.peers.iter().map(|peer| peer.backup);
        let mut all = names.chain(peers).peekable();
        all.peek().is_some() && all.all(|backup| backup)
    }

    /// Checks what names that are resolved at run time need.
    fn check(&self, asking: &Asking, name: &str, at: &Position) -> Option<Problem> {
        if self.names.is_empty() {
            return None;
        }
        if !self.is_shared {
            let message = format!(
                "resolving names at run time requires upstream \"{name}\" in {at} to be in shared memory"
            );
            return Some(Problem::emerg(at, message).with_help(format!("add `zone {name} 64k;`")));
        }
        if asking.resolver.is_none() {
            let message =
                format!("no resolver defined to resolve names at run time in upstream \"{name}\"");
            let help =
                "add `resolver ADDRESS;` here or in http, with an address of /etc/resolv.conf";
            return Some(Problem::emerg(at, message).with_help(help));
        }
        None
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::new(
        "upstream",
        Contexts::HTTP,
        (1, 1),
        Effect::Block(open_upstream),
    )
    .about("A named group of servers for `proxy_pass`.")
    .repeats(),
    Spec::set("server", Contexts::UPSTREAM, (1, usize::MAX), add_peer)
        .about("A server of the group: `weight=`, `max_fails=`, `fail_timeout=`, `max_conns=`, `backup`, `down`; `resolve`: its name is resolved again and again; `service=`: by SRV records, with the port.")
        .repeats(),
    Spec::set(
        "keepalive",
        Contexts::UPSTREAM,
        (1, 2),
        |scope, directive| {
            let own = &mut scope.place.parts.get_mut::<UpstreamDraft>().group;
            let word = arguments::first(directive);
            own.keepalive = word.text.parse().map_err(|_| {
                let message = format!("invalid value \"{}\" in \"keepalive\" directive", word.text);
                Problem::emerg(&word.at, message)
            })?;
            own.keepalive_local = match directive.args.get(1) {
                None => false,
                Some(word) if word.text == "local" => true,
                Some(word) => return Err(arguments::unknown_parameter(word, &["local"])),
            };
            Ok(())
        },
    )
    .default("32 local")
    .about("Idle connections each worker keeps to the group; `local`: each location its own."),
    Spec::set(
        "keepalive_timeout",
        Contexts::UPSTREAM,
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            scope.place.parts.get_mut::<UpstreamDraft>().group.keepalive_timeout =
                arguments::time(directive, word)?;
            Ok(())
        },
    )
    .default("60s")
    .about("How long such a connection is kept."),
    Spec::set(
        "keepalive_requests",
        Contexts::UPSTREAM,
        (1, 1),
        |scope, directive| {
            scope
                .place
                .parts
                .get_mut::<UpstreamDraft>()
                .group
                .keepalive_requests = arguments::number(directive)? as u64;
            Ok(())
        },
    )
    .default("1000")
    .about("Most requests over such a connection."),
    Spec::set(
        "keepalive_time",
        Contexts::UPSTREAM,
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            scope.place.parts.get_mut::<UpstreamDraft>().group.keepalive_time =
                arguments::time(directive, word)?;
            Ok(())
        },
    )
    .default("1h")
    .about("Longest life of such a connection."),
    Spec::set("zone", Contexts::UPSTREAM, (1, 2), set_zone).about(
        "Checked; workers share the state of the servers with or without it.",
    ),
];

fn open_upstream(
    scope: &mut Scope<'_>,
    directive: &Directive,
    children: &[Directive],
) -> Result<(), Problem> {
    let name = &arguments::first(directive).text;
    let mut place = BlockDraft::default();
    let settings = &mut scope.settings.clone();
    walk_block(
        children,
        Contexts::UPSTREAM,
        settings,
        scope.draft,
        &mut place,
    );
    let has_servers = children.iter().any(|line| line.name.text == "server");
    if place
        .parts
        .get_mut::<UpstreamDraft>()
        .group
        .peers
        .is_empty()
        && !has_servers
    {
        return Err(Problem::emerg(
            &directive.end,
            "no servers are inside upstream",
        ));
    }
    let own = place.parts.take::<UpstreamDraft>();
    if own.has_backups_alone() {
        let message = format!("no servers in upstream \"{name}\"");
        return Err(Problem::emerg(&directive.end, message)
            .with_help("at least one server must not be a backup"));
    }
    if scope
        .draft
        .upstreams
        .iter()
        .any(|other| other.name.eq_ignore_ascii_case(name))
    {
        return Err(Problem::emerg(
            &directive.name.at,
            format!("duplicate upstream \"{name}\""),
        ));
    }
    let asking = &Asking {
        resolver: settings.of::<resolver::Settings>().resolver.clone(),
        timeout: settings.of::<resolver::Settings>().timeout,
    };
    let lacking = own.check(asking, name, &directive.end);
    scope.draft.problems.extend(lacking);
    let group = own.build(name, asking);
    scope.draft.upstreams.push(Arc::new(group));
    Ok(())
}

fn add_peer(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let own = &mut scope.place.parts.get_mut::<UpstreamDraft>();
    let mut like = Peer {
        server: word.text.as_str().into(),
        line: own.lines,
        ..Peer::at(PeerAddress::Unix(PathBuf::new()))
    };
    own.lines += 1;
    for option in &directive.args[1..] {
        set_option(&mut like, option, own.allowed)?;
    }
    let options = || directive.args[1..].iter();
    let is_asked_for = options().any(|word| word.text == "resolve");
    let service = options().find_map(|word| word.text.strip_prefix("service="));
    if let Some(service) = service {
        check_service(word, is_asked_for)?;
        let name = name_of_service(service, &word.text);
        own.names.push(Named::new(&name, None, like));
        return Ok(());
    }
    if is_asked_for && let Some((name, port)) = name_of(word)? {
        own.names.push(Named::new(name, Some(port), like));
        return Ok(());
    }
    let addresses = resolve(&word.text, 80, word)?;
    let peers = addresses.into_iter().map(|address| like.elsewhere(address));
    own.group.peers.extend(peers);
    Ok(())
}

/// Checks what `service=` requires.
fn check_service(word: &Word, is_asked_for: bool) -> Result<(), Problem> {
    let text = word.text.as_str();
    let (host, port) = super::listen::split_port(text);
    let lacks = match () {
        () if !is_asked_for => "requires \"resolve\" parameter",
        () if port.is_some() || text.starts_with("unix:") => "may not have port",
        () if text.starts_with('[') || host.parse::<IpAddr>().is_ok() => "requires domain name",
        () => return Ok(()),
    };
    let message = format!("service upstream \"{text}\" {lacks}");
    Err(Problem::emerg(&word.at, message))
}

/// The name of a service's SRV records (RFC 2782): for `http` it is `_http._tcp.HOST`; one with
/// dots is used as it is.
fn name_of_service(service: &str, host: &str) -> String {
    match service.contains('.') {
        true => format!("{service}.{host}"),
        false => format!("_{service}._tcp.{host}"),
    }
}

/// The name and the port of a server; `None` if it has a literal address.
fn name_of(word: &Word) -> Result<Option<(&str, u16)>, Problem> {
    let text = word.text.as_str();
    let (host, port) = super::listen::split_port(text);
    if text.starts_with("unix:") || text.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    if host.is_empty() {
        let message = format!("no host in upstream \"{text}\"");
        return Err(Problem::emerg(&word.at, message));
    }
    Ok(Some((host, port_of(port, 80, word)?)))
}

/// `zone NAME [SIZE]`.
fn set_zone(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    /// nginx's smallest zone, in bytes.
    const LEAST: u64 = 32 << 10;
    let name = arguments::first(directive);
    if name.text.is_empty() {
        return Err(Problem::emerg(&name.at, "invalid zone name \"\""));
    }
    let size = directive.args.get(1).map(|word| {
        match units::parse_size(&word.text) {
            Some(size) if size >= LEAST => return Ok(size),
            Some(_) => Err(format!("zone \"{}\" is too small", name.text)),
            None => Err(format!("invalid zone size \"{}\"", word.text)),
        }
        .map_err(|message| Problem::emerg(&word.at, message))
    });
    scope.place.parts.get_mut::<UpstreamDraft>().is_shared = true;
    scope.draft.upstream_zones.push(UpstreamZone {
        name: name.text.as_str().into(),
        size: size.transpose()?,
        at: directive.name.at.clone(),
    });
    Ok(())
}

/// Parameters of `server`.
pub(crate) const OPTIONS: &[&str] = &[
    "backup",
    "down",
    "drain",
    "fail_timeout=",
    "max_conns=",
    "max_fails=",
    "resolve",
    "route=",
    "service=",
    "slow_start=",
    "weight=",
];

fn set_option(peer: &mut Peer, option: &Word, allowed: Allowed) -> Result<(), Problem> {
    let (name, value) = option.text.split_once('=').unwrap_or((&option.text, ""));
    let number = || {
        let number = units::parse_number(value).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| arguments::invalid_parameter(option))
    };
    match name {
        "weight" => {
            peer.weight = number()?;
            if peer.weight == 0 {
                return Err(arguments::invalid_parameter(option));
            }
        }
        "max_fails" => peer.max_fails = number()?,
        "fail_timeout" => {
            let time = units::parse_time_s(value);
            peer.fail_timeout =
                Duration::from_secs(time.ok_or_else(|| arguments::invalid_parameter(option))?);
        }
        "backup" if !allowed.backup => {
            let message = "balancing method does not support parameter \"backup\"";
            return Err(Problem::emerg(&option.at, message));
        }
        "backup" => peer.backup = true,
        "down" => peer.down = true,
        "max_conns" => peer.max_conns = number()? as usize,
        "resolve" if option.text == "resolve" => {}
        "service" if option.text == "service=" => {
            return Err(Problem::emerg(&option.at, "service is empty"));
        }
        "service" if !value.is_empty() => {}
        "route" | "drain" => {
            let instead = "sessions are not tied to a server; use ip_hash or hash";
            return Err(arguments::unsupported_parameter(option, instead));
        }
        "slow_start" => {
            return Err(arguments::invalid_parameter(option)
                .with_help("only the commercial NGINX Plus knows it: remove the parameter"));
        }
        _ => return Err(arguments::unknown_parameter(option, OPTIONS)),
    }
    Ok(())
}

/// The port, or the default if none is given.
fn port_of(port: Option<&str>, default: u16, word: &Word) -> Result<u16, Problem> {
    let Some(port) = port else {
        return Ok(default);
    };
    let port = port.parse().ok().filter(|port| *port > 0);
    let invalid = || format!("invalid port in upstream \"{}\"", word.text);
    port.ok_or_else(|| Problem::emerg(&word.at, invalid()))
}

/// The addresses of `host[:port]` or `unix:path`.
pub(crate) fn resolve(
    text: &str,
    default_port: u16,
    word: &Word,
) -> Result<Vec<PeerAddress>, Problem> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.trim_end_matches(':').is_empty() {
            let message = format!("no path in the unix domain socket in upstream \"{text}\"");
            return Err(Problem::emerg(&word.at, message));
        }
        return Ok(vec![PeerAddress::Unix(PathBuf::from(
            path.trim_end_matches(':'),
        ))]);
    }
    let (host, port) = super::listen::split_port(text);
    let port = port_of(port, default_port, word)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<_> = (host, port)
        .to_socket_addrs()
        .map(|found| found.map(PeerAddress::Tcp).collect())
        .unwrap_or_default();
    if found.is_empty() {
        return Err(
            Problem::emerg(&word.at, format!("host not found in upstream \"{text}\""))
                .with_help("the name must resolve when the program starts"),
        );
    }
    Ok(found)
}

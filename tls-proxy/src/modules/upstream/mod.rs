//! nginx's `ngx_http_upstream_module`: groups of servers a request may go to.

use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) mod method;

use super::{Contexts, Effect, Scope, Spec};
use crate::conf::{Directive, Problem, Word, units};
use crate::config::build::walk_block;
use crate::config::group::{Address, Peer, Upstream, Zone};
use crate::config::method::{Method, Ring};
use crate::directive::arguments;

/// An `upstream` block while it is read.
#[derive(Debug)]
pub(crate) struct Draft {
    group: Upstream,
    pub(crate) allowed: Allowed,
}

/// What the method lets a `server` line say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) backup: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            group: Upstream::default(),
            allowed: Allowed { backup: true },
        }
    }
}

impl Draft {
    fn build(self, name: &str) -> Upstream {
        let mut group = self.group;
        group.name = name.to_owned();
        if let Method::Consistent(_, ring) = &mut group.method {
            *ring = Ring::new(&group.peers);
        }
        group
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
        .about("A server of the group: `weight=`, `max_fails=`, `fail_timeout=`, `backup`, `down`.")
        .repeats(),
    Spec::set(
        "keepalive",
        Contexts::UPSTREAM,
        (1, 2),
        |scope, directive| {
            let own = &mut scope.place.upstream.group;
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
            scope.place.upstream.group.keepalive_timeout = arguments::time(directive, word)?;
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
            scope.place.upstream.group.keepalive_requests = arguments::number(directive)? as u64;
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
            scope.place.upstream.group.keepalive_time = arguments::time(directive, word)?;
            Ok(())
        },
    )
    .default("1h")
    .about("Longest life of such a connection."),
    Spec::set("zone", Contexts::UPSTREAM, (1, 2), set_zone).about(
        "Checked; what is known of the servers is shared by all workers, with or without it.",
    ),
];

fn open_upstream(
    scope: &mut Scope<'_>,
    directive: &Directive,
    children: &[Directive],
) -> Result<(), Problem> {
    let name = &arguments::first(directive).text;
    let mut place = super::Place::default();
    let settings = &mut scope.settings.clone();
    walk_block(
        children,
        Contexts::UPSTREAM,
        settings,
        scope.draft,
        &mut place,
    );
    let has_servers = children.iter().any(|line| line.name.text == "server");
    if place.upstream.group.peers.is_empty() && !has_servers {
        return Err(Problem::emerg(
            &directive.end,
            "no servers are inside upstream",
        ));
    }
    let mut peers = place.upstream.group.peers.iter();
    if peers.len() > 0 && peers.all(|peer| peer.backup) {
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
    scope
        .draft
        .upstreams
        .push(Arc::new(place.upstream.build(name)));
    Ok(())
}

fn add_peer(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let addresses = resolve(&word.text, 80, word)?;
    for address in addresses {
        let mut peer = Peer::at(address);
        peer.server = word.text.as_str().into();
        for option in &directive.args[1..] {
            set_option(&mut peer, option, scope.place.upstream.allowed)?;
        }
        scope.place.upstream.group.peers.push(peer);
    }
    Ok(())
}

/// `zone NAME [SIZE]`.
fn set_zone(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    /// nginx's least size of a zone, in bytes.
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
    scope.draft.upstream_zones.push(Zone {
        name: name.text.as_str().into(),
        size: size.transpose()?,
        at: directive.name.at.clone(),
    });
    Ok(())
}

/// What `server` takes behind the address.
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
        "resolve" => {
            return Err(arguments::invalid_parameter(option)
                .with_help("names are resolved when the configuration is read; remove `resolve`"));
        }
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

/// The addresses of `host[:port]` or `unix:path`.
pub(crate) fn resolve(text: &str, default_port: u16, word: &Word) -> Result<Vec<Address>, Problem> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.trim_end_matches(':').is_empty() {
            let message = format!("no path in the unix domain socket in upstream \"{text}\"");
            return Err(Problem::emerg(&word.at, message));
        }
        return Ok(vec![Address::Unix(PathBuf::from(
            path.trim_end_matches(':'),
        ))]);
    }
    let (host, port) = super::listen::split_port(text);
    let port = match port {
        None => default_port,
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            Problem::emerg(&word.at, format!("invalid port in upstream \"{text}\""))
        })?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<_> = (host, port)
        .to_socket_addrs()
        .map(|found| found.map(Address::Tcp).collect())
        .unwrap_or_default();
    if found.is_empty() {
        return Err(
            Problem::emerg(&word.at, format!("host not found in upstream \"{text}\""))
                .with_help("the name must resolve when the program starts"),
        );
    }
    Ok(found)
}

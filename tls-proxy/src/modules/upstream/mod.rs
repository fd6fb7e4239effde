//! nginx's `ngx_http_upstream_module`: groups of servers.

use std::sync::Arc;
use std::time::Duration;

pub(crate) mod method;
pub(crate) mod server;

use self::server::add_peer;

use crate::conf::{Directive, Position, Problem, units};
use crate::config::group::{Members, Named, Upstream};
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
struct ResolveWith {
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
    fn build(self, name: &str, asking: &ResolveWith) -> Upstream {
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
    fn check(&self, asking: &ResolveWith, name: &str, at: &Position) -> Option<Problem> {
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
            own.keepalive = units::parse_integer(&word.text).ok_or_else(|| {
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
    let asking = &ResolveWith {
        resolver: settings.of::<resolver::Settings>().resolver.clone(),
        timeout: settings.of::<resolver::Settings>().timeout,
    };
    let lacking = own.check(asking, name, &directive.end);
    scope.draft.problems.extend(lacking);
    let group = own.build(name, asking);
    scope.draft.upstreams.push(Arc::new(group));
    Ok(())
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

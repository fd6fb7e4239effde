//! `resolver` of nginx's core module: name servers for names that are resolved at run time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::listen;
use crate::conf::hosts::Hosts;
use crate::conf::{Directive, Problem, Word, did_you_mean, units};
use crate::config::resolver::{NameServers, Resolver};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, MANY, Scope, Spec};
use crate::directive::arguments;
use crate::directive::differs;

/// The longest `valid=` that is used: a year.
const MAX_VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `resolver`.
    pub resolver: Option<Arc<Resolver>>,
    /// `resolver_timeout`.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            resolver: None,
            timeout: Duration::from_secs(30),
        }
    }
}

const PLACES: Contexts = Contexts::ALL.or(Contexts::UPSTREAM);

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("resolver", PLACES, (1, MANY), |scope, directive| {
        let resolver = parse(scope, directive)?;
        scope.settings.of_mut::<Settings>().resolver = Some(Arc::new(resolver));
        Ok(())
    })
    .differs(differs::always, "if one name server fails, the next one is queried", "more-than-one-answer-from-name-servers")
    .about("Name servers for names in `proxy_pass` that come from variables, and for `server … resolve`; `valid=`, `ipv4=off`, `ipv6=off`."),
    Spec::set("resolver_timeout", PLACES, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().timeout = arguments::time(directive, word)?;
        Ok(())
    })
    .default("30s")
    .about("Time for a name to be resolved; then 502."),
];

fn parse(scope: &mut Scope<'_>, directive: &Directive) -> Result<Resolver, Problem> {
    let mut own = Resolver {
        servers: NameServers::default(),
        valid: None,
        ipv4: true,
        ipv6: true,
    };
    let mut servers = Vec::new();
    for word in &directive.args {
        let invalid = || {
            let message = format!("invalid parameter: {}", word.text);
            Problem::emerg(&word.at, message)
        };
        match word.text.split_once('=') {
            Some(("valid", time)) => {
                let time = units::parse_time_s(time).ok_or_else(invalid)?;
                own.valid = Some(Duration::from_secs(time).min(MAX_VALID));
            }
            Some(("ipv4", value)) => own.ipv4 = units::parse_flag(value).ok_or_else(invalid)?,
            Some(("ipv6", value)) => own.ipv6 = units::parse_flag(value).ok_or_else(invalid)?,
            _ => servers.extend(parse_server(word, &mut scope.draft.hosts)?),
        }
    }
    if !own.ipv4 && !own.ipv6 {
        let message = "\"ipv4\" and \"ipv6\" cannot both be \"off\"";
        return Err(Problem::emerg(&directive.name.at, message));
    }
    if servers.is_empty() {
        return Err(Problem::emerg(
            &directive.name.at,
            "no name servers defined",
        ));
    }
    own.servers = NameServers::new(servers);
    Ok(own)
}

fn parse_server(word: &Word, hosts: &mut Hosts) -> Result<Vec<SocketAddr>, Problem> {
    const PORT: u16 = 53;
    let text = word.text.as_str();
    let (host, port) = listen::split_port(text);
    let port = match port {
        None => PORT,
        Some(port) => units::parse_integer(port)
            .filter(|port| *port > 0)
            .ok_or_else(|| {
                Problem::emerg(&word.at, format!("invalid port in resolver \"{text}\""))
            })?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = hosts.find(host, port);
    if found.is_empty() {
        let message = format!("host not found in resolver \"{text}\"");
        let known = ["valid=", "ipv4=", "ipv6="];
        let name = text.split_once('=').map(|(name, _)| name);
        return Err(Problem::emerg(&word.at, message)
            .with_help("write the address of a name server, as in /etc/resolv.conf")
            .with_help_if(name.and_then(|name| did_you_mean(name, known))));
    }
    Ok(found)
}

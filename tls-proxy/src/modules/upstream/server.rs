//! `server` of an `upstream` block: its address or name, and its parameters.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Allowed, UpstreamDraft};
use crate::conf::hosts::Hosts;
use crate::conf::{Directive, Problem, Word, units};
use crate::config::group::{Named, Peer, PeerAddress};
use crate::config::spec::Scope;
use crate::directive::arguments;
use crate::modules::listen;

/// `server ADDRESS [PARAMETER...]`.
pub(super) fn add_peer(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
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
    let addresses = resolve(&word.text, 80, word, &mut scope.draft.hosts)?;
    let peers = addresses.into_iter().map(|address| like.elsewhere(address));
    own.group.peers.extend(peers);
    Ok(())
}

/// Checks what `service=` requires.
fn check_service(word: &Word, is_asked_for: bool) -> Result<(), Problem> {
    let text = word.text.as_str();
    let (host, port) = listen::split_port(text);
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
    let (host, port) = listen::split_port(text);
    if text.starts_with("unix:") || text.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    if host.is_empty() {
        let message = format!("no host in upstream \"{text}\"");
        return Err(Problem::emerg(&word.at, message));
    }
    Ok(Some((host, port_of(port, 80, word)?)))
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
    let port = units::parse_integer(port).filter(|port| *port > 0);
    let invalid = || format!("invalid port in upstream \"{}\"", word.text);
    port.ok_or_else(|| Problem::emerg(&word.at, invalid()))
}

/// The addresses of `host[:port]` or `unix:path`.
pub(crate) fn resolve(
    text: &str,
    default_port: u16,
    word: &Word,
    hosts: &mut Hosts,
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
    let (host, port) = listen::split_port(text);
    let port = port_of(port, default_port, word)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = hosts.find(host, port);
    if found.is_empty() {
        return Err(
            Problem::emerg(&word.at, format!("host not found in upstream \"{text}\""))
                .with_help("the name must resolve when the program starts"),
        );
    }
    Ok(found.into_iter().map(PeerAddress::Tcp).collect())
}

//! `listen`: the addresses that a server listens on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;

use crate::conf::hosts::Hosts;
use crate::conf::{Directive, Problem, Word, units};
use crate::config::listen::{Endpoint, Listen};
use crate::config::spec::{Contexts, Scope, Spec};
use crate::directive::arguments;

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::set(
    "listen",
    Contexts::SERVER,
    (1, usize::MAX),
    |scope, directive| {
        for listen in parse(directive, scope)? {
            let listens = &mut scope.place.server.listens;
            if listens.iter().any(|other| other.address == listen.address) {
                let message = format!("a duplicate listen {}", arguments::first(directive).text);
                return Err(Problem::emerg(&directive.name.at, message));
            }
            listens.push(listen);
        }
        Ok(())
    },
)
    .differs(has_idle_option, "`deferred`, `fastopen`, `multipath`, `rcvbuf`, `sndbuf` and `so_keepalive` have no effect", "directives-without-effect")
.default("*:80")
.about("Address and port (`443-445`: each of these), or `unix:PATH`, and `ssl`, `http2`, `default_server`, `proxy_protocol`, `backlog=`.")
.repeats()];

fn parse(directive: &Directive, scope: &mut Scope<'_>) -> Result<Vec<Listen>, Problem> {
    let word = arguments::first(directive);
    let addresses = parse_address(word, &mut scope.draft.hosts)?;
    let mut listen = Listen::new(addresses[0].clone(), word.at.clone());
    for option in &directive.args[1..] {
        set_option(&mut listen, option, scope)?;
    }
    Ok(addresses
        .into_iter()
        .map(|address| Listen {
            address,
            ..listen.clone()
        })
        .collect())
}

/// Whether the line has an option that is only checked.
fn has_idle_option(directive: &Directive) -> bool {
    let idle = [
        "deferred",
        "fastopen",
        "multipath",
        "rcvbuf",
        "sndbuf",
        "so_keepalive",
    ];
    let name = |word: &Word| word.text.split('=').next().map(str::to_owned);
    let mut names = directive.args.iter().skip(1).filter_map(name);
    names.any(|name| idle.contains(&name.as_str()))
}

/// Parameters of `listen`.
pub(crate) const OPTIONS: &[&str] = &[
    "accept_filter=",
    "backlog=",
    "bind",
    "default",
    "default_server",
    "deferred",
    "fastopen=",
    "http2",
    "ipv6only=",
    "multipath",
    "proxy_protocol",
    "quic",
    "rcvbuf=",
    "reuseport",
    "sndbuf=",
    "so_keepalive=",
    "ssl",
];

fn set_option(listen: &mut Listen, option: &Word, scope: &mut Scope<'_>) -> Result<(), Problem> {
    let (name, value) = match option.text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option.text.as_str(), None),
    };
    match (name, value) {
        ("default_server" | "default", None) => listen.default_server = true,
        ("ssl", None) => listen.ssl = true,
        ("http2", None) => {
            listen.http2 = true;
            let message = "the \"listen ... http2\" directive is deprecated, \
                           use the \"http2\" directive instead";
            scope
                .draft
                .problems
                .push(Problem::warn(&option.at, message));
        }
        ("proxy_protocol", None) => listen.proxy_protocol = true,
        ("quic", None) => {
            return Err(Problem::emerg(&option.at, "HTTP/3 is not implemented")
                .with_help("remove the line; HTTP/2 is served by `http2 on;`"));
        }
        ("accept_filter", Some(_)) => {
            let message = format!(
                "accept filters \"{}\" are not supported on this platform, ignored",
                option.text
            );
            scope
                .draft
                .problems
                .push(Problem::warn(&option.at, message));
        }
        _ => {
            set_socket_option(listen, option, name, value)?;
            listen.makes_socket = true;
        }
    }
    Ok(())
}

/// Socket options. All but `backlog=` and `ipv6only=` are left to the kernel's defaults; no client
/// sees a difference.
fn set_socket_option(
    listen: &mut Listen,
    option: &Word,
    name: &str,
    value: Option<&str>,
) -> Result<(), Problem> {
    let valid = match (name, value) {
        ("reuseport" | "bind" | "deferred" | "multipath", None) => true,
        ("backlog", Some(value)) => {
            let backlog = units::parse_number(value).filter(|backlog| *backlog > 0);
            listen.backlog = backlog.and_then(|backlog| u32::try_from(backlog).ok());
            listen.backlog.is_some()
        }
        ("rcvbuf" | "sndbuf", Some(value)) => units::parse_size(value).is_some(),
        ("fastopen", Some(value)) => units::parse_number(value).is_some(),
        ("so_keepalive", Some(value)) if !is_keepalive(value) => {
            let message = format!("invalid so_keepalive value: \"{value}\"");
            return Err(Problem::emerg(&option.at, message)
                .with_help("write on, off, or IDLE:INTERVAL:COUNT such as 30m::10"));
        }
        ("so_keepalive", Some(_)) => true,
        ("ipv6only", Some(value @ ("on" | "off"))) => {
            listen.ipv6_only = value == "on";
            true
        }
        _ => return Err(arguments::unknown_parameter(option, OPTIONS)),
    };
    if valid {
        return Ok(());
    }
    let message = format!("invalid {name} \"{}\"", option.text);
    Err(Problem::emerg(&option.at, message))
}

/// `on`, `off`, or `idle:interval:count`, of which some may be empty.
fn is_keepalive(value: &str) -> bool {
    if matches!(value, "on" | "off") {
        return true;
    }
    let is_time = |text: &str| text.is_empty() || units::parse_time_s(text).is_some();
    let is_number = |text: &str| text.is_empty() || units::parse_number(text).is_some();
    match value.split(':').collect::<Vec<_>>()[..] {
        [idle, interval, count] => {
            value != "::" && is_time(idle) && is_time(interval) && is_number(count)
        }
        _ => false,
    }
}

/// `443`, `127.0.0.1`, `*:443`, `[::]:443`, `name:443`, each with a range of ports
/// as `443-445`.
fn parse_address(word: &Word, hosts: &mut Hosts) -> Result<Vec<Endpoint>, Problem> {
    let text = word.text.as_str();
    if let Some(path) = text.strip_prefix("unix:") {
        // What `sockaddr_un` holds (unix(7)), with the zero at its end.
        let message = match path.len() {
            0 => "no path in the unix domain socket in",
            108.. => "too long path in the unix domain socket in",
            _ => return Ok(vec![Endpoint::Unix(Path::new(path).into())]),
        };
        let message = format!("{message} \"{text}\" of the \"listen\" directive");
        return Err(Problem::emerg(&word.at, message));
    }
    Ok(parse_tcp(text, word, hosts)?
        .into_iter()
        .map(Endpoint::Tcp)
        .collect())
}

fn parse_tcp(text: &str, word: &Word, hosts: &mut Hosts) -> Result<Vec<SocketAddr>, Problem> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (host, port) = if is_number(first) && is_number(last) {
        ("*", Some(text))
    } else {
        split_port(text)
    };
    let ports = parse_ports(port.unwrap_or("80"), word)?;
    let mut found = Vec::new();
    for port in ports {
        found.extend(find_addresses(host, port, word, hosts)?);
    }
    Ok(found)
}

/// The addresses of a host.
fn find_addresses(
    host: &str,
    port: u16,
    word: &Word,
    hosts: &mut Hosts,
) -> Result<Vec<SocketAddr>, Problem> {
    let text = word.text.as_str();
    if host == "*" {
        return Ok(vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)]);
    }
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address: Ipv6Addr = inner.parse().map_err(|_| {
            Problem::emerg(
                &word.at,
                format!("invalid IPv6 address in \"{text}\" of the \"listen\" directive"),
            )
        })?;
        return Ok(vec![SocketAddr::new(address.into(), port)]);
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let found = hosts.find(host, port);
    if found.is_empty() {
        let message = format!("host not found in \"{text}\" of the \"listen\" directive");
        return Err(Problem::emerg(&word.at, message));
    }
    Ok(found)
}

/// Splits `host:port`, leaving the colons of `[::1]` alone.
pub(crate) fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    }
}

/// One port or several, as `443` or `443-445`.
fn parse_ports(text: &str, word: &Word) -> Result<RangeInclusive<u16>, Problem> {
    let refuse = |what: &str| {
        let message = format!("{what} in \"{}\" of the \"listen\" directive", word.text);
        Problem::emerg(&word.at, message)
    };
    let parse = |text: &str| {
        let port = units::parse_integer(text).filter(|port| *port > 0);
        port.ok_or_else(|| refuse("invalid port"))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ports = parse(first)?..=parse(last)?;
    if ports.is_empty() {
        return Err(refuse("invalid port range"));
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Option<String> {
        let word = Word {
            text: text.into(),
            quoted: false,
            at: crate::conf::Position::in_a_test(),
        };
        let found = parse_address(&word, &mut Hosts::default()).ok()?;
        let found: Vec<_> = found.iter().map(Endpoint::to_string).collect();
        Some(found.join(" "))
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        for (text, expected) in [
            ("443", "0.0.0.0:443"),
            ("*:443", "0.0.0.0:443"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("[::]:443", "[::]:443"),
            ("[::1]", "[::1]:80"),
            ("unix:/a", "unix:/a"),
            ("443-445", "0.0.0.0:443 0.0.0.0:444 0.0.0.0:445"),
            ("*:443-443", "0.0.0.0:443"),
            ("127.0.0.1:1-2", "127.0.0.1:1 127.0.0.1:2"),
            ("[::1]:1-2", "[::1]:1 [::1]:2"),
        ] {
            assert_eq!(addresses(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "0",
            "70000",
            "127.0.0.1:x",
            "[::1:80",
            "unix:",
            "no such name:1",
            "443-x",
            "445-443",
            "0-443",
            "127.0.0.1:443-70000",
        ] {
            assert_eq!(addresses(text), None, "{text}");
        }
    }
}

//! nginx's `ngx_http_geo_module`: a variable whose value follows an address.

use std::net::IpAddr;

use super::cidr::Network;
use super::map::variable_name;
use super::{Contexts, Effect, Scope, Spec};
use crate::conf::{Directive, Problem};
use crate::server::request::Request;
use crate::vars::registry::Computed;
use crate::vars::template::Template;

/// A table from networks to values.
#[derive(Debug, Default)]
struct Geo {
    /// None is the client's own address.
    source: Option<Template>,
    default: Box<str>,
    /// The longest prefix first.
    networks: Vec<(Network, Box<str>)>,
    ranges: Vec<(IpAddr, IpAddr, Box<str>)>,
    by_range: bool,
}

pub(crate) const DIRECTIVES: &[Spec] =
    &[
        Spec::new("geo", Contexts::HTTP, (1, 2), Effect::Block(define))
            .about("Makes a variable from an address: networks, or with `ranges` from-to pairs.")
            .repeats(),
    ];

fn define(
    scope: &mut Scope<'_>,
    directive: &Directive,
    lines: &[Directive],
) -> Result<(), Problem> {
    let (source, made) = match &directive.args[..] {
        [source, made] => (
            Some(Template::compile(source, &mut scope.draft.variables)?),
            made,
        ),
        _ => (None, &directive.args[0]),
    };
    let name = variable_name(made)?;
    let mut geo = Geo {
        source,
        ..Geo::default()
    };
    for line in lines {
        geo.add(line)?;
    }
    geo.networks
        .sort_by_key(|(network, _)| std::cmp::Reverse(network.bits()));
    scope.draft.variables.define(name, &made.at, Box::new(geo))
}

impl Geo {
    fn add(&mut self, line: &Directive) -> Result<(), Problem> {
        let key = line.name.text.as_str();
        let fail = |message: String| Err(Problem::emerg(&line.name.at, message));
        let value = match &line.args[..] {
            [] if key == "ranges" => {
                self.by_range = true;
                return Ok(());
            }
            [value] => value.text.as_str(),
            _ => return fail("invalid number of the geo parameters".to_owned()),
        };
        match key {
            "default" => self.default = value.into(),
            "delete" => self
                .networks
                .retain(|(own, _)| Network::parse(value).is_none_or(|(it, _)| it != *own)),
            "proxy" | "proxy_recursive" | "include" => {
                return Err(Problem::emerg(
                    &line.name.at,
                    format!("\"{key}\" is not supported in \"geo\""),
                )
                .with_help("use set_real_ip_from, and $remote_addr is the client's address"));
            }
            text if self.by_range => match parse_range(text) {
                Some((from, to)) => self.ranges.push((from, to, value.into())),
                None => return fail(format!("invalid range \"{text}\"")),
            },
            text => match Network::parse(text) {
                Some((network, _)) => self.networks.push((network, value.into())),
                None => return fail(format!("invalid network \"{text}\"")),
            },
        }
        Ok(())
    }

    fn find(&self, address: IpAddr) -> &str {
        let range = self.ranges.iter().find(|(from, to, _)| {
            from.is_ipv4() == address.is_ipv4() && (*from..=*to).contains(&address)
        });
        if let Some((_, _, value)) = range {
            return value;
        }
        let network = self
            .networks
            .iter()
            .find(|(network, _)| network.has(address));
        network.map_or(&self.default, |(_, value)| value)
    }
}

fn parse_range(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (from, to) = text.split_once('-')?;
    let (from, to): (IpAddr, IpAddr) = (from.parse().ok()?, to.parse().ok()?);
    (from.is_ipv4() == to.is_ipv4() && from <= to).then_some((from, to))
}

impl Computed for Geo {
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        let address = match &self.source {
            None => Some(request.peer.ip().to_canonical()),
            Some(source) => {
                let text = source.evaluate(request);
                std::str::from_utf8(&text)
                    .ok()
                    .and_then(|text| text.parse().ok())
            }
        };
        // What is no address is in none of the networks (nginx: 255.255.255.255).
        let address = address.unwrap_or(IpAddr::from([255; 4]));
        out.extend_from_slice(self.find(address).as_bytes());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_network_wins() {
        let mut geo = Geo {
            default: "d".into(),
            ..Geo::default()
        };
        for (text, value) in [("10.0.0.0/8", "a"), ("10.1.0.0/16", "b"), ("::1", "c")] {
            geo.networks
                .push((Network::parse(text).expect("valid").0, value.into()));
        }
        geo.networks
            .sort_by_key(|(network, _)| std::cmp::Reverse(network.bits()));
        for (text, value) in [
            ("10.1.2.3", "b"),
            ("10.2.2.3", "a"),
            ("::1", "c"),
            ("1.1.1.1", "d"),
        ] {
            assert_eq!(geo.find(text.parse().expect("valid")), value, "{text}");
        }
    }

    #[test]
    fn ranges_include_both_ends() {
        let (from, to) = parse_range("10.0.0.1-10.0.0.3").expect("valid");
        let geo = Geo {
            ranges: vec![(from, to, "r".into())],
            ..Geo::default()
        };
        for (text, value) in [
            ("10.0.0.0", ""),
            ("10.0.0.1", "r"),
            ("10.0.0.3", "r"),
            ("10.0.0.4", ""),
        ] {
            assert_eq!(geo.find(text.parse().expect("valid")), value, "{text}");
        }
        assert!(parse_range("2.0.0.0-1.0.0.0").is_none());
    }
}

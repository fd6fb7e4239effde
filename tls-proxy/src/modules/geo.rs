//! nginx's `ngx_http_geo_module`: a variable whose value depends on an address.

use std::net::IpAddr;

use super::forwarded_for::Trust;
use super::geo_networks::Networks;
use super::geo_ranges::{self, Ranges};
use super::map::variable_name;
use crate::conf::{Directive, Problem};
use crate::config::spec::{Contexts, Effect, Scope, Spec};
use crate::modules::variables::{self, Computed};
use crate::net::cidr::{Network, parse_address};
use crate::request::Request;
use crate::variables::template::Template;

/// A table from networks to values.
#[derive(Debug, Default)]
struct Geo {
    /// `None` is the client's own address.
    source: Option<Template>,
    default: Box<str>,
    networks: Networks,
    ranges: Ranges,
    by_range: bool,
    /// It has a value already.
    begun: bool,
    /// Proxies whose `X-Forwarded-For` is trusted.
    proxies: Vec<Network>,
    recursive: bool,
    volatile: bool,
}

pub(crate) const DIRECTIVES: &[Spec] =
    &[
        Spec::new("geo", Contexts::HTTP, (1, 2), Effect::Block(define))
            .about("Defines a variable by an address: networks, or with `ranges` from-to pairs.")
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
    if let [source, _] = &directive.args[..] {
        variable_name(source)?;
    }
    let name = variable_name(made)?;
    let mut geo = Geo {
        source,
        ..Geo::default()
    };
    for line in lines {
        geo.add(line, &mut scope.draft.problems)?;
    }
    variables::define(&mut scope.draft.variables, name, &made.at, geo)
}

impl Geo {
    fn add(&mut self, line: &Directive, problems: &mut Vec<Problem>) -> Result<(), Problem> {
        let key = line.name.text.as_str();
        let fail = |message: String| Problem::emerg(&line.name.at, message);
        let value = match &line.args[..] {
            [] => return self.switch(key).map_err(|message| fail(message.to_owned())),
            [value] => value.text.as_str(),
            _ => return Err(fail("invalid number of the geo parameters".to_owned())),
        };
        let mut warn = |message: String| problems.push(Problem::warn(&line.name.at, message));
        if key == "proxy" {
            let network = read_network(value, &mut warn).map_err(fail)?;
            self.proxies.push(network);
            return Ok(());
        }
        self.begun = true;
        match key {
            "default" => self.default = value.into(),
            "delete" if self.by_range => match self.ranges.delete(value) {
                Ok(true) => {}
                Ok(false) => warn(format!("no address range \"{value}\" to delete")),
                Err(_) => return Err(fail(format!("invalid range \"{value}\""))),
            },
            "delete" => {
                let network = read_network(value, &mut warn).map_err(fail)?;
                self.networks.delete(network);
            }
            text if self.by_range => self.ranges.add(text, value).map_err(|error| {
                fail(match error {
                    geo_ranges::Error::Invalid => format!("invalid range \"{text}\""),
                    geo_ranges::Error::Overlaps => format!("range \"{text}\" overlaps another one"),
                })
            })?,
            text => {
                let network = read_network(text, &mut warn).map_err(fail)?;
                self.networks.add(network, value);
            }
        }
        Ok(())
    }

    /// A line of one word.
    fn switch(&mut self, word: &str) -> Result<(), &'static str> {
        match word {
            "ranges" if self.begun && !self.by_range => {
                return Err(
                    "the \"ranges\" directive must be the first directive inside \"geo\" block",
                );
            }
            "ranges" => self.by_range = true,
            "proxy_recursive" => self.recursive = true,
            "volatile" => self.volatile = true,
            _ => return Err("invalid number of the geo parameters"),
        }
        Ok(())
    }

    fn find(&self, address: IpAddr) -> &str {
        let found = match self.by_range {
            true => self.ranges.find(address),
            false => self.networks.find(address),
        };
        found.unwrap_or(&self.default)
    }

    /// The address that is looked up.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let own = match &self.source {
            None if request.is_unix() => return None,
            None => request.peer,
            Some(source) => {
                let text = source.evaluate(request);
                let address = std::str::from_utf8(&text).ok().and_then(parse_address)?;
                (address, 0).into()
            }
        };
        let trust = Trust {
            proxies: &self.proxies,
            recursive: self.recursive,
        };
        let behind = match &self.proxies[..] {
            [] => None,
            _ => trust.forwarded(own, &request.head.fields),
        };
        Some(behind.unwrap_or(own).ip().to_canonical())
    }
}

/// Parses a network; the error is nginx's message.
fn read_network(text: &str, warn: &mut impl FnMut(String)) -> Result<Network, String> {
    let (network, low) =
        Network::parse(text).ok_or_else(|| format!("invalid network \"{text}\""))?;
    if low {
        warn(format!("low address bits of {text} are meaningless"));
    }
    Ok(network)
}

impl Computed for Geo {
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        // An invalid address is looked up as nginx does (255.255.255.255).
        let address = self.address(request).unwrap_or(IpAddr::from([255; 4]));
        out.extend_from_slice(self.find(address).as_bytes());
        true
    }

    fn is_volatile(&self) -> bool {
        self.volatile
    }
}

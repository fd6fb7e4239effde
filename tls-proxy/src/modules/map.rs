//! nginx's `ngx_http_map_module`: a variable whose value depends on another.

use crate::conf::{Directive, Problem, Word};
use crate::config::host_key::HostKey;
use crate::config::host_table::HostTable;
use crate::config::spec::{Contexts, Effect, Scope, Spec};
use crate::directive::value::Value;
use crate::modules::variables::{self, Computed};
use crate::request::Request;
use crate::variables::matcher::Matcher;
use crate::variables::registry::Registry;
use crate::variables::template::Template;

/// A table from strings and patterns to values.
#[derive(Debug, Default)]
pub(crate) struct Map {
    source: Template,
    /// Names with wildcards only with `hostnames`.
    values: HostTable<Template>,
    patterns: Vec<(Matcher, Template)>,
    default: Option<Template>,
    /// Keys from here on may have wildcards.
    hostnames: bool,
    /// Computed anew each time it is used.
    volatile: bool,
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::new("map", Contexts::HTTP, (2, 2), Effect::Block(define))
        .about("Defines a variable by another one's value.")
        .repeats(),
    Spec::new(
        "map_hash_max_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
    Spec::new(
        "map_hash_bucket_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
];

fn define(
    scope: &mut Scope<'_>,
    directive: &Directive,
    children: &[Directive],
) -> Result<(), Problem> {
    let variables = &mut scope.draft.variables;
    let source = Template::compile(&directive.args[0], variables)?;
    let name = variable_name(&directive.args[1])?;
    let mut map = Map {
        source,
        ..Map::default()
    };
    for line in children {
        map.add(line, variables)?;
    }
    variables::define(variables, name, &directive.args[1].at, map)
}

/// The name behind the `$` of a variable that is defined.
pub(crate) fn variable_name(word: &Word) -> Result<&str, Problem> {
    let name = word.text.strip_prefix('$').filter(|name| !name.is_empty());
    name.ok_or_else(|| Problem::emerg(&word.at, format!("invalid variable name \"{}\"", word.text)))
}

impl Map {
    fn add(&mut self, line: &Directive, variables: &mut Registry) -> Result<(), Problem> {
        let key = line.name.text.as_str();
        match (key, &line.args[..]) {
            ("hostnames", []) => {
                self.hostnames = true;
                Ok(())
            }
            ("volatile", []) => {
                self.volatile = true;
                Ok(())
            }
            (_, [value]) => {
                let value = Template::compile(value, variables)?;
                self.add_pair(&line.name, value, variables)
            }
            _ => Err(Problem::emerg(
                &line.name.at,
                "invalid number of the map parameters",
            )),
        }
    }

    fn add_pair(
        &mut self,
        word: &Word,
        value: Template,
        variables: &mut Registry,
    ) -> Result<(), Problem> {
        let key = word.text.as_str();
        if key == "default" {
            return match self.default.replace(value) {
                None => Ok(()),
                Some(_) => Err(Problem::emerg(&word.at, "duplicate default map parameter")),
            };
        }
        if let Some(pattern) = key.strip_prefix('~') {
            let (pattern, caseless) = pattern
                .strip_prefix('*')
                .map_or((pattern, false), |rest| (rest, true));
            let matcher = Matcher::compile(pattern, caseless, word, variables)?;
            self.patterns.push((matcher, value));
            return Ok(());
        }
        let key = key.strip_prefix('\\').unwrap_or(key);
        let lower = key.to_ascii_lowercase();
        let name = match self.hostnames {
            true => HostKey::parse(&lower),
            false => Some(HostKey::Exact(&lower)),
        };
        let name = name.ok_or_else(|| {
            let message = format!("invalid hostname or wildcard \"{}\"", word.text);
            Problem::emerg(&word.at, message)
        })?;
        if self.values.add(name, value) {
            Ok(())
        } else {
            let message = format!("conflicting parameter \"{key}\"");
            Err(Problem::emerg(&word.at, message))
        }
    }

    /// The value for a key; `None` is the default.
    fn find(&self, request: &Request, key: &[u8]) -> Option<&Template> {
        let lower = key.to_ascii_lowercase();
        // A host's final dot is ignored.
        let host = lower
            .strip_suffix(b".")
            .filter(|_| self.hostnames)
            .unwrap_or(&lower);
        if let Some(value) = self.values.get(host) {
            return Some(value);
        }
        for (matcher, value) in self.patterns.iter().filter(|_| !host.is_empty()) {
            match matcher.search(request, &key[..host.len()]) {
                Ok(true) => return Some(value),
                Ok(false) => {}
                Err(error) => {
                    if error.is_of_limits() {
                        request.patterns.give_up();
                    }
                    // nginx takes the default, too.
                    return None;
                }
            }
        }
        None
    }
}

impl Computed for Map {
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        let key = self.source.evaluate(request);
        if let Some(value) = self.find(request, &key).or(self.default.as_ref()) {
            value.write(request, out);
        }
        true
    }

    fn is_volatile(&self) -> bool {
        self.volatile
    }
}

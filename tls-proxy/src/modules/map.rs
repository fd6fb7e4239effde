//! nginx's `ngx_http_map_module`: a variable whose value follows another.

use std::collections::HashMap;

use regex::bytes::Regex;

use super::{Contexts, Effect, Scope, Spec};
use crate::conf::{Directive, Problem, Word};
use crate::server::request::Request;
use crate::vars::registry::{Computed, Registry};
use crate::vars::template::Template;

/// A table from strings and patterns to values.
#[derive(Debug, Default)]
pub(crate) struct Map {
    source: Template,
    exact: HashMap<Box<[u8]>, Template>,
    /// `*.example.com` and `example.*`, with `hostnames`.
    suffixes: Vec<(Box<[u8]>, Template)>,
    prefixes: Vec<(Box<[u8]>, Template)>,
    patterns: Vec<(Regex, Template)>,
    default: Template,
    hostnames: bool,
    has_default: bool,
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::new("map", Contexts::HTTP, (2, 2), Effect::Block(define))
        .about("Makes a variable from another one's value.")
        .repeats(),
    Spec::new(
        "map_hash_max_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    ),
    Spec::new(
        "map_hash_bucket_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    ),
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
    map.hostnames = children.iter().any(|line| line.name.text == "hostnames");
    for line in children {
        map.add(line, variables)?;
    }
    map.suffixes
        .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
    map.prefixes
        .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    variables.define(name, &directive.args[1].at, Box::new(map))
}

/// The name behind the `$` of a variable that is made.
pub(crate) fn variable_name(word: &Word) -> Result<&str, Problem> {
    let name = word.text.strip_prefix('$').filter(|name| !name.is_empty());
    name.ok_or_else(|| Problem::emerg(&word.at, format!("invalid variable name \"{}\"", word.text)))
}

impl Map {
    fn add(&mut self, line: &Directive, variables: &mut Registry) -> Result<(), Problem> {
        let key = line.name.text.as_str();
        if line.args.is_empty() && matches!(key, "hostnames" | "volatile") {
            return Ok(());
        }
        let [value] = &line.args[..] else {
            return Err(Problem::emerg(
                &line.name.at,
                "invalid number of the map parameters",
            ));
        };
        let value = Template::compile(value, variables)?;
        if key == "default" {
            if std::mem::replace(&mut self.has_default, true) {
                return Err(Problem::emerg(
                    &line.name.at,
                    "duplicate default map parameter",
                ));
            }
            self.default = value;
        } else if let Some(pattern) = key.strip_prefix('~') {
            let regex = compile_regex(pattern, false, &line.name)?;
            self.patterns.push((regex, value));
        } else {
            self.add_text(key.strip_prefix('\\').unwrap_or(key), value, &line.name)?;
        }
        Ok(())
    }

    fn add_text(&mut self, key: &str, value: Template, word: &Word) -> Result<(), Problem> {
        let lower: Box<[u8]> = key.to_ascii_lowercase().into_bytes().into();
        if self.hostnames {
            if lower.starts_with(b"*.") {
                self.suffixes.push((lower[1..].into(), value));
                return Ok(());
            }
            if lower.ends_with(b".*") {
                self.prefixes.push((lower[..lower.len() - 1].into(), value));
                return Ok(());
            }
            if lower.starts_with(b".") {
                self.suffixes.push((lower.clone(), value.clone()));
                self.exact.insert(lower[1..].into(), value);
                return Ok(());
            }
        }
        if self.exact.insert(lower, value).is_some() {
            return Err(Problem::emerg(
                &word.at,
                format!("conflicting parameter \"{key}\""),
            ));
        }
        Ok(())
    }
}

impl Computed for Map {
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        let key = self.source.evaluate(request);
        let lower = key.to_ascii_lowercase();
        let by_host = || {
            let suffix = self
                .suffixes
                .iter()
                .find(|(suffix, _)| lower.ends_with(suffix));
            suffix.or_else(|| {
                self.prefixes
                    .iter()
                    .find(|(prefix, _)| lower.starts_with(prefix))
            })
        };
        let by_pattern = || self.patterns.iter().find(|(regex, _)| regex.is_match(&key));
        let value = self
            .exact
            .get(&lower[..])
            .or_else(|| by_host().map(|(_, value)| value))
            .or_else(|| by_pattern().map(|(_, value)| value))
            .unwrap_or(&self.default);
        value.write(request, out);
        true
    }
}

/// Compiles a regular expression of the configuration. `~*` at its head, or
/// `caseless`, ignores case.
pub(crate) fn compile_regex(text: &str, caseless: bool, word: &Word) -> Result<Regex, Problem> {
    let (text, starred) = text
        .strip_prefix('*')
        .map_or((text, false), |rest| (rest, true));
    regex::bytes::RegexBuilder::new(text)
        .case_insensitive(caseless || starred)
        .unicode(false)
        .size_limit(1 << 20)
        .build()
        .map_err(|source| {
            let message = format!("invalid regular expression \"{text}\"");
            let first_line = source
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned();
            Problem::emerg(&word.at, message).with_help(format!(
                "{first_line}; look-around and back-references are not supported"
            ))
        })
}

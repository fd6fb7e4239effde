//! nginx's `ngx_http_referer_module`: checks `Referer`.

use std::sync::Arc;

use crate::conf::{Directive, Position, Problem, Word};
use crate::config::host_key::HostKey;
use crate::config::host_table::HostTable;
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, MANY, Scope, Spec};
use crate::directive::value::Value;
use crate::modules::variables::{Evaluate, write};
use crate::pattern::Pattern;
use crate::request::Request;

/// Longest host of a referer that is compared, in bytes (nginx's own bound).
const LONGEST_HOST: usize = 256;

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(Option<Arc<Referers>>);

/// `valid_referers`.
#[derive(Clone, Debug, Default)]
struct Referers {
    none: bool,
    blocked: bool,
    server_names: bool,
    /// For each name, a prefix of the path.
    paths: HostTable<Box<[u8]>>,
    patterns: Vec<Pattern>,
}

impl ModuleSettings for Settings {
    /// nginx reports no line for it.
    fn check(&self, _: Option<&Position>) -> Option<Problem> {
        let own = self.0.as_ref()?;
        let pointless = (own.none || own.blocked) && own.paths.is_empty() && !own.server_names;
        pointless.then(|| {
            Problem::emerg_nowhere(
                "the \"none\" or \"blocked\" referers are specified in the \"valid_referers\" \
                 directive without any valid referer",
            )
        })
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "valid_referers",
        Contexts::SERVER.or(Contexts::LOCATION),
        (1, MANY),
        set,
    )
    .about("`none`, `blocked`, `server_names`, names with `*` and a path, `~` patterns; any other referer makes `$invalid_referer` 1.")
    .repeats(),
    Spec::new(
        "referer_hash_max_size",
        Contexts::SERVER.or(Contexts::LOCATION),
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
    Spec::new(
        "referer_hash_bucket_size",
        Contexts::SERVER.or(Contexts::LOCATION),
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
];

fn set(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let own = &mut scope.settings.of_mut::<Settings>().0;
    let mut referers = match own.take() {
        Some(before) if !scope.first_here => Arc::unwrap_or_clone(before),
        _ => Referers::default(),
    };
    for word in &directive.args {
        referers.add(word)?;
    }
    *own = Some(Arc::new(referers));
    Ok(())
}

impl Referers {
    fn add(&mut self, word: &Word) -> Result<(), Problem> {
        match word.text.as_str() {
            "" => return Err(Problem::emerg(&word.at, "invalid referer \"\"")),
            "none" => self.none = true,
            "blocked" => self.blocked = true,
            "server_names" => self.server_names = true,
            text => match text.strip_prefix('~') {
                Some(pattern) => self.patterns.push(Pattern::compile(pattern, true, word)?),
                None => self.add_name(text, word)?,
            },
        }
        Ok(())
    }

    fn add_name(&mut self, text: &str, word: &Word) -> Result<(), Problem> {
        let (name, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let lower = name.to_ascii_lowercase();
        let key = HostKey::parse(&lower).ok_or_else(|| {
            let message = format!("invalid hostname or wildcard \"{name}\"");
            Problem::emerg(&word.at, message)
        })?;
        if self.paths.add(key, path.as_bytes().into()) {
            Ok(())
        } else {
            let message = format!("conflicting parameter \"{name}\"");
            Err(Problem::emerg(&word.at, message))
        }
    }

    fn allow(&self, request: &Request) -> bool {
        if self.paths.is_empty() && self.patterns.is_empty() && !self.server_names {
            return true;
        }
        let Some(value) = request.head.fields.first(b"referer") else {
            return self.none;
        };
        let Some(rest) = behind_scheme(value) else {
            return self.blocked;
        };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b':'));
        let (host, rest_of_it) = rest.split_at(end.unwrap_or(rest.len()));
        if host.len() > LONGEST_HOST {
            return false;
        }
        let host = host.to_ascii_lowercase();
        if let Some(path) = self.paths.get(&host) {
            let slash = memchr::memchr(b'/', rest_of_it).unwrap_or(rest_of_it.len());
            return rest_of_it[slash..].starts_with(path);
        }
        let matches = |pattern: &Pattern| {
            let found = pattern.is_match_within(rest, &request.patterns);
            found.unwrap_or(false)
        };
        (self.server_names && names_server(request, &host)) || self.patterns.iter().any(matches)
    }
}

/// Host and path of a referer that is a URL.
fn behind_scheme(value: &[u8]) -> Option<&[u8]> {
    const SHORTEST: usize = "http://i.ru".len();
    if value.len() < SHORTEST {
        return None;
    }
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find_map(|scheme| {
            let (own, rest) = value.split_at_checked(scheme.len())?;
            own.eq_ignore_ascii_case(scheme).then_some(rest)
        })
}

/// Whether this is a name of the request's server.
fn names_server(request: &Request, host: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(host) else {
        return false;
    };
    // The groups of the request's own host stay.
    request.listen().names.find_without_captures(text) == Some(request.server)
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[("invalid_referer", |request, out| {
    let referers = &request.settings().of::<Settings>().0;
    let valid = referers.as_ref().is_none_or(|own| own.allow(request));
    write(Some(if valid { b"" } else { b"1" }), out)
})];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_have_a_host() {
        assert_eq!(
            behind_scheme(b"HTTPS://a.example/x"),
            Some(&b"a.example/x"[..])
        );
        assert_eq!(behind_scheme(b"http://a"), None);
        assert_eq!(behind_scheme(b"ftp://a.example/"), None);
    }
}

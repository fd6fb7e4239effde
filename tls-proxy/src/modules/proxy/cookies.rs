//! `proxy_cookie_domain`, `proxy_cookie_path`, `proxy_cookie_flags`: rewrites an upstream's cookies
//! (RFC 6265, section 4.1).

use std::borrow::Cow;
use std::sync::Arc;

use super::redirect::RewritePattern;
use crate::conf::{Directive, Problem, Word};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Scope, Spec};
use crate::directive::arguments;
use crate::request::Request;
use crate::variables::template::Template;

/// What the directives keep for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    domains: Option<Arc<[CookieRule]>>,
    paths: Option<Arc<[CookieRule]>>,
    flags: Option<Arc<[Flags]>>,
}

/// A line of `proxy_cookie_domain` or `proxy_cookie_path`.
#[derive(Clone, Debug)]
struct CookieRule {
    found: RewritePattern,
    to: Template,
}

/// A line of `proxy_cookie_flags`.
#[derive(Clone, Debug)]
struct Flags {
    name: RewritePattern,
    flags: Box<[Template]>,
}

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "proxy_cookie_domain",
        Contexts::ALL,
        (1, 2),
        |scope, directive| {
            let rule = |scope: &mut Scope<'_>, from: &Word, to: &Word| {
                let own = Word {
                    text: undotted(&from.text).into(),
                    ..from.clone()
                };
                let to = Word {
                    text: undotted(&to.text).into(),
                    ..to.clone()
                };
                parse_rule(scope, &own, &to, true)
            };
            let before = scope.settings.of_mut::<Settings>().domains.take();
            scope.settings.of_mut::<Settings>().domains = add(scope, directive, before, rule)?;
            Ok(())
        },
    )
    .default("off")
    .about("Replaces the `Domain` of an upstream's cookies.")
    .repeats(),
    Spec::set(
        "proxy_cookie_path",
        Contexts::ALL,
        (1, 2),
        |scope, directive| {
            let before = scope.settings.of_mut::<Settings>().paths.take();
            let rule =
                |scope: &mut Scope<'_>, from: &Word, to: &Word| parse_rule(scope, from, to, false);
            scope.settings.of_mut::<Settings>().paths = add(scope, directive, before, rule)?;
            Ok(())
        },
    )
    .default("off")
    .about("Replaces the beginning of the `Path` of an upstream's cookies.")
    .repeats(),
    Spec::set("proxy_cookie_flags", Contexts::ALL, (1, 4), set_flags)
        .default("off")
        .about("Sets or removes `Secure`, `HttpOnly` and `SameSite` of an upstream's cookies.")
        .repeats(),
];

fn undotted(text: &str) -> &str {
    text.strip_prefix('.').unwrap_or(text)
}

fn parse_rule(
    scope: &mut Scope<'_>,
    from: &Word,
    to: &Word,
    caseless: bool,
) -> Result<CookieRule, Problem> {
    let variables = &mut scope.draft.variables;
    let found = RewritePattern::parse(from, caseless, variables)?;
    let to = Template::compile(to, variables)?;
    Ok(CookieRule { found, to })
}

type ParseRule = fn(&mut Scope<'_>, &Word, &Word) -> Result<CookieRule, Problem>;

/// The lines so far and this one; `None` is `off`.
fn add(
    scope: &mut Scope<'_>,
    directive: &Directive,
    before: Option<Arc<[CookieRule]>>,
    rule: ParseRule,
) -> Result<Option<Arc<[CookieRule]>>, Problem> {
    let before = match before {
        _ if scope.first_here => Vec::new(),
        Some(rules) => rules.to_vec(),
        None => return Err(arguments::duplicate(directive)),
    };
    match &directive.args[..] {
        [from, to] => {
            let rule = rule(scope, from, to)?;
            Ok(Some(before.into_iter().chain([rule]).collect()))
        }
        [word] if word.text == "off" && scope.first_here => Ok(None),
        [word] if word.text == "off" => Err(arguments::duplicate(directive)),
        _ => Err(arguments::invalid_parameter(arguments::first(directive))),
    }
}

fn set_flags(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let before = match scope.settings.of_mut::<Settings>().flags.take() {
        _ if scope.first_here => Vec::new(),
        Some(flags) => flags.to_vec(),
        None => return Err(arguments::duplicate(directive)),
    };
    let variables = &mut scope.draft.variables;
    let flags = match &directive.args[..] {
        [word] if word.text == "off" && scope.first_here => None,
        [word] if word.text == "off" => return Err(arguments::duplicate(directive)),
        [word] => return Err(arguments::invalid_parameter(word)),
        [name, flags @ ..] => {
            let name = RewritePattern::parse(name, true, variables)?;
            let flags = flags.iter().map(|word| Template::compile(word, variables));
            let line = Flags {
                name,
                flags: flags.collect::<Result<_, _>>()?,
            };
            Some(before.into_iter().chain([line]).collect())
        }
        [] => None,
    };
    scope.settings.of_mut::<Settings>().flags = flags;
    Ok(())
}

/// Most parts of a cookie that are looked at; what follows them is passed on as it is. RFC 6265 knows
/// six attributes.
const MOST_PARTS: usize = 64;

/// One attribute of a cookie, or its `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute<'a> {
    name: &'a [u8],
    value: Option<Cow<'a, [u8]>>,
    quoted: bool,
}

impl<'a> Attribute<'a> {
    fn named(name: &'a [u8], value: Option<&'a [u8]>) -> Self {
        Self {
            name,
            value: value.map(Cow::Borrowed),
            quoted: false,
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// `Set-Cookie` as the client should see it; `None` leaves it alone.
pub(crate) fn rewrite(request: &Request, value: &[u8]) -> Option<Vec<u8>> {
    let config = request.config.clone();
    let settings = config.location(request.location).settings.of::<Settings>();
    if settings.domains.is_none() && settings.paths.is_none() && settings.flags.is_none() {
        return None;
    }
    let mut parts = parse(value);
    parts.first()?.value.as_ref()?;
    let mut changed = false;
    for part in &mut parts[1..] {
        let Some(value) = &mut part.value else {
            continue;
        };
        let new = if part.name.eq_ignore_ascii_case(b"domain") {
            replace_domain(settings.domains.as_deref(), request, value)
        } else if part.name.eq_ignore_ascii_case(b"path") {
            let mut rules = settings.paths.iter().flat_map(|rules| rules.iter());
            rules.find_map(|rule| rule.found.replace(&rule.to, request, value))
        } else {
            None
        };
        if let Some(new) = new {
            *value = new.into();
            changed = true;
        }
    }
    changed |= change_flags(settings.flags.as_deref(), request, &mut parts);
    changed.then(|| join(&parts))
}

/// Domains are compared whole, in any case and without a leading dot.
fn replace_domain(
    rules: Option<&[CookieRule]>,
    request: &Request,
    value: &[u8],
) -> Option<Vec<u8>> {
    let mut rules = rules?.iter();
    let bare = value.strip_prefix(b".").unwrap_or(value);
    rules.find_map(|rule| match &rule.found {
        RewritePattern::Prefix(from) => {
            from.evaluate(request).eq_ignore_ascii_case(bare).then(|| {
                let dot = &value[..value.len() - bare.len()];
                [dot, &rule.to.evaluate(request)].concat()
            })
        }
        RewritePattern::Pattern(_) => rule.found.replace(&rule.to, request, value),
    })
}

fn change_flags(
    rules: Option<&[Flags]>,
    request: &Request,
    parts: &mut Vec<Attribute<'_>>,
) -> bool {
    let (Some(rules), Some(cookie)) = (rules, parts.first()) else {
        return false;
    };
    let found = rules.iter().find(|rule| match &rule.name {
        RewritePattern::Prefix(name) => name.evaluate(request).eq_ignore_ascii_case(cookie.name),
        RewritePattern::Pattern(matcher) => matcher.matches(request, cookie.name).unwrap_or(false),
    });
    let Some(found) = found else { return false };
    let wanted = found.flags.iter().map(|flag| flag.evaluate(request));
    for flag in wanted {
        // An unknown flag is ignored, as in nginx.
        set_flag(parts, &flag.to_ascii_lowercase());
    }
    true
}

/// Sets or removes one flag; `false` for an unknown one.
fn set_flag(parts: &mut Vec<Attribute<'_>>, flag: &[u8]) -> bool {
    let (name, value): (&'static [u8], Option<&'static [u8]>) = match flag {
        b"secure" => (b"Secure", None),
        b"httponly" => (b"HttpOnly", None),
        b"samesite=strict" => (b"SameSite", Some(b"Strict")),
        b"samesite=lax" => (b"SameSite", Some(b"Lax")),
        b"samesite=none" => (b"SameSite", Some(b"None")),
        b"nosecure" | b"nohttponly" | b"nosamesite" => {
            let mut index = 0;
            parts.retain(|part| {
                index += 1;
                index == 1 || !part.is(&flag[2..])
            });
            return true;
        }
        _ => return false,
    };
    let mut own = parts.iter_mut().skip(1);
    match own.find(|part| part.is(name)) {
        Some(part) => {
            if value.is_some() {
                part.value = value.map(Cow::Borrowed);
            }
        }
        None => parts.push(Attribute::named(name, value)),
    }
    true
}

fn parse(cookie: &[u8]) -> Vec<Attribute<'_>> {
    let parts = cookie.splitn(MOST_PARTS + 1, |byte| *byte == b';');
    parts
        .enumerate()
        .map(|(index, part)| {
            let equals = memchr::memchr(b'=', part).filter(|_| index < MOST_PARTS);
            let Some(equals) = equals else {
                return Attribute::named(part.trim_ascii(), None);
            };
            let value = part[equals + 1..].trim_ascii();
            let inner = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            Attribute {
                quoted: inner.is_some(),
                ..Attribute::named(part[..equals].trim_ascii(), Some(inner.unwrap_or(value)))
            }
        })
        .collect()
}

fn join(parts: &[Attribute<'_>]) -> Vec<u8> {
    let length = |part: &Attribute<'_>| {
        let value = part.value.as_ref().map_or(0, |value| value.len());
        part.name.len() + value + b"; =\"\"".len()
    };
    let mut out = Vec::with_capacity(parts.iter().map(length).sum());
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(part.name);
        let Some(value) = &part.value else { continue };
        out.push(b'=');
        let quote: &[u8] = if part.quoted { b"\"" } else { b"" };
        out.extend_from_slice(quote);
        out.extend_from_slice(value);
        out.extend_from_slice(quote);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flagged(cookie: &str, flags: &[&str]) -> String {
        let mut parts = parse(cookie.as_bytes());
        for flag in flags {
            assert!(set_flag(&mut parts, flag.as_bytes()), "{flag}");
        }
        String::from_utf8(join(&parts)).expect("text")
    }

    #[test]
    fn a_cookie_is_taken_apart_and_put_together() {
        for (before, after) in [
            ("a=1;Path=/x ;  Secure", "a=1; Path=/x; Secure"),
            ("a=\"b c\"; x = y", "a=\"b c\"; x=y"),
            ("a=; ;b", "a=; ; b"),
        ] {
            assert_eq!(flagged(before, &[]), after);
        }
    }

    #[test]
    fn flags_are_set_once_and_taken_away() {
        assert_eq!(
            flagged("a=1; secure", &["secure", "httponly", "samesite=lax"]),
            "a=1; secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            flagged("a=1; SameSite=None", &["samesite=strict"]),
            "a=1; SameSite=Strict"
        );
        assert_eq!(
            flagged("secure=1; Secure; HTTPONLY", &["nosecure", "nohttponly"]),
            "secure=1"
        );
        assert!(!set_flag(&mut Vec::new(), b"other"));
    }

    #[test]
    fn many_attributes_cost_no_more_than_some() {
        let many = format!("a=1{}Path=/;  Secure", ";".repeat(100_000));
        assert!(parse(many.as_bytes()).len() <= MOST_PARTS + 1);
        let rest = &many["a=1".len() + MOST_PARTS..];
        let expected = format!("a=1{}; {rest}; HttpOnly", "; ".repeat(MOST_PARTS - 1));
        assert_eq!(flagged(&many, &["httponly"]), expected);
    }
}

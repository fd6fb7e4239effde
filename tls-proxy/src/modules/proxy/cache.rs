//! `proxy_cache_*` and `proxy_store`: there is no cache. Directives that only adjust one are
//! checked; those that would enable it are rejected.

use crate::conf::{Directive, Problem, units};
use crate::config::spec::{Contexts, Effect, MANY, Scope, Spec};
use crate::directive::arguments;
use crate::directive::value::{self, Value};
use crate::variables::template::Template;

const ALL: Contexts = Contexts::ALL;
const NO_CACHE: &str = "there is no cache; remove the line";
const IDLE: &str = "Checked; without effect, as in nginx where no cache is turned on.";

const fn idle(
    name: &'static str,
    arguments: (usize, usize),
    check: fn(&mut Scope<'_>, &Directive) -> Result<(), Problem>,
) -> Spec {
    Spec::set(name, ALL, arguments, check).about(IDLE)
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::new(
        "proxy_cache_path",
        Contexts::HTTP,
        (2, MANY),
        Effect::Refused(NO_CACHE),
    ),
    Spec::set("proxy_cache", ALL, (1, 1), only_off)
        .default("off")
        .about("`off` alone: there is no cache."),
    Spec::set("proxy_store", ALL, (1, 1), only_off)
        .default("off")
        .about("`off` alone: nothing is stored."),
    idle("proxy_store_access", (1, 3), |_, directive| {
        one_of(directive, |word| {
            word.split_once(':').is_some_and(|(who, what)| {
                matches!(who, "user" | "group" | "all") && matches!(what, "r" | "w" | "rw")
            })
        })
    }),
    idle("proxy_cache_bypass", (1, MANY), templates).repeats(),
    idle("proxy_no_cache", (1, MANY), templates).repeats(),
    idle("proxy_cache_key", (1, 1), templates),
    idle("proxy_cache_valid", (1, MANY), |_, directive| {
        value::check_valid(directive)
    })
    .repeats(),
    idle("proxy_cache_min_uses", (1, 1), |_, directive| {
        let word = arguments::first(directive);
        let invalid = || {
            let message = "\"proxy_cache_min_uses\" directive invalid number";
            Problem::emerg(&word.at, message)
        };
        units::parse_number(&word.text)
            .map(drop)
            .ok_or_else(invalid)
    }),
    idle("proxy_cache_methods", (1, MANY), |_, directive| {
        Value::EachOf(&["GET", "HEAD", "POST"]).check(directive)
    })
    .repeats(),
    idle("proxy_cache_use_stale", (1, MANY), |_, directive| {
        const KINDS: &[&str] = &[
            "error",
            "timeout",
            "invalid_header",
            "updating",
            "off",
            "http_500",
            "http_502",
            "http_503",
            "http_504",
            "http_403",
            "http_404",
            "http_429",
        ];
        Value::EachOf(KINDS).check(directive)
    })
    .repeats(),
    idle("proxy_cache_lock", (1, 1), flag),
    idle("proxy_cache_revalidate", (1, 1), flag),
    idle("proxy_cache_background_update", (1, 1), flag),
    idle("proxy_cache_convert_head", (1, 1), flag),
    idle("proxy_cache_lock_age", (1, 1), time),
    idle("proxy_cache_lock_timeout", (1, 1), time),
    idle("proxy_cache_max_range_offset", (1, 1), |_, directive| {
        arguments::offset(directive).map(drop)
    }),
];

fn only_off(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    templates(scope, directive)?;
    if word.text == "off" {
        return Ok(());
    }
    Err(arguments::unsupported(directive, NO_CACHE))
}

fn templates(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let variables = &mut scope.draft.variables;
    let mut words = directive.args.iter();
    words.try_for_each(|word| Template::compile(word, variables).map(drop))
}

fn one_of(directive: &Directive, known: fn(&str) -> bool) -> Result<(), Problem> {
    match directive.args.iter().find(|word| !known(&word.text)) {
        None => Ok(()),
        Some(word) => {
            let message = format!("invalid value \"{}\"", word.text);
            Err(Problem::emerg(&word.at, message))
        }
    }
}

fn flag(_: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    arguments::flag(directive).map(drop)
}

fn time(_: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    arguments::time(directive, arguments::first(directive)).map(drop)
}

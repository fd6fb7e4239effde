//! The part of `ngx_http_ssl_module` about resuming sessions; see `tls/sessions.rs` and
//! `tls/tickets.rs`.

use super::ssl::add_file;
use crate::admission::table_size::TableSizes;
use crate::conf::{Directive, Problem, did_you_mean, units};
use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::directive::differs;
use crate::modules::ssl;
use crate::tls::settings::{Cache, File};

const HTTP_SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);
/// Memory for a session without a client's certificates, bytes.
const SESSION: usize = 300;
/// nginx's size of a built-in cache, sessions.
const BUILT_IN: usize = 20_480;
/// Least size of a shared cache: eight pages.
const LEAST: u64 = 8 * 4096;

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "ssl_session_tickets",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<ssl::Settings>().session.tickets = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("on")
    .about("Sessions are resumed by tickets (RFC 5077, RFC 8446)."),
    Spec::set(
        "ssl_session_ticket_key",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            let file = File::parse(directive, scope.draft);
            let own = &mut scope.settings.of_mut::<ssl::Settings>().session.ticket_keys;
            add_file(own, file, scope.first_here);
            Ok(())
        },
    )
    .about("Keys of tickets, 48 or 80 bytes; the first encrypts. Without it a random one is used.")
    .repeats(),
    Spec::set(
        "ssl_session_cache",
        HTTP_SERVER,
        (1, 2),
        |scope, directive| {
            let sizes = scope.draft.parts.get_mut::<TableSizes>();
            let cache = parse_cache(directive, sizes)?;
            scope.settings.of_mut::<ssl::Settings>().session.cache = cache;
            Ok(())
        },
    )
    .differs(
        |it| differs::first(it) == "none",
        "it gives no session id",
        "values-that-other-tls-libraries-know",
    )
    .default("none")
    .about("Sessions of clients without tickets are kept in memory, shared by the workers.")
    .repeats(),
    Spec::set(
        "ssl_session_timeout",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            let time = arguments::seconds(directive, arguments::first(directive))?;
            scope.settings.of_mut::<ssl::Settings>().session.timeout = time;
            Ok(())
        },
    )
    .default("5m")
    .about("How long a session can be resumed."),
];

fn parse_cache(directive: &Directive, sizes: &mut TableSizes) -> Result<Option<Cache>, Problem> {
    let mut cache = None;
    for word in &directive.args {
        let text = word.text.as_str();
        let kind = text.split(':').next().unwrap_or_default();
        let invalid = || {
            Problem::emerg(&word.at, format!("invalid session cache \"{text}\""))
                .with_help("write off, none, builtin or shared:NAME:SIZE, as shared:tls:1m")
                .with_help_if(did_you_mean(kind, ["off", "none", "builtin", "shared"]))
        };
        match text.split(':').collect::<Vec<_>>()[..] {
            ["off" | "none"] => cache = None,
            ["builtin"] => cache = cache.or_else(|| Some(built_in(BUILT_IN))),
            ["builtin", size] => {
                let size = units::parse_integer(size).ok_or_else(invalid)?;
                cache = cache.or_else(|| Some(built_in(size)));
            }
            ["shared", name, size] if !name.is_empty() => {
                let size = units::parse_size(size).ok_or_else(invalid)?;
                if size < LEAST {
                    let message = format!("session cache \"{text}\" is too small");
                    return Err(Problem::emerg(&word.at, message)
                        .with_help("32k is the least; 1m holds about 3500 sessions"));
                }
                cache = Some((name, size));
            }
            _ => return Err(invalid()),
        }
    }
    Ok(cache.map(|(name, size)| Cache {
        name: name.into(),
        size: sizes.named(name, size),
    }))
}

/// Name and size of a cache that is not shared; no configuration can write its name.
fn built_in(sessions: usize) -> (&'static str, u64) {
    (":", sessions.saturating_mul(SESSION) as u64)
}

//! nginx's `ngx_http_v2_module` (HTTP/2, RFC 9113).

use crate::conf::{Directive, Problem};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, Scope, Spec};
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value;
use crate::directive::value::Value;

/// What the module keeps for each server.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `http2`.
    pub on: bool,
    /// `http2_max_concurrent_streams`.
    pub max_concurrent_streams: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: false,
            max_concurrent_streams: 128,
        }
    }
}

const HTTP_SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("http2", HTTP_SERVER, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().on = arguments::flag(directive)?;
        Ok(())
    })
    .differs(
        differs::on,
        "a request that breaks the rules of HTTP/2 is reset and gets no 400",
        "malformed-http2-requests",
    )
    .default("off")
    .about("Serves HTTP/2: by ALPN over TLS, with prior knowledge in clear text."),
    Spec::set(
        "http2_max_concurrent_streams",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            let count = arguments::number(directive)?;
            scope.settings.of_mut::<Settings>().max_concurrent_streams =
                u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
    )
    .default("128")
    .about("Most streams of one connection at once."),
    Spec::new(
        "http2_chunk_size",
        Contexts::ALL,
        (1, 1),
        Effect::Accepted("frames are as large as the peer allows"),
    )
    .differs(differs::always, "", "parts-of-http2-that-are-the-librarys")
    .takes(Value::Checked(check_chunk_size)),
    Spec::new(
        "http2_body_preread_size",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted("the stream's window bounds what is read ahead"),
    )
    .differs(differs::always, "", "parts-of-http2-that-are-the-librarys")
    .takes(Value::Checked(check_preread_size)),
    Spec::new(
        "http2_recv_buffer_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("memory follows the frames"),
    )
    .takes(Value::Checked(check_recv_buffer_size)),
    Spec::new(
        "http2_pool_size",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted("memory follows the frames"),
    )
    .takes(Value::Checked(value::check_pool_size)),
    Spec::new(
        "http2_streams_index_size",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Checked(check_index_size)),
    obsolete("http2_idle_timeout", HTTP_SERVER),
    obsolete("http2_max_field_size", HTTP_SERVER),
    obsolete("http2_max_header_size", HTTP_SERVER),
    obsolete("http2_max_requests", HTTP_SERVER),
    obsolete("http2_recv_timeout", HTTP_SERVER),
    obsolete("http2_max_concurrent_pushes", HTTP_SERVER),
    obsolete("http2_push", Contexts::ALL),
    obsolete("http2_push_preload", Contexts::ALL),
];

/// An obsolete directive: nginx itself warns of each one.
const fn obsolete(name: &'static str, contexts: Contexts) -> Spec {
    Spec::set(name, contexts, (1, 1), warn_of_obsolete)
        .about("Obsolete in nginx, too: the general limits hold for HTTP/2, and nothing is pushed.")
        .repeats()
}

fn warn_of_obsolete(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let name = directive.name.text.as_str();
    let instead = match name {
        "http2_idle_timeout" => Some("keepalive_timeout"),
        "http2_max_field_size" | "http2_max_header_size" => Some("large_client_header_buffers"),
        "http2_max_requests" => Some("keepalive_requests"),
        "http2_recv_timeout" => Some("client_header_timeout"),
        _ => None,
    };
    let instead = instead.map_or("ignored".to_owned(), |other| {
        format!("use the \"{other}\" directive instead")
    });
    let message = format!("the \"{name}\" directive is obsolete, {instead}");
    let problem = Problem::warn(&directive.name.at, message);
    scope.draft.problems.push(problem);
    Ok(())
}

fn check_chunk_size(directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    match arguments::size(directive, word)? {
        0 => Err(Problem::emerg(
            &word.at,
            "the http2 chunk size cannot be zero",
        )),
        _ => Ok(()),
    }
}

fn check_preread_size(directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    match arguments::size(directive, word)? {
        0x8000_0000.. => Err(Problem::emerg(
            &word.at,
            "the maximum body preread buffer size is 2147483647",
        )),
        _ => Ok(()),
    }
}

fn check_recv_buffer_size(directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    match arguments::size(directive, word)? {
        ..=16 => {
            let message = "\"http2_recv_buffer_size\" directive value is too small";
            Err(Problem::emerg(&word.at, message).with_help("write a size such as 256k"))
        }
        _ => Ok(()),
    }
}

fn check_index_size(directive: &Directive) -> Result<(), Problem> {
    if arguments::number(directive)?.is_power_of_two() {
        return Ok(());
    }
    let message = "\"http2_streams_index_size\" directive must be a power of two";
    Err(Problem::emerg(&arguments::first(directive).at, message))
}

//! nginx's `ngx_http_core_module`: servers, locations, limits and time-outs.

use super::blocks::{open_location, open_server};
use super::error_page::add_error_page;
use crate::conf::Problem;
use crate::config::core::Lingering;
use crate::config::names::ServerName;
use crate::config::spec::{Contexts, Effect, MANY, Spec};
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value;
use crate::directive::value::Value;

/// A directive that is one flag, size or time.
macro_rules! plain {
    ($name:literal, $contexts:expr, $field:ident $(. $inner:ident)?, flag, $default:literal, $about:literal) => {
        Spec::set($name, $contexts, (1, 1), |scope, directive| {
            scope.settings.core.$field $(. $inner)? = arguments::flag(directive)?;
            Ok(())
        })
        .default($default)
        .about($about)
    };
    ($name:literal, $contexts:expr, $field:ident, $reader:ident, $default:literal, $about:literal) => {
        Spec::set($name, $contexts, (1, 1), |scope, directive| {
            scope.settings.core.$field =
                arguments::$reader(directive, arguments::first(directive))?;
            Ok(())
        })
        .default($default)
        .about($about)
    };
}

const HTTP_SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);
const ALL: Contexts = Contexts::ALL;
const ALL_IF: Contexts = ALL.or(Contexts::IF);
const KERNEL: &str = "the kernel's own setting serves";

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::new("server", Contexts::HTTP, (0, 0), Effect::Block(open_server))
        .about("One virtual server.")
        .repeats(),
    Spec::new(
        "location",
        Contexts::SERVER.or(Contexts::LOCATION),
        (1, 2),
        Effect::Block(open_location),
    )
    .about("Settings for the paths that match.")
    .repeats(),
    Spec::set(
        "server_name",
        Contexts::SERVER,
        (1, MANY),
        |scope, directive| {
            for word in &directive.args {
                let draft = &mut *scope.draft;
                let name = ServerName::parse(word, &draft.paths.hostname, &mut draft.variables)?;
                if ServerName::is_suspicious(word) {
                    let message = format!("server name \"{}\" has suspicious symbols", word.text);
                    draft.problems.push(Problem::warn(&word.at, message));
                }
                scope.place.server.names.push(name);
            }
            Ok(())
        },
    )
    .default("\"\"")
    .about("Names that choose this server: exact, `*.suffix`, `prefix.*`, `~regular expression`.")
    .repeats(),
    plain!(
        "client_header_timeout",
        HTTP_SERVER,
        client_header_timeout,
        time,
        "60s",
        "Time for a whole request head; then 408."
    ),
    plain!(
        "client_body_timeout",
        ALL,
        client_body_timeout,
        time,
        "60s",
        "Time between two reads of a request body; then 408."
    ),
    plain!(
        "send_timeout",
        ALL,
        send_timeout,
        time,
        "60s",
        "Time between two writes to the client; then the connection is closed."
    ),
    plain!(
        "lingering_time",
        ALL,
        lingering_time,
        time,
        "30s",
        "Longest time spent reading what a rejected client still sends."
    ),
    plain!(
        "lingering_timeout",
        ALL,
        lingering_timeout,
        time,
        "5s",
        "Time between two such reads."
    ),
    plain!(
        "keepalive_time",
        ALL,
        keepalive_time,
        time,
        "1h",
        "Longest life of a connection that serves further requests."
    ),
    Spec::set("keepalive_timeout", ALL, (1, 2), |scope, directive| {
        let core = &mut scope.settings.core;
        core.keepalive_timeout = arguments::time(directive, &directive.args[0])?;
        core.keepalive_header = match directive.args.get(1) {
            Some(word) => Some(arguments::seconds(directive, word)?.as_secs()),
            None => None,
        };
        core.keepalive_header = core.keepalive_header.filter(|seconds| *seconds > 0);
        Ok(())
    })
    .default("75s")
    .about("How long a connection waits for its next request; 0 closes it after each response."),
    Spec::set("keepalive_requests", ALL, (1, 1), |scope, directive| {
        scope.settings.core.keepalive_requests = arguments::number(directive)? as u64;
        Ok(())
    })
    .default("1000")
    .about("Most requests of one connection."),
    Spec::set("client_max_body_size", ALL, (1, 1), |scope, directive| {
        scope.settings.core.client_max_body_size = arguments::offset(directive)?;
        Ok(())
    })
    .default("1m")
    .about("Largest request body; beyond it 413. 0 is no limit."),
    plain!(
        "client_body_buffer_size",
        ALL,
        client_body_buffer_size,
        size,
        "16k",
        "Largest request body that is buffered whole, so that the upstream learns its length."
    ),
    Spec::set(
        "client_header_buffer_size",
        HTTP_SERVER,
        (1, 1),
        |_, directive| {
            // Checked only; the buffer of a head grows as needed.
            arguments::size(directive, arguments::first(directive)).map(drop)
        },
    )
    .default("1k")
    .about("Checked; the buffer of a head grows as needed, up to the large ones."),
    Spec::set(
        "large_client_header_buffers",
        HTTP_SERVER,
        (2, 2),
        |scope, directive| {
            let (count, size) = arguments::buffers(directive)?;
            let head = &mut scope.settings.core.head;
            head.line = size;
            head.head = size.saturating_mul(count);
            Ok(())
        },
    )
    .default("4 8k")
    .about("Longest request line (414) and field line (400), and how many of that size together."),
    Spec::set("max_headers", HTTP_SERVER, (1, 1), |scope, directive| {
        scope.settings.core.head.fields = arguments::number(directive)?;
        Ok(())
    })
    .default("1000")
    .about("Most field lines of a request; beyond it 400."),
    Spec::set("lingering_close", ALL, (1, 1), |scope, directive| {
        let choices = [
            ("off", Lingering::Off),
            ("on", Lingering::On),
            ("always", Lingering::Always),
        ];
        let chosen = arguments::choice(arguments::first(directive), &choices)?;
        scope.settings.core.lingering_close = chosen;
        Ok(())
    })
    .default("on")
    .about("Read on before closing, so that the client sees the response."),
    plain!(
        "underscores_in_headers",
        HTTP_SERVER,
        head.underscores,
        flag,
        "off",
        "Field names with `_` are valid."
    ),
    plain!(
        "ignore_invalid_headers",
        HTTP_SERVER,
        head.ignore_invalid,
        flag,
        "on",
        "Fields with odd names are left out."
    ),
    plain!(
        "merge_slashes",
        HTTP_SERVER,
        merge_slashes,
        flag,
        "on",
        "Several slashes match as one."
    ),
    Spec::set("server_tokens", ALL, (1, 1), |scope, directive| {
        let choices = [("off", false), ("on", true), ("build", true)];
        let chosen = arguments::choice(arguments::first(directive), &choices)?;
        scope.settings.core.server_tokens = chosen;
        Ok(())
    })
    .default("on")
    .about("The version stands in `Server` and under error pages."),
    plain!(
        "chunked_transfer_encoding",
        ALL,
        chunked,
        flag,
        "on",
        "Bodies of unknown length are sent in chunks; if off, closing the connection ends them."
    ),
    plain!(
        "absolute_redirect",
        ALL,
        absolute_redirect,
        flag,
        "on",
        "Redirects of this server carry scheme and host."
    ),
    plain!(
        "server_name_in_redirect",
        ALL,
        server_name_in_redirect,
        flag,
        "off",
        "Redirects name the server's first name instead of the client's."
    ),
    plain!(
        "port_in_redirect",
        ALL,
        port_in_redirect,
        flag,
        "on",
        "Redirects carry the port where it is not the scheme's own."
    ),
    plain!(
        "tcp_nodelay",
        ALL,
        tcp_nodelay,
        flag,
        "on",
        "`TCP_NODELAY` on client connections."
    ),
    plain!(
        "recursive_error_pages",
        ALL,
        recursive_error_pages,
        flag,
        "off",
        "An error page may lead to another one."
    ),
    Spec::set("error_page", ALL_IF, (2, MANY), add_error_page)
        .about("The response instead of an error of this server.")
        .repeats(),
    Spec::set("internal", Contexts::LOCATION, (0, 0), |scope, _| {
        scope.settings.core.internal = true;
        Ok(())
    })
    .about("The location is for internal redirects only; a client gets 404."),
    Spec::set("error_log", ALL, (1, MANY), |scope, directive| {
        let logs = &mut scope.settings.core.error_log;
        super::error_log::add(logs, scope.first_here, directive, scope.draft)
    })
    .default("stderr error")
    .about("Where errors are logged, and from which severity on.")
    .repeats(),
    Spec::new(
        "tcp_nopush",
        ALL,
        (1, 1),
        Effect::Accepted("head and body leave in one write"),
    )
    .takes(Value::Flag),
    Spec::new(
        "postpone_output",
        ALL,
        (1, 1),
        Effect::Accepted("head and body leave in one write"),
    )
    .takes(Value::Size),
    Spec::new("send_lowat", ALL, (1, 1), Effect::Accepted(KERNEL)).takes(Value::Size),
    Spec::new(
        "reset_timedout_connection",
        ALL,
        (1, 1),
        Effect::Accepted(KERNEL),
    )
    .differs(
        differs::on,
        "a connection that timed out is closed, not reset",
        "connections-that-are-reset",
    )
    .takes(Value::Flag),
    Spec::new(
        "server_names_hash_max_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
    Spec::new(
        "server_names_hash_bucket_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
    Spec::new(
        "variables_hash_max_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
    Spec::new(
        "variables_hash_bucket_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
    Spec::set(
        "connection_pool_size",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            value::check_pool_size(directive)?;
            let size = arguments::size(directive, arguments::first(directive))?;
            scope.settings.core.connection_pool_size = size;
            Ok(())
        },
    )
    .default("512")
    .about("The least size of `large_client_header_buffers`; memory is taken as it is needed."),
    Spec::new(
        "request_pool_size",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted(KERNEL),
    )
    .takes(Value::Checked(value::check_pool_size)),
    Spec::new(
        "client_body_in_single_buffer",
        ALL,
        (1, 1),
        Effect::Accepted("a buffered body is in one piece"),
    )
    .takes(Value::Flag),
    Spec::new(
        "subrequest_output_buffer_size",
        ALL,
        (1, 1),
        Effect::Accepted("responses to subrequests are not buffered"),
    )
    .takes(Value::Size),
    Spec::new(
        "early_hints",
        ALL,
        (1, MANY),
        Effect::Refused("interim responses of upstreams are not passed on; remove the line"),
    ),
    Spec::new(
        "keepalive_min_timeout",
        ALL,
        (1, 1),
        Effect::Accepted("idle connections end at once when the drain begins"),
    )
    .differs(differs::not_off, "", "directives-without-effect")
    .takes(Value::Time),
];

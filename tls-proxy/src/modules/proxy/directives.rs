//! The table of the proxy module's directives.

use std::net::SocketAddr;
use std::sync::Arc;

use super::accel::{Ignored, parse_ignored};
use super::next_upstream::parse_next_upstream;
use super::pass::parse_pass;
use super::rewrite_location::set_redirect;
use super::settings::Settings;
use crate::conf::{Directive, Problem};
use crate::config::spec::{Contexts, Effect, MANY, Scope, Spec};
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value::{self, Value};
use crate::message::head::Version;
use crate::variables::template::Template;

/// A directive that is one flag, size or time in [`Settings`].
macro_rules! plain {
    ($name:literal, $field:ident, flag, $default:literal, $about:literal) => {
        Spec::set($name, Contexts::ALL, (1, 1), |scope, directive| {
            scope.settings.of_mut::<Settings>().$field = arguments::flag(directive)?;
            Ok(())
        })
        .default($default)
        .about($about)
    };
    ($name:literal, $field:ident, $reader:ident, $default:literal, $about:literal) => {
        Spec::set($name, Contexts::ALL, (1, 1), |scope, directive| {
            scope.settings.of_mut::<Settings>().$field =
                arguments::$reader(directive, arguments::first(directive))?;
            Ok(())
        })
        .default($default)
        .about($about)
    };
}

const ALL: Contexts = Contexts::ALL;
const KERNEL: Effect = Effect::Accepted("the kernel's own setting serves");

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "proxy_pass",
        Contexts::LOCATION
            .or(Contexts::IF)
            .or(Contexts::LIMIT_EXCEPT),
        (1, 1),
        |scope, directive| {
            let has_prefix = scope.settings.of::<Settings>().location.is_some();
            let pass = parse_pass(scope, arguments::first(directive), has_prefix)?;
            scope.settings.of_mut::<Settings>().pass = Some(Arc::new(pass));
            Ok(())
        },
    )
    .about("Sends requests to an upstream: `http[s]://host[:port][/path]`, `http[s]://name-of-a-group`."),
    Spec::set("proxy_set_header", ALL, (2, 2), |scope, directive| {
        let name = directive.args[0].text.as_str().into();
        let value = Template::compile(&directive.args[1], &mut scope.draft.variables)?;
        let own = &mut scope.settings.of_mut::<Settings>().set_headers;
        let inherited = if scope.first_here { &[] } else { &own[..] };
        *own = inherited.iter().cloned().chain([(name, value)]).collect();
        Ok(())
    })
    .differs(|it| it.args.iter().any(|word| differs::uses(word, "ssl_client_cert")), "line breaks of $ssl_client_cert become spaces", "folded-fields")
    .default("Host $proxy_host")
    .about("Sets a field of the request to the upstream; an empty value leaves it out.")
    .repeats(),
    Spec::set("proxy_http_version", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().version = match word.text.as_str() {
            "1.0" => Version::Http10,
            "1.1" => Version::Http11,
            "2" => {
                let message = "\"proxy_http_version 2\" is not supported";
                return Err(Problem::emerg(&word.at, message).with_help(
                    "HTTP/2 is not spoken to upstreams: write 1.1, and for gRPC keep nginx",
                ));
            }
            other => {
                return Err(
                    Problem::emerg(&word.at, format!("invalid value \"{other}\""))
                        .with_help("write 1.0 or 1.1"),
                );
            }
        };
        Ok(())
    })
    .default("1.1")
    .about("The version of requests to the upstream."),
    plain!(
        "proxy_connect_timeout",
        connect_timeout,
        time,
        "60s",
        "Time to connect to the upstream; then 504."
    ),
    plain!(
        "proxy_send_timeout",
        send_timeout,
        time,
        "60s",
        "Time between two writes to the upstream; then 504."
    ),
    plain!(
        "proxy_read_timeout",
        read_timeout,
        time,
        "60s",
        "Time between two reads from the upstream, and for the head of its response as a whole; then 504."
    ),
    plain!(
        "proxy_request_buffering",
        request_buffering,
        flag,
        "on",
        "Small bodies are read whole before the upstream sees the request."
    ),
    plain!(
        "proxy_pass_request_headers",
        pass_request_headers,
        flag,
        "on",
        "The client's own fields are sent to the upstream."
    ),
    plain!(
        "proxy_pass_request_body",
        pass_request_body,
        flag,
        "on",
        "The client's body is sent to the upstream."
    ),
    plain!(
        "proxy_intercept_errors",
        intercept_errors,
        flag,
        "off",
        "`error_page` applies to the upstream's errors, too."
    ),
    plain!(
        "proxy_ignore_client_abort",
        ignore_client_abort,
        flag,
        "off",
        "The exchange with the upstream continues when the client has closed."
    ),
    plain!(
        "proxy_next_upstream_timeout",
        next_timeout,
        time,
        "0",
        "Time in which further peers are tried; 0 is no limit."
    ),
    plain!(
        "proxy_pass_trailers",
        pass_trailers,
        flag,
        "off",
        "Trailer fields of the upstream's response are passed on to the client."
    )
    .differs(differs::on, "trailers that frame or route a message are dropped", "trailers-that-would-be-fields"),
    Spec::set(
        "proxy_next_upstream_tries",
        ALL,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<Settings>().next_tries = arguments::number(directive)?;
            Ok(())
        },
    )
    .default("0")
    .about("Most peers tried for a request; 0 is no limit."),
    Spec::set(
        "proxy_next_upstream",
        ALL,
        (1, usize::MAX),
        |scope, directive| {
            let before = scope.settings.of_mut::<Settings>().next_upstream;
            let before = (!scope.first_here).then_some(before);
            scope.settings.of_mut::<Settings>().next_upstream = parse_next_upstream(directive, before)?;
            Ok(())
        },
    )
    .repeats()
    .default("error timeout")
    .about("Which failures lead to the next peer."),
    Spec::set("proxy_method", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().method = Some(Template::compile(word, &mut scope.draft.variables)?);
        Ok(())
    })
    .differs(|it| differs::first(it).eq_ignore_ascii_case("HEAD"), "the length of a body that does not come is left out", "lengths-of-bodies-that-never-come")
    .about("The method of requests to the upstream."),
    Spec::set("proxy_hide_header", ALL, (1, 1), |scope, directive| {
        let name = arguments::first(directive).text.as_str();
        add_name(&mut scope.settings.of_mut::<Settings>().hide, name, scope.first_here);
        Ok(())
    })
    .about("Hides a field of the upstream's response from the client.")
    .repeats(),
    Spec::set("proxy_pass_header", ALL, (1, 1), |scope, directive| {
        let name = arguments::first(directive).text.as_str();
        add_name(&mut scope.settings.of_mut::<Settings>().show, name, scope.first_here);
        Ok(())
    })
    .about("Passes on a field that is hidden by default: `Server`, `Date`, `X-Accel-*`.")
    .repeats(),
    Spec::set("proxy_redirect", ALL, (1, 2), set_redirect)
        .default("default")
        .about("Rewrites `Location` and `Refresh` of the upstream's responses.")
        .repeats(),
    Spec::set("proxy_ignore_headers", ALL, (1, MANY), |scope, directive| {
        let before = match scope.first_here {
            true => Ignored::default(),
            false => scope.settings.of::<Settings>().ignored,
        };
        let problems = &mut scope.draft.problems;
        let ignored = parse_ignored(directive, before, problems)?;
        scope.settings.of_mut::<Settings>().ignored = ignored;
        Ok(())
    })
        .about("Fields of the upstream's response that are ignored: `X-Accel-*`.")
        .repeats(),
    Spec::new(
        "proxy_headers_hash_max_size",
        ALL,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
    Spec::new(
        "proxy_headers_hash_bucket_size",
        ALL,
        (1, 1),
        Effect::Accepted("tables grow as they need"),
    )
    .takes(Value::Number),
    Spec::new(
        "proxy_temp_path",
        ALL,
        (1, 4),
        Effect::Accepted("responses are streamed and never written to files"),
    )
    .takes(Value::Checked(value::check_levels))
    .differs(differs::always, "", "responses-are-streamed"),
    plain!(
        "proxy_socket_keepalive",
        socket_keepalive,
        flag,
        "off",
        "`SO_KEEPALIVE` on connections to upstreams."
    ),
    plain!(
        "proxy_buffering",
        buffering,
        flag,
        "on",
        "Responses are always streamed; if off, `limit_rate` does not apply."
    ),
    Spec::new("proxy_send_lowat", ALL, (1, 1), KERNEL).takes(Value::Size),
    Spec::new("proxy_socket_rcvbuf", ALL, (1, 1), KERNEL).takes(Value::Size),
    Spec::new("proxy_socket_sndbuf", ALL, (1, 1), KERNEL).takes(Value::Size),
    Spec::set("proxy_limit_rate", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        if !word.text.contains('$') {
            arguments::size(directive, word)?;
        }
        let rate = Template::compile(word, &mut scope.draft.variables)?;
        scope.settings.of_mut::<Settings>().limit_rate = Some(rate);
        Ok(())
    })
    .default("0")
    .about("Most bytes of an upstream's response per second; 0 is no limit."),
    Spec::set("proxy_set_body", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        let body = Template::compile(word, &mut scope.draft.variables)?;
        scope.settings.of_mut::<Settings>().body = Some(body);
        Ok(())
    })
    .about("The body of requests to the upstream, instead of the client's."),
    Spec::set("proxy_force_ranges", ALL, (1, 1), |_, directive| {
        if arguments::flag(directive)? {
            let message = "\"proxy_force_ranges on\" is not supported";
            return Err(Problem::emerg(&directive.name.at, message)
                .with_help("ranges are left to the upstream; remove the line"));
        }
        Ok(())
    })
    .default("off")
    .about("`off` alone: ranges are left to the upstream."),
    Spec::set("proxy_bind", ALL, (1, 2), set_bind)
        .default("off")
        .about("The local address of connections to upstreams, with or without a port."),
];

fn set_bind(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    if let Some(option) = directive.args.get(1) {
        return Err(match option.text.as_str() {
            "transparent" => {
                let message = "\"proxy_bind … transparent\" is not supported";
                Problem::emerg(&option.at, message)
                    .with_help("it needs rights that a pod does not have; remove `transparent`")
            }
            _ => arguments::unknown_parameter(option, &["transparent"]),
        });
    }
    scope.settings.of_mut::<Settings>().bind = match word.text.as_str() {
        "off" => None,
        text => {
            if !text.contains('$') && parse_bind(text).is_none() {
                let message = format!("invalid address \"{text}\"");
                return Err(Problem::emerg(&word.at, message));
            }
            Some(Template::compile(word, &mut scope.draft.variables)?)
        }
    };
    Ok(())
}

/// An address with or without a port.
pub(crate) fn parse_bind(text: &str) -> Option<SocketAddr> {
    let ip = text.trim_start_matches('[').trim_end_matches(']');
    let whole = text.parse().ok();
    whole.or_else(|| Some(SocketAddr::new(ip.parse().ok()?, 0)))
}

fn add_name(own: &mut Arc<[Box<str>]>, name: &str, first_here: bool) {
    let inherited = if first_here { &[] } else { &own[..] };
    *own = inherited.iter().cloned().chain([name.into()]).collect();
}

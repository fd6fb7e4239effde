//! Directives that only adjust unsupported modules. nginx accepts these lines even if nothing
//! enables the module, and they have no effect there either: copied `http {}` blocks are full of
//! them.

use super::{AS_IT_IS, DAV, MIRROR, NO_CACHE, RANDOM_INDEX, SLICE, SSI, USERID};
use crate::conf::{Directive, Problem};
use crate::config::spec::{Contexts, Effect, MANY, Scope, Spec};
use crate::directive::arguments;
use crate::directive::value::{self, Value};
use crate::modules::proxy::{accel, next_upstream};
use crate::variables::template::Template;

const ALL: Contexts = Contexts::ALL;
const IDLE: Effect = Effect::Accepted("nothing turns its module on, so it adjusts nothing");

/// One argument of a kind.
const fn one(name: &'static str, value: Value) -> Spec {
    some(name, (1, 1), value)
}

/// Several arguments of a kind.
const fn some(name: &'static str, arguments: (usize, usize), value: Value) -> Spec {
    Spec::new(name, ALL, arguments, IDLE).takes(value)
}

/// One argument, in `http` alone.
const fn at_http(name: &'static str) -> Spec {
    Spec::new(name, Contexts::HTTP, (1, 1), IDLE)
}

/// One argument of a kind, in `http` and `server`.
const fn at_server(name: &'static str, value: Value) -> Spec {
    let place = Contexts::HTTP.or(Contexts::SERVER);
    Spec::new(name, place, (1, 1), IDLE).takes(value)
}

/// Arguments with variables, which must be defined.
const fn variables(name: &'static str, arguments: (usize, usize)) -> Spec {
    Spec::set(name, ALL, arguments, compile)
        .about("Nothing turns its module on, so it adjusts nothing.")
}

fn compile(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let variables = &mut scope.draft.variables;
    let mut words = directive.args.iter();
    words.try_for_each(|word| Template::compile(word, variables).map(drop))
}

/// `*_param NAME VALUE [if_not_empty]`; nginx checks the variables of a parameter that is sent.
fn check_param(directive: &Directive) -> Result<(), Problem> {
    match directive.args.get(2) {
        Some(word) if word.text != "if_not_empty" => {
            Err(arguments::unknown_parameter(word, &["if_not_empty"]))
        }
        _ => Ok(()),
    }
}

/// When a cache may serve stale responses.
const STALE: &[&str] = &[
    "error",
    "timeout",
    "invalid_header",
    "updating",
    "off",
    "http_500",
    "http_503",
    "http_403",
    "http_404",
    "http_429",
];

/// The settings of one connection to an upstream: FastCGI, uwsgi, SCGI, gRPC, memcached.
macro_rules! connection {
    ($prefix:literal, $failures:expr) => {
        [
            some(concat!($prefix, "bind"), (1, 2), Value::Any),
            one(concat!($prefix, "buffer_size"), Value::Size),
            one(concat!($prefix, "connect_timeout"), Value::Time),
            one(concat!($prefix, "read_timeout"), Value::Time),
            one(concat!($prefix, "send_timeout"), Value::Time),
            one(concat!($prefix, "socket_keepalive"), Value::Flag),
            some(
                concat!($prefix, "next_upstream"),
                (1, MANY),
                Value::EachOf($failures),
            )
            .repeats(),
            one(concat!($prefix, "next_upstream_timeout"), Value::Time),
            one(concat!($prefix, "next_upstream_tries"), Value::Number),
        ]
    };
}

/// What FastCGI, uwsgi, SCGI and gRPC have in addition.
macro_rules! fields {
    ($prefix:literal) => {
        [
            one(concat!($prefix, "hide_header"), Value::Any).repeats(),
            one(concat!($prefix, "pass_header"), Value::Any).repeats(),
            some(
                concat!($prefix, "ignore_headers"),
                (1, MANY),
                Value::EachOf(&accel::NAMES),
            )
            .repeats(),
            one(concat!($prefix, "intercept_errors"), Value::Flag),
            one(concat!($prefix, "socket_rcvbuf"), Value::Size),
            one(concat!($prefix, "socket_sndbuf"), Value::Size),
        ]
    };
}

/// What FastCGI, uwsgi and SCGI have in addition.
macro_rules! bodies {
    ($prefix:literal) => {
        [
            one(concat!($prefix, "buffering"), Value::Flag),
            some(concat!($prefix, "buffers"), (2, 2), Value::Buffers),
            one(concat!($prefix, "busy_buffers_size"), Value::Size),
            one(concat!($prefix, "force_ranges"), Value::Flag),
            one(concat!($prefix, "ignore_client_abort"), Value::Flag),
            variables(concat!($prefix, "limit_rate"), (1, 1)),
            one(concat!($prefix, "max_temp_file_size"), Value::Size),
            some(
                concat!($prefix, "param"),
                (2, 3),
                Value::Checked(check_param),
            )
            .repeats(),
            one(concat!($prefix, "pass_request_body"), Value::Flag),
            one(concat!($prefix, "pass_request_headers"), Value::Flag),
            one(concat!($prefix, "request_buffering"), Value::Flag),
            one(concat!($prefix, "temp_file_write_size"), Value::Size),
            some(
                concat!($prefix, "temp_path"),
                (1, 4),
                Value::Checked(value::check_levels),
            ),
            one(concat!($prefix, "store"), Value::Off(NO_CACHE)),
            some(concat!($prefix, "store_access"), (1, 3), Value::Any),
            one(concat!($prefix, "cache"), Value::Off(NO_CACHE)),
            one(concat!($prefix, "cache_background_update"), Value::Flag),
            variables(concat!($prefix, "cache_bypass"), (1, MANY)).repeats(),
            variables(concat!($prefix, "cache_key"), (1, 1)),
            one(concat!($prefix, "cache_lock"), Value::Flag),
            one(concat!($prefix, "cache_lock_age"), Value::Time),
            one(concat!($prefix, "cache_lock_timeout"), Value::Time),
            one(concat!($prefix, "cache_max_range_offset"), Value::Offset),
            some(
                concat!($prefix, "cache_methods"),
                (1, MANY),
                Value::EachOf(&["GET", "HEAD", "POST"]),
            )
            .repeats(),
            one(concat!($prefix, "cache_min_uses"), Value::Number),
            one(concat!($prefix, "cache_revalidate"), Value::Flag),
            some(
                concat!($prefix, "cache_use_stale"),
                (1, MANY),
                Value::EachOf(STALE),
            )
            .repeats(),
            some(
                concat!($prefix, "cache_valid"),
                (1, MANY),
                Value::Checked(value::check_valid),
            )
            .repeats(),
            variables(concat!($prefix, "no_cache"), (1, MANY)).repeats(),
        ]
    };
}

/// TLS to upstreams of uwsgi and gRPC.
macro_rules! tls {
    ($prefix:literal) => {
        [
            variables(concat!($prefix, "certificate"), (1, 1)),
            some(concat!($prefix, "certificate_cache"), (1, 3), Value::Any),
            variables(concat!($prefix, "certificate_key"), (1, 1)),
            one(concat!($prefix, "ciphers"), Value::Any),
            some(concat!($prefix, "conf_command"), (2, 2), Value::Any).repeats(),
            one(concat!($prefix, "crl"), Value::Any),
            variables(concat!($prefix, "name"), (1, 1)),
            one(concat!($prefix, "password_file"), Value::Any),
            some(
                concat!($prefix, "protocols"),
                (1, MANY),
                Value::EachOf(&["SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
            )
            .repeats(),
            one(concat!($prefix, "server_name"), Value::Flag),
            one(concat!($prefix, "session_reuse"), Value::Flag),
            one(concat!($prefix, "trusted_certificate"), Value::Any),
            one(concat!($prefix, "verify"), Value::Flag),
            one(concat!($prefix, "verify_depth"), Value::Number),
        ]
    };
}

/// Failures after which the next upstream is tried.
const FAILURES: &[&str] = &[
    "error",
    "timeout",
    "invalid_header",
    "non_idempotent",
    "http_500",
    "http_503",
    "http_403",
    "http_404",
    "http_429",
    "updating",
    "off",
];
const MEMCACHED_FAILURES: &[&str] = &["error", "timeout", "invalid_response", "not_found", "off"];

/// A table for each module, and its name in the documentation.
pub(crate) const TABLES: &[(&str, &[Spec])] = &[
    ("fastcgi: connections", &connection!("fastcgi_", FAILURES)),
    ("fastcgi: fields", &fields!("fastcgi_")),
    ("fastcgi: bodies and cache", &bodies!("fastcgi_")),
    (
        "fastcgi",
        &[
            one("fastcgi_catch_stderr", Value::Any).repeats(),
            variables("fastcgi_index", (1, 1)),
            one("fastcgi_keep_conn", Value::Flag),
            one("fastcgi_send_lowat", Value::Size),
            one("fastcgi_split_path_info", Value::Any),
        ],
    ),
    ("uwsgi: connections", &connection!("uwsgi_", FAILURES)),
    ("uwsgi: fields", &fields!("uwsgi_")),
    ("uwsgi: bodies and cache", &bodies!("uwsgi_")),
    ("uwsgi: TLS", &tls!("uwsgi_ssl_")),
    (
        "uwsgi",
        &[
            one("uwsgi_modifier1", Value::Number),
            one("uwsgi_modifier2", Value::Number),
            one("uwsgi_string", Value::Any),
        ],
    ),
    ("scgi: connections", &connection!("scgi_", FAILURES)),
    ("scgi: fields", &fields!("scgi_")),
    ("scgi: bodies and cache", &bodies!("scgi_")),
    (
        "grpc: connections",
        &connection!("grpc_", next_upstream::KNOWN),
    ),
    ("grpc: fields", &fields!("grpc_")),
    ("grpc: TLS", &tls!("grpc_ssl_")),
    (
        "grpc",
        &[some("grpc_set_header", (2, 2), Value::Any).repeats()],
    ),
    (
        "memcached: connections",
        &connection!("memcached_", MEMCACHED_FAILURES),
    ),
    ("memcached", &[one("memcached_gzip_flag", Value::Number)]),
    (
        "addition",
        &[some("addition_types", (1, MANY), Value::Any).repeats()],
    ),
    (
        "dav",
        &[
            one("create_full_put_path", Value::Flag),
            some("dav_access", (1, 3), Value::Any),
            some("dav_methods", (1, MANY), Value::Off(DAV)),
            one("min_delete_depth", Value::Number),
        ],
    ),
    (
        "geoip",
        &[
            at_http("geoip_proxy").repeats(),
            at_http("geoip_proxy_recursive").takes(Value::Flag),
        ],
    ),
    (
        "image_filter",
        &[
            some("image_filter", (1, 3), Value::Off(AS_IT_IS)),
            one("image_filter_buffer", Value::Size),
            one("image_filter_interlace", Value::Flag),
            variables("image_filter_jpeg_quality", (1, 1)),
            variables("image_filter_sharpen", (1, 1)),
            one("image_filter_transparency", Value::Flag),
            variables("image_filter_webp_quality", (1, 1)),
        ],
    ),
    (
        "mirror",
        &[
            one("mirror", Value::Off(MIRROR)).repeats(),
            one("mirror_request_body", Value::Flag),
        ],
    ),
    (
        "mp4",
        &[
            one("mp4_buffer_size", Value::Size),
            one("mp4_limit_rate", Value::Any),
            one("mp4_limit_rate_after", Value::Time),
            one("mp4_max_buffer_size", Value::Size),
            one("mp4_start_key_frame", Value::Flag),
        ],
    ),
    (
        "random_index",
        &[one("random_index", Value::Off(RANDOM_INDEX))],
    ),
    ("slice", &[one("slice", Value::Off(SLICE))]),
    (
        "ssi",
        &[
            Spec::new("ssi", ALL.or(Contexts::IF), (1, 1), IDLE).takes(Value::Off(SSI)),
            one("ssi_ignore_recycled_buffers", Value::Flag),
            one("ssi_last_modified", Value::Flag),
            one("ssi_min_file_chunk", Value::Size),
            one("ssi_silent_errors", Value::Flag),
            some("ssi_types", (1, MANY), Value::Any).repeats(),
            one("ssi_value_length", Value::Size),
        ],
    ),
    (
        "userid",
        &[
            one("userid", Value::Off(USERID)),
            one("userid_domain", Value::Any),
            one("userid_expires", Value::Any),
            some("userid_flags", (1, 3), Value::Any),
            one("userid_mark", Value::Any),
            one("userid_name", Value::Any),
            one("userid_p3p", Value::Any),
            one("userid_path", Value::Any),
            one("userid_service", Value::Number),
        ],
    ),
    (
        "v3",
        &[
            at_server("http3", Value::Flag),
            at_server("http3_hq", Value::Flag),
            at_server("http3_max_concurrent_streams", Value::Number),
            at_server("http3_stream_buffer_size", Value::Size),
            at_server("quic_active_connection_id_limit", Value::Number),
            Spec::new("quic_bpf", Contexts::MAIN, (1, 1), IDLE).takes(Value::Flag),
            at_server("quic_gso", Value::Flag),
            at_server("quic_host_key", Value::Any),
            at_server("quic_retry", Value::Flag),
        ],
    ),
    (
        "xslt",
        &[
            one("xslt_last_modified", Value::Flag),
            variables("xslt_param", (2, 2)).repeats(),
            variables("xslt_string_param", (2, 2)).repeats(),
            some("xslt_types", (1, MANY), Value::Any).repeats(),
        ],
    ),
];

//! nginx's fixed variables, each computed from a request.

use pod::decimal;

use super::{Evaluate, request_fields, ssl, write};
use crate::config::listen::Endpoint;
use crate::message::base64;
use crate::message::head::{Framing, Version};
use crate::request::Request;
use crate::time::cached_time;

/// The fixed variables of every request, of all files here.
pub(crate) fn all() -> impl Iterator<Item = &'static (&'static str, Evaluate)> {
    let own = TABLE.iter().chain(request_fields::TABLE);
    own.chain(ssl::TABLE)
}

/// Name and value of every fixed variable; the names are nginx's.
pub(crate) const TABLE: &[(&str, Evaluate)] = &[
    ("args", args),
    ("body_bytes_sent", |request, out| {
        number(request.outcome.body_bytes, out)
    }),
    ("bytes_sent", |request, out| {
        number(request.outcome.bytes(), out)
    }),
    ("connection", |request, out| {
        number(request.connection.number, out)
    }),
    ("connection_requests", |request, out| {
        number(request.number, out)
    }),
    ("content_length", |request, out| {
        match (
            request.head.fields.first(b"content-length"),
            &request.whole_body,
        ) {
            (Some(value), _) => write(Some(value), out),
            // A chunked body has been read and counted.
            (None, Some(body)) if request.framing == Framing::Chunked => {
                number(body.len() as u64, out)
            }
            (None, _) => match &request.spooled {
                Some(spooled) => number(spooled.length(), out),
                None => false,
            },
        }
    }),
    ("document_uri", uri),
    ("host", |request, out| {
        write(Some(request.host_or_server_name()), out)
    }),
    ("hostname", |request, out| {
        write(Some(request.config.hostname.as_bytes()), out)
    }),
    ("http2", |request, out| {
        let h2 = request.head.version == Version::Http2;
        let protocol: &[u8] = match (h2, request.connection.tls.is_some()) {
            (true, true) => b"h2",
            (true, false) => b"h2c",
            (false, _) => b"",
        };
        write(Some(protocol), out)
    }),
    ("https", |request, out| {
        let text: &[u8] = match request.connection.tls {
            Some(_) => b"on",
            None => b"",
        };
        write(Some(text), out)
    }),
    ("is_args", |request, out| {
        write(Some(if request.args.is_empty() { b"" } else { b"?" }), out)
    }),
    ("is_request_port", |request, out| {
        let given = port(request).is_some();
        write(Some(if given { b":" } else { b"" }), out)
    }),
    ("msec", |request, out| {
        let (seconds, millis) = request.connection.worker.clock.unix_now();
        thousandths(seconds, millis, out)
    }),
    ("nginx_version", |_, out| {
        write(Some(env!("CARGO_PKG_VERSION").as_bytes()), out)
    }),
    ("pid", |_, out| number(std::process::id().into(), out)),
    ("pipe", |request, out| {
        write(Some(if request.pipelined { b"p" } else { b"." }), out)
    }),
    ("proxy_host", |request, out| {
        write(request.proxy.as_ref().map(|to| to.host.as_bytes()), out)
    }),
    ("proxy_port", |request, out| {
        write(request.proxy.as_ref().map(|to| to.port.as_bytes()), out)
    }),
    ("query_string", args),
    ("remote_addr", |request, out| remote_addr(request, out)),
    ("remote_port", |request, out| {
        // A field that names the client seldom names its port.
        let port = request.peer.port();
        if port > 0 {
            number(port.into(), out)
        } else {
            true
        }
    }),
    ("remote_user", remote_user),
    ("request", |request, out| {
        let line = &request.head.line;
        // An HTTP/2 request with invalid pseudo-header fields has no request line.
        let known = !line.is_empty() || request.head.version < Version::Http2;
        write(known.then_some(line), out)
    }),
    ("request_completion", |request, out| {
        write(
            Some(if request.outcome.complete { b"OK" } else { b"" }),
            out,
        )
    }),
    ("request_length", |request, out| {
        let body = request.body_received.as_ref().map_or(0, |body| body.get());
        number(request.received + body, out)
    }),
    ("request_method", |request, out| {
        // An error page has one, though the request's is not known.
        let is_known = request.has_line() || request.is_subrequest() || request.in_error_page;
        let method = nonempty(request.client_method());
        write(method.filter(|_| is_known), out)
    }),
    ("request_port", |request, out| {
        write(Some(port(request).unwrap_or_default()), out)
    }),
    ("request_time", |request, out| {
        let took = request
            .took
            .unwrap_or_else(|| cached_time::since(request.started));
        seconds(Some(took), out)
    }),
    ("request_uri", |request, out| {
        write(nonempty(&request.head.target), out)
    }),
    ("scheme", |request, out| {
        write(Some(request.scheme().as_bytes()), out)
    }),
    ("sent_http_connection", |request, out| {
        let value: &[u8] = match (request.outcome.status, request.says_keep_alive()) {
            (101, _) => b"upgrade",
            (_, true) => b"keep-alive",
            (_, false) => b"close",
        };
        write(Some(value), out)
    }),
    ("sent_http_keep_alive", |request, out| {
        let seconds = request.settings().core.keepalive_header;
        match seconds.filter(|_| request.says_keep_alive()) {
            Some(seconds) => append(out, format_args!("timeout={seconds}")),
            None => false,
        }
    }),
    ("server_addr", |request, out| {
        let connection = &request.connection;
        match &request.listen().listen.address {
            Endpoint::Tcp(_) => append(out, format_args!("{}", connection.local.ip())),
            unix => append(out, format_args!("{unix}")),
        }
    }),
    ("server_name", |request, out| {
        write(
            Some(request.config.server(request.server).name.as_bytes()),
            out,
        )
    }),
    ("server_port", |request, out| {
        match request.connection.local.port() {
            0 => true,
            port => number(port.into(), out),
        }
    }),
    ("server_protocol", |request, out| {
        write(request.protocol(), out)
    }),
    ("status", |request, out| {
        let status = match (request.error_status, request.outcome.status) {
            (0, sent) => sent,
            (error, _) => error,
        };
        decimal::write_padded(status.into(), 3, out);
        true
    }),
    ("time_iso8601", |request, out| {
        write(
            Some(request.connection.worker.clock.now().iso8601.as_bytes()),
            out,
        )
    }),
    ("time_local", |request, out| {
        write(
            Some(request.connection.worker.clock.now().local.as_bytes()),
            out,
        )
    }),
    ("upstream_addr", |request, out| {
        tries(request, out, |attempt, out| {
            append(out, format_args!("{}", attempt.peer))
        })
    }),
    ("upstream_bytes_received", |request, out| {
        tries(request, out, |attempt, out| number(attempt.received, out))
    }),
    ("upstream_bytes_sent", |request, out| {
        tries(request, out, |attempt, out| number(attempt.sent, out))
    }),
    // There is no cache.
    ("upstream_cache_etag", |_, _| false),
    ("upstream_cache_last_modified", |_, _| false),
    ("upstream_cache_status", |_, _| false),
    ("upstream_connect_time", |request, out| {
        tries(request, out, |attempt, out| seconds(attempt.connected, out))
    }),
    ("upstream_header_time", |request, out| {
        tries(request, out, |attempt, out| seconds(attempt.head, out))
    }),
    ("upstream_response_length", |request, out| {
        tries(request, out, |attempt, out| number(attempt.body, out))
    }),
    ("upstream_response_time", |request, out| {
        tries(request, out, |attempt, out| seconds(attempt.ended, out))
    }),
    ("upstream_status", |request, out| {
        tries(request, out, |attempt, out| match attempt.status {
            0 => write(Some(b"-"), out),
            status => number(status.into(), out),
        })
    }),
    ("uri", uri),
];

/// The port behind the host name that the client sent.
fn port(request: &Request) -> Option<&[u8]> {
    let named = request.head.authority.as_deref();
    let named = named.or(request.head.fields.first(b"host"))?;
    let colon = memchr::memrchr(b':', named)?;
    let port = &named[colon + 1..];
    nonempty(port).filter(|port| port.iter().all(u8::is_ascii_digit))
}

/// Empty for an invalid target; no value before a target was read.
fn uri(request: &Request, out: &mut Vec<u8>) -> bool {
    let known = request.path_refused || !request.path.is_empty();
    write(known.then_some(&request.path[..]), out)
}

/// No value if there never were arguments; empty if they were removed.
fn args(request: &Request, out: &mut Vec<u8>) -> bool {
    let known = request.args_known || !request.args.is_empty();
    write(known.then_some(&request.args[..]), out)
}

/// The client's address, or `unix:`.
pub(crate) fn remote_addr(request: &Request, out: &mut Vec<u8>) -> bool {
    if request.is_unix() {
        return write(Some(b"unix:"), out);
    }
    decimal::write_ip(request.peer.ip(), out);
    true
}

fn nonempty(value: &[u8]) -> Option<&[u8]> {
    (!value.is_empty()).then_some(value)
}

/// Appends formatted text.
pub(crate) fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) -> bool {
    use std::io::Write as _;
    // Writing into memory does not fail.
    out.write_fmt(text).is_ok()
}

fn number(value: u64, out: &mut Vec<u8>) -> bool {
    decimal::write(value, out);
    true
}

fn seconds(elapsed: Option<std::time::Duration>, out: &mut Vec<u8>) -> bool {
    match elapsed {
        Some(it) => thousandths(it.as_secs(), it.subsec_millis(), out),
        None => write(Some(b"-"), out),
    }
}

fn thousandths(seconds: u64, millis: u32, out: &mut Vec<u8>) -> bool {
    decimal::write(seconds, out);
    out.push(b'.');
    decimal::write_padded(millis.into(), 3, out);
    true
}

/// One value for each upstream that was tried, separated as in nginx.
fn tries(
    request: &Request,
    out: &mut Vec<u8>,
    value: impl Fn(&crate::request::Attempt, &mut Vec<u8>) -> bool,
) -> bool {
    let mut separator: &[u8] = b"";
    for attempt in &request.attempts {
        if attempt.is_another_round() {
            separator = b" : ";
            continue;
        }
        out.extend_from_slice(separator);
        value(attempt, out);
        separator = b", ";
    }
    if separator == b" : " {
        out.extend_from_slice(separator);
    }
    !request.attempts.is_empty()
}

/// The user name of Basic credentials (RFC 7617), verified or not.
fn remote_user(request: &Request, out: &mut Vec<u8>) -> bool {
    let given = credentials(request);
    write(given.as_ref().and_then(|(user, _)| nonempty(user)), out)
}

/// Name and password of Basic credentials.
pub(crate) fn credentials(request: &Request) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = request.head.fields.first(b"authorization")?;
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64::decode(encoded.trim_ascii())?;
    // As in nginx, a user has a name.
    let colon = memchr::memchr(b':', &decoded).filter(|at| *at > 0)?;
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        for table in [TABLE, ssl::TABLE] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}

//! The header fields of a response, in nginx's order.

use bytes::Bytes;
use pod::decimal;

use super::Request;
use super::pages::product;
use super::response::Response;

/// The absolute form of a relative redirect of this server (`absolute_redirect`).
fn absolute(request: &Request, address: &[u8]) -> Option<Bytes> {
    let core = &request.settings().core;
    if !address.starts_with(b"/") || !core.absolute_redirect {
        return None;
    }
    let own_name = core.server_name_in_redirect;
    let host = if own_name {
        request.config.server(request.server).name.as_bytes()
    } else {
        &request.host
    };
    let local = request.connection.local;
    let standard = if request.connection.tls.is_some() {
        443
    } else {
        80
    };
    let mut out = Vec::with_capacity(host.len() + address.len() + 16);
    out.extend_from_slice(request.scheme().as_bytes());
    out.extend_from_slice(b"://");
    match host {
        b"" if !own_name => out.extend_from_slice(local.ip().to_canonical().to_string().as_bytes()),
        host => out.extend_from_slice(host),
    }
    if core.port_in_redirect && !matches!(local.port(), 0) && local.port() != standard {
        out.extend_from_slice(format!(":{}", local.port()).as_bytes());
    }
    out.extend_from_slice(address);
    Some(out.into())
}

/// Which fields about the connection a response has.
pub(crate) enum ConnectionFields {
    /// HTTP/1: `Connection`, and chunks or not.
    Http1 {
        chunked: bool,
        keep_alive: bool,
        upgrade: bool,
    },
    /// HTTP/2 has none (RFC 9113, section 8.2.2).
    Http2,
}

/// All fields of the response, in nginx's order.
pub(crate) fn assemble(
    request: &Request,
    response: &mut Response,
    connection_fields: &ConnectionFields,
) -> Vec<(Bytes, Bytes)> {
    let core = &request.settings().core;
    let own = std::mem::take(&mut response.fields);
    let mut fields = Vec::with_capacity(own.len() + 8);
    let mut push = |name: &'static str, value: Bytes| {
        fields.push((Bytes::from_static(name.as_bytes()), value));
    };
    if !response.names_server {
        push(
            "Server",
            Bytes::from_static(product(core.server_tokens).as_bytes()),
        );
    }
    if !response.names_date {
        push("Date", request.connection.worker.clock.now().http.clone());
    }
    if response.vary {
        push("Vary", Bytes::from_static(b"Accept-Encoding"));
    }
    // nginx's variables do not show these fields.
    request.own_fields.set(fields.len());
    let mut push = |name: &'static str, value: Bytes| {
        fields.push((Bytes::from_static(name.as_bytes()), value));
    };
    if let Some(kind) = response.content_type.take() {
        push("Content-Type", kind);
    }
    // A 204 has no length in HTTP/2, and clients check it.
    let has_length = match connection_fields {
        ConnectionFields::Http2 => response.status >= 200 && response.status != 204,
        ConnectionFields::Http1 { .. } => response.status >= 200,
    };
    if let Some(length) = response.length.filter(|_| has_length) {
        push("Content-Length", decimal::text(length).into());
    }
    if let Some(location) = response.location.take() {
        let ours = response
            .own_location
            .then(|| absolute(request, &location))
            .flatten();
        push("Location", ours.unwrap_or(location));
    }
    if let ConnectionFields::Http1 {
        chunked,
        keep_alive,
        upgrade,
    } = connection_fields
    {
        if *chunked {
            push("Transfer-Encoding", Bytes::from_static(b"chunked"));
        }
        let connection = match (upgrade, keep_alive) {
            (true, _) => "upgrade",
            (false, true) => "keep-alive",
            (false, false) => "close",
        };
        push("Connection", Bytes::from_static(connection.as_bytes()));
        if let Some(seconds) = core.keepalive_header.filter(|_| *keep_alive && !upgrade) {
            push("Keep-Alive", format!("timeout={seconds}").into());
        }
    }
    fields.extend(own);
    fields
}

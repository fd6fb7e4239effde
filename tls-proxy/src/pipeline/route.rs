//! What comes before nginx's phases: the server of a request, and whether its head is valid.

use bytes::Bytes;

use crate::config::ServerId;
use crate::log::level::Level;
use crate::message::fields::Fields;
use crate::message::head::{Framing, Version};
use crate::message::{rules, target};
use crate::modules::{http2, ssl_client};
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::Refusal;

/// Checks the head as a whole, and selects the server.
pub(super) fn route(request: &mut Request) -> Result<(), Refusal> {
    let refuse = |request: &Request, status, reason: &str| {
        let what = format!("{reason} while reading client request headers");
        error_log::request(request, Level::Info, what);
        Err(Refusal::closing(status))
    };
    if set_path(request).is_err() {
        return refuse(request, 400, "client sent invalid request");
    }
    let is_http1 = request.head.version < Version::Http2;
    if is_http1 && request.announced.is_err() {
        forget_unread(request);
    }
    let host = rules::host(&request.head);
    if is_http1 && host.is_err() {
        forget_unread(request);
    }
    match host {
        Ok(host) => request.host = host,
        Err(error) => return refuse(request, error.status, &error.reason),
    }
    let before = (request.server, request.location);
    choose_server(request)?;
    if let Err(refusal) = ssl_client::check_name(request, before) {
        if request.head.version == Version::Http2 {
            // nginx checks `:authority` before it has a request line or fields.
            request.head.line = Bytes::new();
            request.head.fields = Fields::default();
        }
        return Err(refusal);
    }
    if let Err(refusal) = check_protocol(request) {
        if request.head.fields.len() == 1 {
            // nginx makes a request line with the first field, which `:authority` is not, or after
            // this check.
            request.head.line = Bytes::new();
        }
        return Err(refusal);
    }
    match std::mem::replace(&mut request.announced, Ok(Framing::None)) {
        Ok(framing) => request.framing = framing,
        Err(error) => return refuse(request, error.status, &error.reason),
    }
    if request.connection.plain_on_tls {
        return refuse(request, 497, "client sent plain HTTP request to HTTPS port");
    }
    ssl_client::check(request)
}

/// Removes the fields that nginx has not read when it refuses one.
fn forget_unread(request: &mut Request) {
    let read = rules::read_before_refusal(&request.head.fields);
    request.head.fields.truncate(read);
}

/// Sets path and arguments by the target.
fn set_path(request: &mut Request) -> Result<(), target::Error> {
    let merge = request.settings().core.merge_slashes;
    match target::normalise(&request.head.target, merge) {
        Ok(normal) => {
            request.quoted = normal.quoted;
            request.args = normal
                .args
                .map_or(Bytes::new(), |at| request.head.target.slice(at));
            request.args_known = !request.args.is_empty();
            request.path = normal.path;
            Ok(())
        }
        Err(error) => {
            // nginx stops at the request line: it knows no target, and no field.
            request.head.target = Bytes::new();
            request.head.fields = Fields::default();
            request.path_refused = true;
            if request.head.version == Version::Http2 {
                request.head.line = Bytes::new();
            }
            Err(error)
        }
    }
}

/// Finds out what is known of a request whose head was rejected or did not end: its path, its host
/// and the server, whose log has its line.
pub(crate) fn identify(request: &mut Request) {
    if request.head.target.is_empty() || set_path(request).is_err() {
        return;
    }
    if let Ok(host) = rules::host(&request.head) {
        let before = (request.server, request.location);
        request.host = host;
        let chosen = choose_server(request)
            .and_then(|()| ssl_client::check_name(request, before))
            .and_then(|()| check_protocol(request));
        if chosen.is_err() {
            // It is rejected anyway; that server has no say in it.
            (request.server, request.location) = before;
        }
    }
}

/// HTTP/2 is allowed for servers that enable it (`http2`), whatever server the connection
/// was opened for.
fn check_protocol(request: &Request) -> Result<(), Refusal> {
    let on = request.listen().listen.http2 || request.settings().of::<http2::Settings>().on;
    if on || request.head.version != Version::Http2 {
        return Ok(());
    }
    let what = "client attempted to request the server name for which the negotiated protocol \
                is disabled while reading client request headers";
    error_log::request(request, Level::Info, what);
    Err(Refusal::closing(421))
}

fn choose_server(request: &mut Request) -> Result<(), Refusal> {
    let listen = request.listen();
    let found = match std::str::from_utf8(&request.host) {
        Ok(host) => listen
            .names
            .find(host, |name| name.matches(request, host.as_bytes()))
            // Without a server there is no page: nginx closes the connection.
            .map_err(|refusal| Refusal::silent(refusal.status))?,
        Err(_) => None,
    };
    let server: ServerId = found.unwrap_or(listen.default);
    request.server = server;
    request.location = request.config.server(server).root;
    Ok(())
}

//! The head of a request to an upstream.

use bytes::Bytes;

use super::{SelectedUpstream, Settings};
use crate::http1::outgoing::{passes, write_field, write_framing};
use crate::log::level::{Level, shown};
use crate::message::fields::FieldNameFilter;
use crate::message::head::{Framing, Version};
use crate::message::target::{escape_path, push_escaped};
use crate::request::response::Refusal;
use crate::request::{Request, error_log};

/// The longest method, bytes: it is not counted.
const LONGEST_METHOD: usize = 255;

/// The method of the request to the upstream (`proxy_method`).
///
/// # Errors
/// Its variables make no token (RFC 9110, section 9.1): that might begin another request. Or it is
/// too long.
pub(crate) fn method(settings: &Settings, request: &Request) -> Result<Bytes, Refusal> {
    let Some(method) = &settings.method else {
        return Ok(request.head.method.clone());
    };
    let method = method.evaluate(request);
    if method.len() <= LONGEST_METHOD && http::Method::from_bytes(&method).is_ok() {
        return Ok(method);
    }
    let what = format!("invalid method \"{}\" in \"proxy_method\"", shown(&method));
    error_log::request(request, Level::Error, what);
    Err(Refusal::new(500))
}

/// Writes the head of the request to the upstream (RFC 9112, section 3).
pub(crate) fn write_head(
    request: &Request,
    chosen: &SelectedUpstream,
    method: &[u8],
    framing: Framing,
    out: &mut Vec<u8>,
) {
    let settings = request.settings().of::<Settings>();
    out.extend_from_slice(method);
    out.push(b' ');
    write_target(request, chosen, out);
    out.extend_from_slice(match settings.version {
        Version::Http10 => b" HTTP/1.0\r\n",
        _ => b" HTTP/1.1\r\n",
    });
    write_set_headers(settings, request, out);
    if !sets(settings, b"host") {
        write_field(b"Host", chosen.to.host.as_bytes(), out);
    }
    write_framing(framing, out);
    if settings.pass_request_headers {
        let set = settings.set_headers.iter();
        let set: FieldNameFilter = set.map(|(name, _)| name.as_bytes()).collect();
        for (name, value) in request.head.fields.iter() {
            let is_set = set.may_have(name) && sets(settings, name);
            if passes(name) && !is_set {
                write_field(name, value, out);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_set_headers(settings: &Settings, request: &Request, out: &mut Vec<u8>) {
    for (name, value) in settings.set_headers.iter() {
        // The proxy frames the body itself; a configured value could only be wrong.
        let framing = ["content-length", "transfer-encoding"];
        if framing.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            continue;
        }
        let start = out.len();
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        let value_start = out.len();
        value.write(request, out);
        if out.len() == value_start {
            out.truncate(start);
            continue;
        }
        // A variable must not end its line.
        for byte in &mut out[value_start..] {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn sets(settings: &Settings, name: &[u8]) -> bool {
    let mut names = settings.set_headers.iter().map(|(own, _)| own.as_bytes());
    names.any(|own| own.eq_ignore_ascii_case(name))
}

/// The target: as the client sent it, or with the location's prefix replaced
/// by the path of `proxy_pass`. Never without a path.
fn write_target(request: &Request, chosen: &SelectedUpstream, out: &mut Vec<u8>) {
    let settings = request.settings().of::<Settings>();
    if let Some(target) = &chosen.target {
        return write_computed(target, out);
    }
    let pass = settings.pass.as_ref();
    match (
        pass.and_then(|pass| pass.path.as_deref()),
        &settings.location,
    ) {
        (Some(path), Some(prefix)) if request.valid_location => {
            out.extend_from_slice(path.as_bytes());
            let rest = request.path.get(prefix.len()..).unwrap_or_default();
            write_path(request, rest, out);
        }
        _ if !request.rewritten && !request.args_set => {
            out.extend_from_slice(&request.head.target);
            return;
        }
        _ if request.path.is_empty() => out.push(b'/'),
        _ => write_path(request, &request.path, out),
    }
    if !request.args.is_empty() {
        out.push(b'?');
        match request.rewritten || request.args_set {
            true => write_computed(&request.args, out),
            false => out.extend_from_slice(&request.args),
        }
    }
}

/// Writes what may be a variable's: it must not end its line. A blank is sent as it is, as by nginx.
fn write_computed(text: &[u8], out: &mut Vec<u8>) {
    let ends_line = |byte: &u8| matches!(byte, 0..b' ' | 0x7f);
    if !text.iter().any(ends_line) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        match ends_line(byte) {
            true => push_escaped(*byte, out),
            false => out.push(*byte),
        }
    }
}

fn write_path(request: &Request, path: &[u8], out: &mut Vec<u8>) {
    if request.quoted || request.rewritten {
        escape_path(path, out);
    } else {
        out.extend_from_slice(path);
    }
}

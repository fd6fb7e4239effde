//! Turns an upstream's response into the client's: what is hidden, what is rewritten, and what the
//! upstream tells the proxy.

use std::sync::Arc;

use bytes::Bytes;

use super::response_body::ResponseBody;
use super::settings::Settings;
use super::{accel, cookies, fields, rewrite_location};
use crate::config::group::Upstream;
use crate::http1::response_head::{self, ResponseHead};
use crate::log::level::{Level, shown};
use crate::message::fields::{Fields, value_of};
use crate::message::head::Framing;
use crate::message::rules::parse_length;
use crate::request::Request;
use crate::request::error_log::{self, LINES_OF_FIELDS};
use crate::request::response::Response;
use crate::upstream::exchange::Exchange;

/// Whether a page of this server replaces an upstream's response (`proxy_intercept_errors`).
pub(crate) fn intercepts(request: &Request, status: u16) -> bool {
    status >= 300 && {
        let settings = request.settings();
        let mut pages = settings.core.error_pages.iter();
        settings.of::<Settings>().intercept_errors && pages.any(|page| page.status == status)
    }
}

/// How the body of the response is framed, to `HEAD` if the upstream was sent that; duplicate fields are
/// ignored first. An error if the client cannot get this response.
pub(super) fn framing(
    request: &Request,
    head: &mut ResponseHead,
    is_to_head: bool,
) -> Result<Framing, response_head::Error> {
    ignore_duplicates(request, &mut head.fields);
    if head.status == 101 && request.head.upgrade().is_none() {
        return Err(response_head::Error::NoHttp);
    }
    match head.status {
        101 => Ok(Framing::None),
        _ => head.framing(is_to_head),
    }
}

/// Builds the client's response, without what `X-Accel-*` says.
pub(super) fn translate(
    settings: &Settings,
    request: &mut Request,
    head: &ResponseHead,
    framing: Framing,
    is_to_head: bool,
    exchange: Exchange,
    group: &Arc<Upstream>,
) -> Box<Response> {
    let mut response = if head.status == 101 {
        Response::tunnel(exchange.link)
    } else {
        begin(
            settings, request, head, framing, is_to_head, exchange, group,
        )
    };
    response.reason = Some(head.reason.clone());
    // With `proxy_pass_header` those of the upstream stand for this server's, also if it has none.
    let passes = |name: &str| {
        settings
            .show
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    };
    response.names_server = passes("server");
    response.names_date = passes("date");
    response.fields = Vec::with_capacity(head.fields.len());
    for (name, value) in head.fields.slices() {
        if !fields::hides(settings, &name) {
            add(request, &mut response, name, value);
        }
    }
    response
}

/// Ignores duplicates, and logs them: one by one unless they are many.
fn ignore_duplicates(request: &Request, fields: &mut Fields) {
    let ignored = fields::ignore_duplicates(fields);
    if ignored.len() == 0 || !error_log::wants(request, Level::Warn) {
        return;
    }
    for (name, value) in ignored.iter().take(LINES_OF_FIELDS) {
        let previous = fields.first(name).unwrap_or_default();
        let (name, value, previous) = (shown(name), shown(value), shown(previous));
        let what = format!(
            "upstream sent duplicate header line: \"{name}: {value}\", previous value: \
             \"{name}: {previous}\", ignored while reading response header from upstream"
        );
        error_log::request(request, Level::Warn, what);
    }
    if let Some(more @ 1..) = ignored.len().checked_sub(LINES_OF_FIELDS) {
        let what = format!(
            "upstream sent {more} more duplicate header lines, ignored while reading response \
             header from upstream"
        );
        error_log::request(request, Level::Warn, what);
    }
}

/// A response with a body, or without one.
fn begin(
    settings: &Settings,
    request: &Request,
    head: &ResponseHead,
    framing: Framing,
    is_to_head: bool,
    exchange: Exchange,
    group: &Arc<Upstream>,
) -> Box<Response> {
    let keepable = head.keeps_alive() && framing != Framing::UntilClose;
    let worker = request.connection.worker.clone();
    let mut body = ResponseBody::new(exchange, framing, keepable, group.clone(), worker);
    body.announced = framing != Framing::UntilClose && !is_to_head;
    if settings.pass_trailers {
        body.passes = Some((request.config.clone(), request.location));
    }
    if framing == Framing::None || framing == Framing::Length(0) {
        body.finish();
    }
    let mut response = Response::upstream(head.status, Box::new(body));
    response.length = match framing {
        Framing::Length(length) => Some(length),
        _ => head.fields.first(b"content-length").and_then(parse_length),
    };
    response
}

/// Adds a field of the upstream's.
fn add(request: &mut Request, response: &mut Response, name: Bytes, value: Bytes) {
    if name.eq_ignore_ascii_case(b"content-type") {
        response.content_type = Some(value).filter(|value| !value.is_empty());
    } else if name.eq_ignore_ascii_case(b"location") {
        let rewritten = rewrite_location::rewrite_location(request, &value);
        response.own_location = rewritten.is_some();
        response.location = Some(computed(response, rewritten).unwrap_or(value));
    } else {
        let rewritten = match &name[..] {
            name if name.eq_ignore_ascii_case(b"refresh") => {
                rewrite_location::rewrite_refresh(request, &value)
            }
            name if name.eq_ignore_ascii_case(b"set-cookie") => cookies::rewrite(request, &value),
            _ => None,
        };
        let value = computed(response, rewritten).unwrap_or(value);
        response.fields.push((name, value));
    }
}

/// A value that was computed for the response.
fn computed(response: &mut Response, value: Option<Vec<u8>>) -> Option<Bytes> {
    let value = value?;
    response.computed += value.len() as u64;
    Some(value_of(value.into()))
}

/// Applies `X-Accel-*` of a response that is used: as in nginx, one that an error page or another
/// peer's replaces says nothing.
pub(super) fn apply_accel(
    request: &mut Request,
    response: &mut Response,
    head: &ResponseHead,
    settings: &Settings,
) {
    let fields = accel::read(&head.fields, settings.ignored);
    if let Some(rate) = fields.rate {
        request.limit_rate = Some(rate);
    }
    if fields.redirect.is_none() && !fields.buffering.unwrap_or(settings.buffering) {
        // nginx limits the rate only of what it buffers.
        request.limit_rate = Some(0);
        response.unbuffered = true;
    }
    if let Some(charset) = fields
        .charset
        .filter(|charset| !charset.is_empty() && response.content_type.is_some())
    {
        let what = format!("unknown charset \"{}\" to override", shown(&charset));
        error_log::request(request, Level::Error, what);
    }
    if fields.redirect.is_some() {
        let kept = |(name, _): &&(Bytes, Bytes)| accel::outlives_redirect(name);
        let kept = response.fields.iter().filter(kept);
        // Copies, since slices would keep all that was read with the head.
        let copy = |(name, value): &(Bytes, Bytes)| {
            (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value))
        };
        let size = kept.clone().map(|(name, value)| name.len() + value.len());
        let kind = response.content_type.as_ref().map_or(0, Bytes::len);
        let counted = request.keep_value(size.sum::<usize>() + kind);
        let accel = &mut request.accel;
        accel.redirect = fields.redirect;
        accel.refused = counted.is_err();
        if !accel.refused {
            accel.content_type = response.content_type.as_deref().map(Bytes::copy_from_slice);
            accel.fields.extend(kept.map(copy));
        }
    }
}

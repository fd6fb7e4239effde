//! `error_page` of nginx's core module, and errors without a page
//! (`ngx_http_special_response.c`).
//!
//! nginx keeps the status of the error apart from the response for it: whatever the page's
//! own status is, `Request::error_status` is sent.

use bytes::Bytes;

use super::phases;
use crate::config::core::{ErrorPage, ErrorPageStatus};
use crate::message::fields::value_of;
use crate::message::internal_path;
use crate::modules::proxy;
use crate::request::pages::sent_as;
use crate::request::response::{self, Content, Refusal, Response};
use crate::request::{Request, user_agent};

/// Turns the result of the phases into a response.
pub(crate) async fn finalize(
    request: &mut Request,
    mut result: Result<Box<Response>, Refusal>,
) -> Box<Response> {
    loop {
        let status = match &mut result {
            Err(refusal) if refusal.silent || closes_silently(refusal.status) => {
                return Response::nothing(refusal.status);
            }
            Err(refusal) => {
                request.closing |= refusal.close;
                Some(refusal.status)
            }
            Ok(response) => wants_page(request, response),
        };
        if let Some(status) = status {
            request.closing |= ends_connection(status);
            request.error_status = status;
            if let Some(page) = find(request, status) {
                drop(result);
                result = Box::pin(open(request, status, &page)).await;
                continue;
            }
            // An upstream's own page is not used, whether there is another one or not.
            if matches!(&result, Ok(response) if matches!(response.content, Content::Upstream(_))) {
                result = Err(Refusal::new(status));
            }
        }
        let mut response = match result {
            Ok(response) => response,
            Err(refusal) => built_in(request, refusal.status),
        };
        if request.error_status > 0 && request.error_status != response.status {
            response.status = request.error_status;
            response.reason = None;
        }
        response.close |= request.closing;
        return response;
    }
}

/// The status of a response that `error_page` may replace: a redirect of this server, or
/// one matched by `proxy_intercept_errors`.
fn wants_page(request: &mut Request, response: &mut Response) -> Option<u16> {
    let status = response.status;
    let Content::Upstream(body) = &mut response.content else {
        if response.own_location {
            request.kept_location = response.location.clone();
        }
        return response.own_location.then_some(status);
    };
    if !proxy::intercepts(request, status) {
        return None;
    }
    request.take_back(&mut **body);
    if status == 401 {
        let asks = |(name, _): &&(Bytes, Bytes)| name.eq_ignore_ascii_case(b"www-authenticate");
        let asked = response.fields.iter().filter(asks);
        let size = asked.clone().map(|(name, value)| name.len() + value.len());
        // As they are, and as they are sent.
        if let Err(refusal) = request.keep_value(2 * size.sum::<usize>()) {
            return Some(refusal.status);
        }
        // Copies, since slices would keep all that was read with the head.
        let copy = |(name, value): &(Bytes, Bytes)| {
            (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value))
        };
        let asked: Vec<_> = asked.map(copy).collect();
        if request.is_subrequest() && !asked.is_empty() {
            // Its request gets those of the last response that a page has replaced.
            response::remove(&mut request.kept_fields, b"www-authenticate");
        }
        request.kept_fields.extend(asked);
    }
    Some(status)
}

/// Statuses that nginx never sends itself (`ngx_http_finalize_request`): the connection is
/// closed.
fn closes_silently(status: u16) -> bool {
    matches!(status, 408 | 444 | 499)
}

/// Errors after which nginx closes the connection.
fn ends_connection(status: u16) -> bool {
    matches!(status, 400 | 413 | 414 | 495..=497 | 500 | 501)
}

/// The page of a status; only the first error of a request gets one (`recursive_error_pages
/// off`).
fn find(request: &mut Request, status: u16) -> Option<ErrorPage> {
    let config = request.config.clone();
    let core = &config.location(request.location).settings.core;
    if request.in_error_page || core.error_pages.is_empty() || request.too_many_redirects() {
        return None;
    }
    request.in_error_page = !core.recursive_error_pages;
    let mut pages = core.error_pages.iter();
    pages.find(|page| page.status == status).cloned()
}

/// Processes the target of an `error_page`, with its status.
async fn open(
    request: &mut Request,
    status: u16,
    page: &ErrorPage,
) -> Result<Box<Response>, Refusal> {
    request.error_status = match page.replacement {
        ErrorPageStatus::Same => sent_as(status),
        ErrorPageStatus::Fixed(code) => code,
        ErrorPageStatus::FromPage => 0,
    };
    let target = page.target.evaluate(request);
    if target.starts_with(b"@") {
        return phases::run_named(request, &target).await;
    }
    if target.starts_with(b"/") {
        if !request.is_head() {
            request.head.method = Bytes::from_static(b"GET");
        }
        let path = internal_path::split(&target);
        drop(target);
        return phases::redirect(request, path).await;
    }
    let code = match request.error_status {
        code @ (301 | 302 | 303 | 307 | 308)
            if matches!(page.replacement, ErrorPageStatus::Fixed(_)) =>
        {
            code
        }
        _ => 302,
    };
    // With `recursive_error_pages` a filter may refuse one after the other.
    request.redirects += 1;
    // As it is, and as it is sent.
    request.keep_value(2 * target.len())?;
    request.error_status = code;
    let mut response = built_in(request, code);
    response.location = Some(value_of(target));
    Ok(response)
}

/// The built-in page.
fn built_in(request: &mut Request, status: u16) -> Box<Response> {
    request.error_status = sent_as(status);
    response::remove(&mut request.kept_fields, b"etag");
    let core = &request.settings().core;
    let padded = core.msie_padding && status >= 400 && user_agent::wants_padding(request);
    Response::page(status, core.server_tokens).padded(padded)
}

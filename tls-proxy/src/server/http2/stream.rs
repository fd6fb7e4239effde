//! One stream: its request and its response.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue, InvalidHeaderName};

use super::remembered::{RememberedValues, is_remembered};
use super::send::{self, Sender};
use super::send_buffer::{Chunk, InFlight};
use super::shared::Shared;
use crate::admission::Holder;
use crate::log::level::{Level, shown};
use crate::message::fields::is_hop_by_hop;
use crate::message::rules;
use crate::pipeline::phases;
use crate::request::Request;
use crate::request::error_log::{self, LINES_OF_FIELDS};
use crate::request::framing::Framing;
use crate::request::response::{Content, Response};
use crate::request::response_fields::{ConnectionFields, assemble};
use crate::request::source::Source as _;

/// Why a response is not sent.
const CANCELED: &str = "client canceled the stream";

/// Serves a request; `error` if its head was rejected. Data is sent through `queue`, which
/// is empty.
pub(super) async fn serve(
    request: &mut Request,
    error: Option<rules::Error>,
    mut responder: SendResponse<Chunk>,
    queue: &Rc<InFlight>,
    shared: &Shared,
    holder: &Rc<Holder>,
) {
    if poll_fn(|cx| Poll::Ready(responder.poll_reset(cx).is_ready())).await {
        let early = &request.connection.early_resets;
        early.set(early.get() + 1);
        if !request.ignore_client_abort.is_possible() {
            phases::route_canceled(request);
            error_log::request(request, Level::Info, CANCELED);
            return;
        }
    }
    let responding = respond(request, error, &mut responder, holder);
    match responding.await {
        Ok(response) => send(request, response, responder, queue, shared, holder).await,
        Err(error) => give_up(request, error, &mut responder, holder),
    }
}

/// Ends a request without a response.
fn give_up(
    request: &mut Request,
    error: send::Error,
    responder: &mut SendResponse<Chunk>,
    holder: &Holder,
) {
    if error == send::Error::Evicted {
        request.outcome.status = 503;
        log_eviction(request, holder);
        responder.send_reset(Reason::ENHANCE_YOUR_CALM);
    } else {
        request.outcome.status = 499;
        error_log::request(request, Level::Info, CANCELED);
    }
}

/// Logs that a stream was reset to free memory.
fn log_eviction(request: &Request, holder: &Holder) {
    // Logged for the first stream of a connection only; closing the connection is logged as
    // well.
    if let (1, Some(eviction)) = (holder.client().shed(), holder.eviction()) {
        let what = format!("stream reset to free memory: {eviction}");
        error_log::request(request, Level::Warn, what);
    }
}

/// Runs the phases; an error if the client cancels the request or the stream is evicted.
async fn respond(
    request: &mut Request,
    error: Option<rules::Error>,
    responder: &mut SendResponse<Chunk>,
    holder: &Holder,
) -> Result<Box<Response>, send::Error> {
    let ignore_client_abort = request.ignore_client_abort.clone();
    let mut responding = pin!(async {
        match error {
            None => phases::respond(request).await,
            Some(rules::Error { status, reason }) => {
                let what = format!("{reason} while reading client request headers");
                error_log::request(request, Level::Info, what);
                phases::respond_to_malformed(request, status).await
            }
        }
    });
    poll_fn(|cx| {
        let mut has_left = |cx: &mut Context<'_>| responder.poll_reset(cx).is_ready();
        match responding.as_mut().poll(cx) {
            // A body that ended early means only that the client has left.
            Poll::Ready(response)
                if matches!(response.content, Content::Nothing) && has_left(cx) =>
            {
                Poll::Ready(Err(send::Error::Gone))
            }
            Poll::Ready(response) => Poll::Ready(Ok(response)),
            Poll::Pending if has_left(cx) && !ignore_client_abort.get() => {
                Poll::Ready(Err(send::Error::Gone))
            }
            Poll::Pending => holder.poll_evicted(cx).map(|()| Err(send::Error::Evicted)),
        }
    })
    .await
}

/// Sends a response, and resets the stream if the response is incomplete.
async fn send(
    request: &mut Request,
    mut response: Box<Response>,
    mut responder: SendResponse<Chunk>,
    queue: &Rc<InFlight>,
    shared: &Shared,
    holder: &Rc<Holder>,
) {
    request.outcome.status = response.status;
    if matches!(response.content, Content::Nothing) {
        // nginx's code for `return 444` and after a time-out of the client.
        responder.send_reset(Reason::PROTOCOL_ERROR);
        return;
    }
    let bodiless = match response.framing(request) {
        Framing::None => true,
        Framing::Length(0) => request.own_trailers.is_none(),
        Framing::Length(_) | Framing::Unknown => false,
    };
    let length = if bodiless { Some(0) } else { response.length };
    let uploads = response.content.uploads();
    if let Err(error) = reserve(request, length, uploads, &mut responder, holder).await {
        if let Some(body) = response.content.upstream_body() {
            body.note_end(request);
        }
        return give_up(request, error, &mut responder, holder);
    }
    let head = head(request, &mut response, &shared.remembered);
    let blocks = &shared.unsent_blocks;
    let Ok(out) = responder.send_response(head, bodiless) else {
        return;
    };
    let pause = request.settings().core.send_timeout;
    let mut sender = Sender::new(
        out,
        queue.clone(),
        request.take_timer(),
        pause,
        holder.clone(),
    );
    let sent = if bodiless {
        blocks.add(queue);
        sender.wait_until_sent().await
    } else {
        sender
            .send(request, &mut response.content, response.length, blocks)
            .await
    };
    blocks.remove(queue);
    request.outcome.body_bytes = queue.sent();
    if let Some(body) = response.content.upstream_body() {
        body.note_end(request);
    }
    match sent {
        Ok(()) => {
            request.outcome.complete = true;
            let early = &request.connection.early_resets;
            early.set(early.get().saturating_sub(1));
        }
        Err(send::Error::Gone) => {}
        Err(send::Error::Stalled) => {
            let what = "client timed out (110: Connection timed out) while sending to client";
            error_log::request(request, Level::Info, what);
            sender.reset(Reason::PROTOCOL_ERROR);
        }
        Err(send::Error::Evicted) => {
            log_eviction(request, holder);
            sender.reset(Reason::ENHANCE_YOUR_CALM);
        }
        Err(send::Error::Cut) => sender.reset(Reason::INTERNAL_ERROR),
    }
    request.timer.set(sender.into_timer());
}

/// Waits for the memory of a response.
async fn reserve(
    request: &Request,
    length: Option<u64>,
    uploads: bool,
    responder: &mut SendResponse<Chunk>,
    holder: &Holder,
) -> Result<(), send::Error> {
    let mut reserving = pin!(request.reserve_transfer(length, uploads));
    poll_fn(|cx| {
        if reserving.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if responder.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(send::Error::Gone));
        }
        holder.poll_evicted(cx).map(|()| Err(send::Error::Evicted))
    })
    .await
}

/// Status and fields of a response.
fn head(
    request: &mut Request,
    response: &mut Response,
    remembered: &RememberedValues,
) -> http::Response<()> {
    let fields = assemble(request, response, &ConnectionFields::Http2);
    let mut head = http::Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(response.status).unwrap_or_default();
    *head.headers_mut() = header_map(request, &fields, remembered);
    request.outcome.head_bytes = fields
        .iter()
        .map(|(name, value)| (name.len() + value.len()) as u64)
        .sum();
    request.outcome.fields = fields;
    head
}

/// A field's name; those of every response are not looked up.
fn field_name(name: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    match name {
        b"Server" => Ok(header::SERVER),
        b"Date" => Ok(header::DATE),
        b"Content-Type" => Ok(header::CONTENT_TYPE),
        b"Content-Length" => Ok(header::CONTENT_LENGTH),
        _ => HeaderName::from_bytes(name),
    }
}

/// The fields that a response may have in HTTP/2 (RFC 9113, section 8.2.2).
fn header_map(
    request: &Request,
    fields: &[(Bytes, Bytes)],
    remembered: &RememberedValues,
) -> HeaderMap {
    // As many as fit, of those of several upstreams.
    let mut map = HeaderMap::try_with_capacity(fields.len()).unwrap_or_default();
    // `Trailer` belongs to the message in HTTP/2.
    let belongs = |name: &[u8]| !is_hop_by_hop(name) || name.eq_ignore_ascii_case(b"trailer");
    let of_upstream = match request.upstream_fields {
        Some(_) => request.own_fields.get()..,
        None => fields.len()..,
    };
    let (mut copies, mut invalid) = (0, 0);
    let fields = fields.iter().enumerate();
    for (index, (own, value)) in fields.filter(|(_, (name, _))| belongs(name)) {
        let name = field_name(own);
        let value = if of_upstream.contains(&index) && is_remembered(&name, value) {
            let copy = remembered.copy(copies, value);
            copies += 1;
            copy
        } else {
            HeaderValue::from_maybe_shared(value.clone())
        };
        let added = match (name, value) {
            (Ok(name), Ok(value)) => map.try_append(name, value).is_ok(),
            _ => false,
        };
        if added {
            continue;
        }
        invalid += 1;
        if invalid <= LINES_OF_FIELDS {
            let name = shown(own);
            let what = format!("response header \"{name}\" is invalid in HTTP/2, ignored");
            error_log::request(request, Level::Warn, what);
        }
    }
    if let Some(more @ 1..) = invalid.checked_sub(LINES_OF_FIELDS) {
        let what = format!("{more} more response headers are invalid in HTTP/2, ignored");
        error_log::request(request, Level::Warn, what);
    }
    map
}

//! Writes a response.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, Bytes};
use pod::decimal;

use crate::admission::Waits;
use crate::http1::chunked;
use crate::log::level::Level;
use crate::message::head::Version;
use crate::message::status::reason;
use crate::modules::proxy;
use crate::modules::trailers;
use crate::request::Request;
use crate::request::error_log;
use crate::request::framing::Framing;
use crate::request::gather::{ENOUGH, Gather, OutgoingPart, SHORTER, Then};
use crate::request::response::{Content, Response};
use crate::request::response_fields::{ConnectionFields, assemble};
use crate::request::source::{Source, UpstreamBody};
use crate::time::timer::Timer;
use crate::upstream::body::SharedWire;
use crate::upstream::tunnel;

/// Initial buffer size for the head of a response, bytes.
const LIKELY_HEAD: usize = 1024;

/// The largest buffer that is kept between two pieces of a body, bytes.
const MOST_KEPT: usize = 2 * ENOUGH;

/// Why a response is not sent.
pub(super) const GONE: &str =
    "client prematurely closed connection, so upstream connection is closed too";

/// How much of a response was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it; whether the connection may be kept.
    Whole(bool),
    /// The connection cannot be used any more.
    Cut,
}

/// How a response's body is framed.
#[derive(Clone, Copy)]
struct Frames {
    chunked: bool,
    /// The length of the body, if it is announced, bytes.
    length: Option<u64>,
    /// The connection is kept.
    keep_alive: bool,
}

/// Writes a response.
pub(super) async fn send(
    request: &mut Request,
    wire: &SharedWire,
    mut response: Box<Response>,
    keep_alive: bool,
) -> Sent {
    let before = wire.borrow().sent;
    let worker = request.connection.worker.clone();
    let buffer = request.settings().of::<proxy::buffers::Settings>().head as u64;
    let withheld = if response.unbuffered { 0 } else { buffer };
    let bodiless = response.framing(request) == Framing::None;
    let has_body = !bodiless && response.content.has_body();
    let needs = has_body || needs_memory(request);
    if needs && !reserve(request, wire, &mut response, has_body).await {
        request.outcome.status = 499;
        error_log::request(request, Level::Info, GONE);
        if let Some(body) = response.content.upstream_body() {
            finish(request, body);
        }
        return Sent::Cut;
    }
    let mut out = worker.scratch.take();
    out.reserve(LIKELY_HEAD);
    let frames = begin(request, &mut response, keep_alive, &mut out);
    let head_bytes = out.len() as u64;
    let whole = match response.content {
        Content::Memory(text) if !bodiless => {
            out.extend_from_slice(&text);
            flush_all(request, wire, &mut out).await
        }
        Content::Stream(mut source) => {
            let whole = if bodiless {
                flush_all(request, wire, &mut out).await
            } else {
                relay(request, wire, &mut *source, frames, withheld, &mut out).await
            };
            if let Some(body) = source.upstream_body() {
                finish(request, body);
            }
            whole
        }
        Content::Upstream(mut body) => {
            let whole = if bodiless {
                flush_all(request, wire, &mut out).await
            } else {
                relay(request, wire, &mut *body, frames, withheld, &mut out).await
            };
            finish(request, &mut *body);
            whole
        }
        _ => flush_all(request, wire, &mut out).await,
    };
    worker.scratch.give(out);
    let written = wire.borrow().sent - before;
    request.outcome.head_bytes = head_bytes.min(written);
    request.outcome.body_bytes += written.saturating_sub(head_bytes);
    request.outcome.complete = whole;
    if whole {
        Sent::Whole(frames.keep_alive)
    } else {
        Sent::Cut
    }
}

/// Whether its values wait for memory.
#[inline]
fn needs_memory(request: &Request) -> bool {
    request.filter_memory.get() > 0 || request.lacks_memory()
}

/// Waits for the memory of a response; `false` if the client leaves meanwhile and its
/// upstream's response is not read for that.
async fn reserve(
    request: &Request,
    wire: &SharedWire,
    response: &mut Response,
    has_body: bool,
) -> bool {
    let uploads = response.content.uploads();
    let length = if has_body { response.length } else { Some(0) };
    let watch = response.content.upstream_body().is_some()
        && !request
            .settings()
            .of::<proxy::Settings>()
            .ignore_client_abort;
    let mut reserving = pin!(request.reserve_transfer(length, uploads));
    let mut leaving = None;
    poll_fn(|cx| {
        if reserving.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if !watch {
            return Poll::Pending;
        }
        let leaving = leaving.get_or_insert_with(|| Box::pin(super::leaves(wire.clone())));
        leaving.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// Records the end of the upstream's response, and takes back the unread part of the
/// request's body.
fn finish(request: &mut Request, body: &mut dyn UpstreamBody) {
    request.take_back(body);
    body.note_end(request);
    request.connection.timer.set(body.take_timer());
}

/// Writes the head into `out`. A body of unknown length is chunked, or for HTTP/1.0 ends
/// with the connection.
fn begin(
    request: &mut Request,
    response: &mut Response,
    keep_alive: bool,
    out: &mut Vec<u8>,
) -> Frames {
    let framing = response.framing(request);
    let unknown = framing == Framing::Unknown;
    let may_chunk = request.settings().core.chunked;
    let chunked = unknown && request.head.version >= Version::Http11 && may_chunk;
    let keep_alive = keep_alive && (chunked || !unknown);
    let upgrade = matches!(response.content, Content::Tunnel(_));
    let connection_fields = ConnectionFields::Http1 {
        chunked,
        keep_alive,
        upgrade,
    };
    request.outcome.status = response.status;
    request.outcome.fields = assemble(request, response, &connection_fields);
    if request.head.version > Version::Http09 {
        write_head(request, response, out);
    }
    Frames {
        chunked,
        length: match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Unknown => None,
        },
        keep_alive,
    }
}

fn write_head(request: &Request, response: &Response, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal::write_padded(response.status.into(), 3, out);
    match &response.reason {
        Some(rest) => out.extend_from_slice(rest),
        None => {
            out.extend_from_slice(b" ");
            out.extend_from_slice(reason(response.status).as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in &request.outcome.fields {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// A step of [`relay`].
enum RelayEvent {
    Flush,
    /// The client has left while the upstream is silent.
    Gone,
    Part(OutgoingPart),
}

/// Copies a body to the client; `false` if it is cut. Data that is ready is written
/// together, without waiting for more. nginx would have sent nothing to a client that left
/// before `withheld` bytes, which decides the status in the log.
async fn relay(
    request: &mut Request,
    wire: &SharedWire,
    source: &mut dyn Source,
    frames: Frames,
    withheld: u64,
    out: &mut Vec<u8>,
) -> bool {
    let before = wire.borrow().sent;
    let chunked = frames.chunked;
    let mut left = frames.length.unwrap_or_default();
    let proxy = request.settings().of::<proxy::Settings>();
    let pass_trailers = request.own_trailers.is_some() || proxy.pass_trailers;
    let watch = !proxy.ignore_client_abort;
    let mut gather = Gather::default();
    loop {
        let turn = poll_fn(|cx| match gather.poll(source, request, cx) {
            Poll::Pending if !out.is_empty() => Poll::Ready(RelayEvent::Flush),
            Poll::Pending
                if watch
                    && source
                        .upstream_body()
                        .is_some_and(|body| body.has_whole_request())
                    && super::client_is_gone(wire, cx) =>
            {
                Poll::Ready(RelayEvent::Gone)
            }
            part => part.map(RelayEvent::Part),
        })
        .await;
        let OutgoingPart { mut data, then } = match turn {
            RelayEvent::Flush => {
                if !flush_all(request, wire, out).await {
                    return false;
                }
                continue;
            }
            RelayEvent::Gone => {
                if wire.borrow().sent - before < withheld {
                    request.outcome.status = 499;
                }
                error_log::request(request, Level::Info, GONE);
                return false;
            }
            RelayEvent::Part(part) => part,
        };
        left = left.saturating_sub(data.len() as u64);
        if chunked {
            chunked::encode(&std::mem::take(&mut data), out);
        } else if out.is_empty() && data.len() >= ENOUGH {
            // The head and data after it were copied; large pieces from here on are not.
            *out = Vec::new();
            if !flush(request, wire, &mut data).await {
                return false;
            }
        } else {
            // The original is freed, so it is not held while the client reads.
            out.extend_from_slice(&std::mem::take(&mut data));
        }
        let flushes = match then {
            Then::More => out.len() >= ENOUGH,
            Then::Wait => true,
            Then::Cut(cut) => {
                error_log::request(request, cut.level(), cut);
                flush_all(request, wire, out).await;
                return false;
            }
            Then::End(_) if left > 0 => {
                error_log::request(request, Level::Alert, SHORTER);
                flush_all(request, wire, out).await;
                return false;
            }
            Then::End(lines) => {
                if chunked {
                    let lines = match pass_trailers {
                        true => trailers::at_end(request, lines, source.upstream_body()),
                        false => Ok(Bytes::new()),
                    };
                    let Ok(lines) = lines else {
                        flush_all(request, wire, out).await;
                        return false;
                    };
                    chunked::encode_end(&lines, out);
                }
                return flush_all(request, wire, out).await;
            }
        };
        if flushes && !flush_all(request, wire, out).await {
            return false;
        }
    }
}

/// Writes and empties `out`.
async fn flush_all(request: &Request, wire: &SharedWire, out: &mut Vec<u8>) -> bool {
    let whole = flush(request, wire, &mut &out[..]).await;
    out.clear();
    if out.capacity() > MOST_KEPT {
        // The piece was read in bulk, which others may be permitted next.
        *out = Vec::new();
    }
    whole
}

/// Writes `out`, with a time-out between two writes (`send_timeout`); `false` if the client
/// does not read it.
async fn flush(request: &Request, wire: &SharedWire, out: &mut impl Buf) -> bool {
    let pause = request.settings().core.send_timeout;
    let mut forced = pin!(request.connection.worker.drain.forced());
    let mut timer = Timer::default();
    let mut left = out.remaining();
    let holder = request.connection.account.holder();
    let mut waited = false;
    let result = poll_fn(|cx| {
        if let Poll::Ready(result) = wire.borrow_mut().poll_send(cx, out) {
            if waited {
                holder.stop_waiting();
            }
            return Poll::Ready(Some(result));
        }
        holder.wait(Waits::Response, wire.borrow().sent);
        waited = true;
        if forced.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if out.remaining() < left {
            left = out.remaining();
            timer.progress();
        }
        timer.poll(cx, pause).map(|()| None)
    })
    .await;
    if result.is_none() {
        let what = "client timed out (110: Connection timed out) while sending to client";
        error_log::request(request, Level::Info, what);
    }
    matches!(result, Some(Ok(())))
}

/// Sends an upstream's `101` and relays both directions.
pub(super) async fn open_tunnel(
    request: &mut Request,
    wire: &SharedWire,
    mut response: Box<Response>,
) {
    if needs_memory(request) {
        reserve(request, wire, &mut response, false).await;
    }
    let mut out = Vec::with_capacity(512);
    begin(request, &mut response, false, &mut out);
    request.outcome.head_bytes = out.len() as u64;
    let Content::Tunnel(mut link) = response.content else {
        return;
    };
    if !flush_all(request, wire, &mut out).await {
        return;
    }
    drop(out);
    let settings = request.settings().of::<proxy::Settings>();
    let patience = tunnel::Patience {
        idle: settings.read_timeout,
        upstream: settings.send_timeout,
        client: request.settings().core.send_timeout,
    };
    let drain = request.connection.worker.drain.clone();
    let before = wire.borrow().sent;
    let connection = request.connection.clone();
    let holder = connection.account.holder();
    if let Some(permit) = &request.permit {
        // What it waited for is there: the upstream is not stuck.
        permit.completed();
    }
    holder.start_stage();
    let permit = request.permit.as_ref();
    tunnel::run(wire, &mut link, patience, &drain, holder, permit).await;
    request.outcome.body_bytes += wire.borrow().sent - before;
    request.outcome.complete = true;
}

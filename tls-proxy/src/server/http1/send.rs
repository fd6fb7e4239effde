//! Writing an answer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, Bytes};

use crate::admission::Waits;
use crate::decimal;
use crate::http1::chunked;
use crate::log::level::Level;
use crate::message::head::Version;
use crate::message::status::reason;
use crate::modules::proxy;
use crate::modules::trailers;
use crate::request::Request;
use crate::request::error_log;
use crate::request::framing::Framing;
use crate::request::gather::{ENOUGH, Gather, OutgoingPart, Then};
use crate::request::response::{Carriage, Content, Response, assemble};
use crate::request::source::{Source, UpstreamBody};
use crate::time::timer::Timer;
use crate::upstream::body::SharedWire;
use crate::upstream::tunnel;

/// Room for the head of an answer, bytes.
const LIKELY_HEAD: usize = 1024;

/// How far an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// To its end; whether the connection may be kept.
    Whole(bool),
    /// The connection means nothing any more.
    Cut,
}

/// How an answer's body is framed.
#[derive(Clone, Copy)]
struct Frames {
    chunked: bool,
    /// The connection is kept.
    keep_alive: bool,
}

/// Writes an answer.
pub(super) async fn send(
    request: &mut Request,
    wire: &SharedWire,
    mut response: Response,
    keep_alive: bool,
) -> Sent {
    let before = wire.borrow().sent;
    let worker = request.connection.worker.clone();
    let buffer = request.settings().of::<proxy::buffers::Settings>().head as u64;
    let withheld = if response.unbuffered { 0 } else { buffer };
    let mut out = worker.scratch.take();
    out.reserve(LIKELY_HEAD);
    let bodiless = response.framing(request) == Framing::None;
    let frames = begin(request, &mut response, keep_alive, &mut out);
    let head_bytes = out.len() as u64;
    if !bodiless && response.content.has_body() {
        request.reserve_transfer(response.length).await;
    }
    let whole = match response.content {
        Content::Memory(text) if !bodiless => {
            out.extend_from_slice(&text);
            flush_all(request, wire, &mut out).await
        }
        Content::Stream(mut source) => {
            let whole = if bodiless {
                flush_all(request, wire, &mut out).await
            } else {
                relay(
                    request,
                    wire,
                    &mut *source,
                    frames.chunked,
                    withheld,
                    &mut out,
                )
                .await
            };
            if let Some(answer) = source.answer() {
                finish(request, answer);
            }
            whole
        }
        Content::Upstream(mut answer) => {
            let whole = if bodiless {
                flush_all(request, wire, &mut out).await
            } else {
                relay(
                    request,
                    wire,
                    &mut *answer,
                    frames.chunked,
                    withheld,
                    &mut out,
                )
                .await
            };
            finish(request, &mut *answer);
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

/// Notes what became of the upstream, and takes back what the client has
/// still to send.
fn finish(request: &mut Request, answer: &mut dyn UpstreamBody) {
    let unread = answer.take_unread();
    if !unread.is_done() {
        request.body = unread;
    }
    answer.note_end(request);
    request.connection.timer.set(answer.take_timer());
}

/// Writes the head into `out`. A body whose end nothing else tells is sent in
/// chunks, or to HTTP/1.0 until the connection closes.
fn begin(
    request: &mut Request,
    response: &mut Response,
    keep_alive: bool,
    out: &mut Vec<u8>,
) -> Frames {
    let unknown = response.framing(request) == Framing::Unknown;
    let may_chunk = request.settings().core.chunked;
    let chunked = unknown && request.head.version >= Version::Http11 && may_chunk;
    let keep_alive = keep_alive && (chunked || !unknown);
    let upgrade = matches!(response.content, Content::Tunnel(_));
    let carriage = Carriage::Http1 {
        chunked,
        keep_alive,
        upgrade,
    };
    request.outcome.status = response.status;
    request.outcome.fields = assemble(request, response, &carriage);
    if request.head.version > Version::Http09 {
        write_head(request, response, out);
    }
    Frames {
        chunked,
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

/// What a turn of [`relay`] has to do.
enum Turn {
    Flush,
    /// Nobody waits for the rest, however long the upstream is silent.
    Gone,
    Part(OutgoingPart),
}

/// Moves an upstream's body to the client; `false` when it is cut. What is
/// there is written together, what is not is not waited for. A client that leaves
/// before it has been sent `withheld` bytes would have been sent nothing by nginx,
/// and so has its status in the log.
async fn relay(
    request: &mut Request,
    wire: &SharedWire,
    source: &mut dyn Source,
    chunked: bool,
    withheld: u64,
    out: &mut Vec<u8>,
) -> bool {
    let before = wire.borrow().sent;
    let proxy = request.settings().of::<proxy::Settings>();
    let pass_trailers = request.own_trailers.is_some() || proxy.pass_trailers;
    let watch = !proxy.ignore_client_abort;
    let mut gather = Gather::default();
    loop {
        let turn = poll_fn(|cx| match gather.poll(source, cx) {
            Poll::Pending if !out.is_empty() => Poll::Ready(Turn::Flush),
            Poll::Pending
                if watch
                    && source
                        .answer()
                        .is_none_or(|answer| answer.has_whole_request())
                    && super::client_is_gone(wire, cx) =>
            {
                Poll::Ready(Turn::Gone)
            }
            part => part.map(Turn::Part),
        })
        .await;
        let OutgoingPart { mut data, then } = match turn {
            Turn::Flush => {
                if !flush_all(request, wire, out).await {
                    return false;
                }
                continue;
            }
            Turn::Gone => {
                if wire.borrow().sent - before < withheld {
                    request.outcome.status = 499;
                }
                let what =
                    "client prematurely closed connection, so upstream connection is closed too";
                error_log::request(request, Level::Info, what);
                return false;
            }
            Turn::Part(part) => part,
        };
        if chunked {
            chunked::encode(&std::mem::take(&mut data), out);
        } else if out.is_empty() && data.len() >= ENOUGH {
            // What went with the head was copied; large pieces from here on are not.
            *out = Vec::new();
            if !flush(request, wire, &mut data).await {
                return false;
            }
        } else {
            // It is not held beside its copy while the client is waited for.
            out.extend_from_slice(&std::mem::take(&mut data));
        }
        let flushes = match then {
            Then::More => out.len() >= ENOUGH,
            Then::Wait => true,
            Then::Cut(cut) => {
                error_log::request(request, Level::Error, cut);
                flush_all(request, wire, out).await;
                return false;
            }
            Then::End(lines) => {
                if chunked {
                    let lines = if pass_trailers {
                        trailers::at_end(request, lines, source.answer())
                    } else {
                        Bytes::new()
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

/// Writes what has been gathered; `out` is empty then.
async fn flush_all(request: &Request, wire: &SharedWire, out: &mut Vec<u8>) -> bool {
    let whole = flush(request, wire, &mut &out[..]).await;
    out.clear();
    whole
}

/// Writes `out`, with a time-out between two writes (`send_timeout`); `false`
/// when the client does not take it.
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

/// Sends an upstream's `101` and lets the two sides talk.
pub(super) async fn open_tunnel(request: &mut Request, wire: &SharedWire, mut response: Response) {
    let mut out = Vec::with_capacity(512);
    begin(request, &mut response, false, &mut out);
    request.outcome.head_bytes = out.len() as u64;
    let Content::Tunnel(mut link) = response.content else {
        return;
    };
    if !flush_all(request, wire, &mut out).await {
        return;
    }
    let idle = request.settings().of::<proxy::Settings>().read_timeout;
    let drain = request.connection.worker.drain.clone();
    let before = wire.borrow().sent;
    let connection = request.connection.clone();
    let holder = connection.account.holder();
    holder.start_stage();
    tunnel::run(wire, &mut link, idle, &drain, holder).await;
    request.outcome.body_bytes += wire.borrow().sent - before;
    request.outcome.complete = true;
}

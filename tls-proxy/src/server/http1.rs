//! HTTP/1 with a client (RFC 9112): one request after the other.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::{Connection, note_broken};
use super::phases;
use super::request::Request;
use super::response::{Carriage, Content, Response, assemble};
use super::stream::ClientStream;
use crate::error_log::{self, Level};
use crate::http1::body::Decoder;
use crate::http1::chunked;
use crate::http1::request_head::{self, Framing, Rejection, RequestHead, Version};
use crate::life::drain::{Kind, Token};
use crate::modules::core::{Lingering, reason};
use crate::upstream::answer::{Cut, Frame};
use crate::upstream::body::{Http1Body, RequestBody, SharedWire};
use crate::upstream::tunnel;
use crate::wire::Wire;

/// Bytes of an answer that are gathered before they are written.
const WRITE_AT: usize = 16 * 1024;
/// Bytes of a next request that are read while this one is being answered.
const READ_AHEAD: usize = 16 * 1024;

/// Serves requests until the connection ends.
pub(crate) async fn serve(connection: Rc<Connection>, stream: ClientStream, mut token: Token) {
    let wire = Rc::new(RefCell::new(Wire::new(stream, BytesMut::new())));
    let began = Instant::now();
    loop {
        let head = match next_head(&connection, &wire).await {
            Next::Head(head) => head,
            Next::Close => break,
            Next::Rejected(rejection) => {
                refuse_head(&connection, &wire, rejection).await;
                break;
            }
        };
        let in_flight = connection.worker.drain.token(Kind::Request);
        let end = answer(&connection, &wire, head, began, &mut token).await;
        drop(in_flight);
        match end {
            End::KeepAlive => {}
            End::Close => break,
            End::Linger(limits) => {
                linger(&wire, limits).await;
                break;
            }
        }
    }
    let _ = timeout(
        Duration::from_secs(5),
        poll_fn(|cx| wire.borrow_mut().poll_shutdown(cx)),
    )
    .await;
}

/// What came of waiting for a request.
enum Next {
    Head(Box<RequestHead>),
    Rejected(Rejection),
    Close,
}

/// What follows an answer.
enum End {
    KeepAlive,
    Close,
    /// Read on for a while, so that the client reads the answer before it
    /// meets a reset.
    Linger((Duration, Duration)),
}

/// Waits for the next head, for as long as the time-outs and the drain allow.
async fn next_head(connection: &Rc<Connection>, wire: &SharedWire) -> Next {
    let core = &connection.default_settings().core;
    let first = connection.requests.get() == 0;
    if !first && wire.borrow().inbound.is_empty() {
        let idle = wait_for_request(connection, wire);
        if !matches!(timeout(core.keepalive_timeout, idle).await, Ok(true)) {
            return Next::Close;
        }
    }
    let deadline = Instant::now() + core.client_header_timeout;
    let mut looked_at = 0;
    loop {
        // A head cannot end in what has no line feed.
        let grew = wire.borrow().inbound[looked_at..].contains(&b'\n') || looked_at == 0;
        if grew || connection.requests.get() == 0 {
            let parsed = request_head::parse(&mut wire.borrow_mut().inbound, &core.head);
            match parsed {
                Ok(Some(head)) => return Next::Head(Box::new(head)),
                Ok(None) => {}
                Err(rejection) => return Next::Rejected(rejection),
            }
        } else if wire.borrow().inbound.len() > core.head.head + core.head.line {
            let line = first_line(wire);
            return Next::Rejected(Rejection {
                status: 494,
                reason: "client sent too large request".into(),
                line,
            });
        }
        looked_at = wire.borrow().inbound.len();
        let filled = timeout_at(deadline, poll_fn(|cx| wire.borrow_mut().poll_fill(cx))).await;
        let what = match filled {
            Ok(Ok(size)) if size > 0 => continue,
            Ok(_) if looked_at == 0 => return Next::Close,
            Ok(_) => {
                note_broken(connection, first_line(wire), 400);
                "client prematurely closed connection while reading client request headers"
            }
            Err(_) => {
                if looked_at > 0 {
                    note_broken(connection, first_line(wire), 408);
                }
                "client timed out (110: Connection timed out) while reading client request headers"
            }
        };
        error_log::connection(connection, Level::Info, what);
        return Next::Close;
    }
}

/// `true` when something has come; `false` when the connection is to close.
async fn wait_for_request(connection: &Connection, wire: &SharedWire) -> bool {
    let mut draining = pin!(connection.worker.closes_idle());
    poll_fn(|cx| {
        match wire.borrow_mut().poll_fill(cx) {
            Poll::Ready(Ok(size)) => return Poll::Ready(size > 0),
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Pending => {}
        }
        draining.as_mut().poll(cx).map(|_| false)
    })
    .await
}

fn first_line(wire: &SharedWire) -> Bytes {
    let wire = wire.borrow();
    let end = memchr::memchr2(b'\r', b'\n', &wire.inbound).unwrap_or(wire.inbound.len());
    Bytes::copy_from_slice(&wire.inbound[..end])
}

/// Answers what is no request, and ends the connection.
async fn refuse_head(connection: &Rc<Connection>, wire: &SharedWire, rejection: Rejection) {
    let Rejection {
        status,
        reason,
        line,
    } = rejection;
    let status = if connection.plain_on_tls && status == 400 {
        497
    } else {
        status
    };
    let mut request = Request::broken(connection, line);
    error_log::request(
        &request,
        Level::Info,
        format!("{reason} while reading client request line"),
    );
    let response = phases::respond_to_broken(&mut request, status).await;
    let core = &request.settings().core;
    let limits = (core.lingering_time, core.lingering_timeout);
    let sent = send(&mut request, wire, response, false).await;
    drop(request);
    if sent == Sent::Whole {
        linger(wire, limits).await;
    }
}

/// Answers one request.
async fn answer(
    connection: &Rc<Connection>,
    wire: &SharedWire,
    head: Box<RequestHead>,
    began: Instant,
    token: &mut Token,
) -> End {
    let framing = head.framing().unwrap_or(Framing::None);
    let body = match framing {
        Framing::None | Framing::Length(0) => RequestBody::None,
        framing => {
            let decoder = Decoder::new(framing);
            RequestBody::Http1(Box::new(Http1Body::new(
                wire.clone(),
                decoder,
                head.expects_continue(),
            )))
        }
    };
    let mut request = Request::new(connection, *head, body);
    request.pipelined = !wire.borrow().inbound.is_empty();
    request.received = request.head_length();
    let written = wire.borrow().sent;
    let response = {
        let watch = !request.settings().proxy.ignore_client_abort;
        let bodyless = request.body.is_done();
        let mut responding = pin!(phases::respond(&mut request));
        poll_fn(|cx| {
            if let Poll::Ready(response) = responding.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            if bodyless && watch && client_is_gone(wire, cx) {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        })
        .await
    };
    let Some(mut response) = response else {
        error_log::request(
            &request,
            Level::Info,
            "client prematurely closed connection, so upstream connection is closed too",
        );
        return End::Close;
    };
    if response.status == 444 {
        request.outcome.status = 444;
        return End::Close;
    }
    let interim = wire.borrow().sent - written;
    request.outcome.body_bytes = interim;
    let keep_alive = keeps_alive(&request, &response, began);
    if let Content::Tunnel(_) = response.content {
        token.turn_into(Kind::Tunnel);
        open_tunnel(&mut request, wire, response).await;
        return End::Close;
    }
    let unread = unread_body(&request, &mut response);
    let sent = send(&mut request, wire, response, keep_alive).await;
    end(request, wire, sent, keep_alive, unread).await
}

/// What the client still has to send of its body.
#[derive(Clone, Copy, PartialEq)]
enum Unread {
    Nothing,
    /// It can be read and dropped.
    Some,
    /// It cannot be told from a next request any more.
    Lost,
}

fn unread_body(request: &Request, response: &mut Response) -> Unread {
    match (&request.body, &response.content) {
        (_, Content::Upstream(answer)) if !answer.has_whole_request() => Unread::Lost,
        (RequestBody::Http1(body), _) if body.is_withheld() => Unread::Lost,
        (body, _) if !body.is_done() => Unread::Some,
        _ => Unread::Nothing,
    }
}

/// Decides what becomes of the connection.
async fn end(
    mut request: Request,
    wire: &SharedWire,
    sent: Sent,
    keep_alive: bool,
    unread: Unread,
) -> End {
    let core = &request.settings().core;
    let limits = (core.lingering_time, core.lingering_timeout);
    let lingers = core.lingering_close;
    let mut body = std::mem::replace(&mut request.body, RequestBody::None);
    drop(request);
    if sent == Sent::Cut {
        return End::Close;
    }
    if keep_alive && unread == Unread::Some {
        let whole = timeout(limits.0, discard(&mut body, limits.1)).await;
        if matches!(whole, Ok(true)) {
            return End::KeepAlive;
        }
        return End::Close;
    }
    match (keep_alive && unread == Unread::Nothing, lingers, unread) {
        (true, _, _) => End::KeepAlive,
        (_, Lingering::Off, _) | (_, Lingering::On, Unread::Nothing) if !pending(wire) => {
            End::Close
        }
        (_, Lingering::Off, _) => End::Close,
        _ => End::Linger(limits),
    }
}

fn pending(wire: &SharedWire) -> bool {
    !wire.borrow().inbound.is_empty()
}

/// Reads a body nobody wants; `true` at its end.
async fn discard(body: &mut RequestBody, pause: Duration) -> bool {
    loop {
        match timeout(pause, poll_fn(|cx| body.poll_data(cx))).await {
            Ok(Some(Ok(_))) => {}
            Ok(None) => return true,
            Ok(Some(Err(_))) | Err(_) => return false,
        }
    }
}

/// Whether the client has closed; what it sends meanwhile is kept for later.
fn client_is_gone(wire: &SharedWire, cx: &mut Context<'_>) -> bool {
    let mut wire = wire.borrow_mut();
    while wire.inbound.len() < READ_AHEAD {
        match wire.poll_fill(cx) {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return true,
            Poll::Ready(Ok(_)) => {}
            Poll::Pending => return false,
        }
    }
    false
}

fn keeps_alive(request: &Request, response: &Response, began: Instant) -> bool {
    let core = &request.settings().core;
    let worker = &request.connection.worker;
    request.head.wants_keep_alive()
        && !response.close
        && !core.keepalive_timeout.is_zero()
        && request.number < core.keepalive_requests
        && began.elapsed() < core.keepalive_time
        && !worker.says_goodbye()
}

/// Whether an answer reached its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Whole,
    /// The connection means nothing any more.
    Cut,
}

/// Writes an answer.
async fn send(
    request: &mut Request,
    wire: &SharedWire,
    mut response: Response,
    keep_alive: bool,
) -> Sent {
    let before = wire.borrow().sent;
    let mut out = BytesMut::with_capacity(1024);
    let chunked = begin(request, &mut response, keep_alive, &mut out);
    let head_bytes = out.len() as u64;
    let bodiless = request.is_head() || response.is_bodiless();
    let sent = match response.content {
        Content::Memory(text) if !bodiless => {
            out.extend_from_slice(&text);
            flush(request, wire, &mut out).await
        }
        Content::Upstream(mut answer) if !bodiless => {
            let sent = relay(request, wire, &mut answer, chunked, out).await;
            report(request, &mut answer);
            sent
        }
        Content::Upstream(mut answer) => {
            report(request, &mut answer);
            flush(request, wire, &mut out).await
        }
        _ => flush(request, wire, &mut out).await,
    };
    let written = wire.borrow().sent - before;
    request.outcome.head_bytes = head_bytes.min(written);
    request.outcome.body_bytes += written.saturating_sub(head_bytes);
    request.outcome.complete = sent == Sent::Whole;
    sent
}

fn report(request: &mut Request, answer: &mut crate::upstream::answer::Answer) {
    if let Some(attempt) = request.attempts.last_mut() {
        answer.report(attempt);
    }
}

/// Writes the head into `out`; says whether the body is chunked. A body whose
/// end nothing else tells ends with the connection, for HTTP/1.0.
fn begin(
    request: &mut Request,
    response: &mut Response,
    keep_alive: bool,
    out: &mut BytesMut,
) -> bool {
    let unknown = response.length.is_none()
        && !response.is_bodiless()
        && matches!(response.content, Content::Upstream(_));
    let chunked = unknown && !request.is_head() && request.head.version >= Version::Http11;
    let until_close = unknown && !request.is_head() && !chunked;
    let upgrade = matches!(response.content, Content::Tunnel(_));
    let carriage = Carriage::Http1 {
        chunked,
        keep_alive: keep_alive && !until_close,
        upgrade,
    };
    request.outcome.status = response.status;
    request.outcome.fields = assemble(request, response, &carriage);
    if request.head.version == Version::Http09 {
        return false;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(format!("{:03}", response.status).as_bytes());
    let words = response
        .reason
        .as_deref()
        .unwrap_or_else(|| reason(response.status).as_bytes());
    if !words.is_empty() || response.reason.is_none() {
        out.extend_from_slice(b" ");
        out.extend_from_slice(words);
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in &request.outcome.fields {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    chunked
}

/// Moves an upstream's body to the client: what is there is written together,
/// what is not is not waited for.
async fn relay(
    request: &Request,
    wire: &SharedWire,
    answer: &mut crate::upstream::answer::Answer,
    chunked: bool,
    mut out: BytesMut,
) -> Sent {
    let trailers = request.settings().proxy.pass_trailers;
    loop {
        let frame = poll_fn(|cx| {
            let frame = answer.poll_frame(cx);
            // Write what is at hand before waiting for more.
            if frame.is_pending() && !out.is_empty() {
                Poll::Ready(Turn::Flush)
            } else {
                frame.map(Turn::Frame)
            }
        })
        .await;
        match frame {
            Turn::Flush => {
                if flush(request, wire, &mut out).await == Sent::Cut {
                    return Sent::Cut;
                }
            }
            Turn::Frame(Some(Ok(Frame::Data(data)))) => {
                if chunked {
                    chunked::encode(&data, &mut out);
                } else {
                    out.extend_from_slice(&data);
                }
                if out.len() >= WRITE_AT && flush(request, wire, &mut out).await == Sent::Cut {
                    return Sent::Cut;
                }
            }
            Turn::Frame(Some(Ok(Frame::Trailers(lines)))) => {
                let lines = if trailers { &lines[..] } else { b"" };
                if chunked {
                    chunked::encode_end(lines, &mut out);
                }
                return flush(request, wire, &mut out).await;
            }
            Turn::Frame(None) => {
                if chunked {
                    chunked::encode_end(b"", &mut out);
                }
                return flush(request, wire, &mut out).await;
            }
            Turn::Frame(Some(Err(cut))) => {
                tell_cut(request, cut);
                let _ = flush(request, wire, &mut out).await;
                return Sent::Cut;
            }
        }
    }
}

/// What a turn of [`relay`] has to do.
enum Turn {
    Flush,
    Frame(Option<Result<Frame, Cut>>),
}

fn tell_cut(request: &Request, cut: Cut) {
    error_log::request(request, Level::Error, cut);
}

/// Writes `out`, with a time-out between two writes (`send_timeout`).
async fn flush(request: &Request, wire: &SharedWire, out: &mut BytesMut) -> Sent {
    let pause = request.settings().core.send_timeout;
    let mut forced = pin!(request.connection.worker.drain.forced());
    let mut timer = crate::upstream::exchange::Timer::default();
    let mut left = out.len();
    let result = poll_fn(|cx| {
        if forced.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let written = wire.borrow_mut().poll_send(cx, out);
        if let Poll::Ready(result) = written {
            return Poll::Ready(Some(result));
        }
        if out.len() < left {
            left = out.len();
            timer.progress();
        }
        timer.poll(cx, pause).map(|()| None)
    })
    .await;
    match result {
        Some(Ok(())) => Sent::Whole,
        Some(Err(_)) => Sent::Cut,
        None => {
            error_log::request(
                request,
                Level::Info,
                "client timed out (110: Connection timed out) while sending to client",
            );
            Sent::Cut
        }
    }
}

/// Sends an upstream's `101` and lets the two sides talk.
async fn open_tunnel(request: &mut Request, wire: &SharedWire, mut response: Response) {
    let mut out = BytesMut::with_capacity(512);
    begin(request, &mut response, false, &mut out);
    request.outcome.head_bytes = out.len() as u64;
    if flush(request, wire, &mut out).await == Sent::Cut {
        return;
    }
    let Content::Tunnel(mut link) = response.content else {
        return;
    };
    let idle = request.settings().proxy.read_timeout;
    let drain = request.connection.worker.drain.clone();
    let before = wire.borrow().sent;
    tunnel::run(wire, &mut link, idle, &drain).await;
    request.outcome.body_bytes += wire.borrow().sent - before;
    request.outcome.complete = true;
}

/// Reads on after the last answer (`lingering_close`).
async fn linger(wire: &SharedWire, (time, pause): (Duration, Duration)) {
    let _ = poll_fn(|cx| wire.borrow_mut().poll_shutdown(cx)).await;
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        wire.borrow_mut().inbound.clear();
        match timeout(pause, poll_fn(|cx| wire.borrow_mut().poll_fill(cx))).await {
            Ok(Ok(size)) if size > 0 => {}
            _ => break,
        }
    }
}

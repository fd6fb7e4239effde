//! HTTP/2 with a client (RFC 9113), framed by hyper: each stream is a request
//! that walks the same phases.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Frame as HttpFrame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::connection::Connection;
use super::phases;
use super::request::Request;
use super::response::{Carriage, Content, Response, assemble};
use super::source::Source as _;
use super::stream::ClientStream;
use crate::error_log::{self, Level};
use crate::http1::fields::{Fields, is_hop_by_hop};
use crate::http1::request_head::{Framing, Limits, RequestHead, Version, parse_length};
use crate::life::drain::{Kind, Token};
use crate::upstream::answer::Frame;
use crate::upstream::body::{Http2Body, RequestBody};

/// A stream's window: what a client may send ahead of its upstream, bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The window of all streams together, bytes.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// How long a client may stay that has been told goodbye and has no stream.
const LEAVE: Duration = Duration::from_secs(1);

/// Runs hyper's own tasks on the worker's thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local
where
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Since when each stream's last piece waits for the client to take it: hyper
/// asks for the next one only then, and has no time-out for it.
#[derive(Default)]
pub(crate) struct Sending(RefCell<Vec<Weak<Cell<Option<Instant>>>>>);

impl Sending {
    fn add(&self) -> Rc<Cell<Option<Instant>>> {
        let since = Rc::new(Cell::new(None));
        let mut all = self.0.borrow_mut();
        all.retain(|stream| stream.strong_count() > 0);
        all.push(Rc::downgrade(&since));
        since
    }

    /// Resolves when a stream has waited for `limit` (`send_timeout`).
    async fn stalled(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit).await;
            let streams = self.0.borrow();
            let mut since = streams.iter().filter_map(|stream| stream.upgrade()?.get());
            if since.any(|since| since.elapsed() >= limit) {
                return;
            }
        }
    }
}

/// Serves streams until the connection ends.
pub(crate) async fn serve(connection: Rc<Connection>, stream: ClientStream, token: Token) {
    let settings = connection.default_settings();
    let core = &settings.core;
    let service = {
        let connection = connection.clone();
        service_fn(move |request| respond(connection.clone(), request))
    };
    let mut serving = std::pin::pin!(
        hyper::server::conn::http2::Builder::new(Local)
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.http2.max_concurrent_streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(core.head.head).unwrap_or(u32::MAX))
            .max_send_buf_size(64 * 1024)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    let worker = connection.worker.clone();
    let idle = core.keepalive_timeout;
    let mut ending = std::pin::pin!(worker.closes_idle());
    let mut forced = std::pin::pin!(worker.drain.forced());
    let mut stalled = std::pin::pin!(connection.sending.stalled(core.send_timeout));
    let mut goodbye = false;
    loop {
        let requests = connection.requests.get();
        let patience = if goodbye { LEAVE.min(idle) } else { idle };
        tokio::select! {
            _ = serving.as_mut() => break,
            _ = forced.as_mut() => break,
            () = ending.as_mut(), if !goodbye => goodbye = true,
            () = connection.worn_out.notified(), if !goodbye => goodbye = true,
            () = stalled.as_mut() => {
                let what = "client timed out (110: Connection timed out) while sending to client";
                error_log::connection(&connection, Level::Info, what);
                break;
            }
            () = tokio::time::sleep(patience) => {
                let quiet = requests == connection.requests.get() && connection.in_flight.get() == 0;
                if quiet && goodbye {
                    break;
                }
                goodbye |= quiet;
            }
        }
        if goodbye {
            serving.as_mut().graceful_shutdown();
        }
    }
    drop(token);
}

/// `return 444`: the stream is reset.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

/// Answers one stream.
async fn respond(
    connection: Rc<Connection>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<StreamBody>, NoAnswer> {
    let in_flight = connection.worker.drain.token(Kind::Request);
    let (parts, body) = request.into_parts();
    let body = Http2Body::new(body);
    let length = parts
        .headers
        .get(hyper::header::CONTENT_LENGTH)
        .map(HeaderValue::as_bytes);
    let framing = match (
        length.and_then(parse_length),
        hyper::body::Body::is_end_stream(body.incoming()),
    ) {
        (_, true) => Framing::None,
        (Some(length), _) => Framing::Length(length),
        (None, _) => Framing::Chunked,
    };
    let head = head_of(&parts, &connection.default_settings().core.head);
    let mut request = Request::new(&connection, head, RequestBody::Http2(Box::new(body)));
    request.framing = framing;
    if request.number >= request.settings().core.keepalive_requests {
        connection.worn_out.notify_one();
    }
    let mut response = phases::respond(&mut request).await;
    request.outcome.status = response.status;
    if matches!(response.content, Content::Nothing) {
        return Err(NoAnswer);
    }
    let fields = assemble(&request, &mut response, &Carriage::Http2);
    let mut answer = hyper::Response::new(());
    *answer.status_mut() = hyper::StatusCode::from_u16(response.status).unwrap_or_default();
    *answer.headers_mut() = header_map(&fields);
    request.outcome.head_bytes = fields
        .iter()
        .map(|(name, value)| (name.len() + value.len()) as u64)
        .sum();
    request.outcome.fields = fields;
    let bodiless = request.is_head() || response.is_bodiless();
    let Response {
        content, length, ..
    } = response;
    let content = if bodiless { Content::Empty } else { content };
    let sending = connection.sending.add();
    Ok(answer.map(|()| StreamBody {
        request,
        sending,
        content,
        length,
        in_flight,
    }))
}

/// The head in the terms of HTTP/1, which is what goes upstream.
fn head_of(parts: &hyper::http::request::Parts, limits: &Limits) -> RequestHead {
    let method = Bytes::copy_from_slice(parts.method.as_str().as_bytes());
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let line = Bytes::from(format!("{} {target} HTTP/2.0", parts.method));
    let authority = parts
        .uri
        .authority()
        .map(|it| Bytes::copy_from_slice(it.as_str().as_bytes()));
    let host = authority.iter().map(|host| (&b"host"[..], &host[..]));
    let regular = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    // Cookies may come in pieces (RFC 9113, section 8.2.3).
    let cookies: Vec<&[u8]> = parts
        .headers
        .get_all("cookie")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let cookie = cookies.join(&b"; "[..]);
    let joined = (!cookie.is_empty()).then_some((&b"cookie"[..], &cookie[..]));
    let regular = regular.filter(|(name, _)| {
        let known = *name == b"cookie" || (*name == b"host" && parts.uri.authority().is_some());
        !known && (limits.is_regular(name) || !limits.ignore_invalid)
    });
    let fields = Fields::collect(host.chain(regular).chain(joined));
    let length: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    RequestHead {
        length: (line.len() + length + 4) as u64,
        line,
        method,
        target: Bytes::copy_from_slice(target.as_bytes()),
        authority,
        version: Version::Http2,
        fields,
    }
}

/// The fields an HTTP/2 answer may carry.
fn header_map(fields: &[(Bytes, Bytes)]) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter().filter(|(name, _)| !is_hop_by_hop(name)) {
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_maybe_shared(value.clone());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// The body of an answer on its stream. It holds the request, which is logged
/// when the stream ends.
struct StreamBody {
    request: Request,
    sending: Rc<Cell<Option<Instant>>>,
    content: Content,
    length: Option<u64>,
    /// The drain waits for it.
    #[expect(dead_code, reason = "held for its drop")]
    in_flight: Token,
}

/// A stream that ends in the middle of its body.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Reset(crate::upstream::answer::Cut);

impl hyper::body::Body for StreamBody {
    type Data = Bytes;
    type Error = Reset;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<HttpFrame<Bytes>, Reset>>> {
        let this = &mut *self;
        this.sending.set(None);
        match &mut this.content {
            Content::Nothing | Content::Empty | Content::Tunnel(_) => {
                this.request.outcome.complete = true;
                Poll::Ready(None)
            }
            Content::Memory(text) => {
                let text = std::mem::take(text);
                this.content = Content::Empty;
                this.request.outcome.body_bytes += text.len() as u64;
                Poll::Ready(Some(Ok(HttpFrame::data(text))))
            }
            content => match std::task::ready!(content.poll_frame(cx)) {
                Some(Ok(Frame::Data(data))) => {
                    this.request.outcome.body_bytes += data.len() as u64;
                    this.sending.set(Some(Instant::now()));
                    Poll::Ready(Some(Ok(HttpFrame::data(data))))
                }
                Some(Ok(Frame::Trailers(lines)))
                    if this.request.own_trailers || this.request.settings().proxy.pass_trailers =>
                {
                    Poll::Ready(Some(Ok(HttpFrame::trailers(trailers(&lines)))))
                }
                Some(Ok(Frame::Trailers(_))) | None => {
                    this.request.outcome.complete = true;
                    Poll::Ready(None)
                }
                Some(Err(cut)) => {
                    error_log::request(&this.request, Level::Error, cut);
                    Poll::Ready(Some(Err(Reset(cut))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Nothing | Content::Empty | Content::Tunnel(_) => true,
            Content::Memory(text) => text.is_empty(),
            Content::Upstream(_) | Content::File(_) | Content::Stream(_) => self.length == Some(0),
        }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if let (Some(answer), Some(attempt)) =
            (self.content.answer(), self.request.attempts.last_mut())
        {
            answer.report(attempt);
            if self.request.settings().proxy.pass_trailers {
                self.request.upstream_trailers = Some(answer.trailers());
            }
        }
    }
}

/// Trailer lines as fields.
fn trailers(lines: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

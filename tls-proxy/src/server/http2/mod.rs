//! HTTP/2 with a client (RFC 9113), framed by the `h2` crate: each stream is a request that
//! passes the same phases, in a task of its own.

mod frame_header;
pub(crate) mod inflow;
mod remembered;
mod send;
pub(crate) mod send_buffer;
mod shared;
mod stream;
pub(super) mod stream_tasks;
mod table_entries;
pub(crate) mod task_pool;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use h2::server::{Connection as Frames, SendResponse};
use h2::{Reason, RecvStream};
use tokio::time::{Instant, timeout};

use self::inflow::{Inflow, Metered};
use self::send_buffer::{Chunk, ConnectionEnd};
use self::shared::Shared;
use self::stream_tasks::{StreamJob, StreamTasks};
use crate::admission::{GOAWAY_AFTER, Holder, REJECTED, SMALL_HEAD, Waits};
use crate::http2::request_head::{self, Decoded};
use crate::lifecycle::drain::{Token, TokenKind};
use crate::log::level::Level;
use crate::message::head::{Limits, RequestHead, Version};
use crate::message::rules;
use crate::metrics;
use crate::modules::http2;
use crate::request::connection::Connection;
use crate::request::error_log;
use crate::server::client_request::ClientRequest;
use crate::tls::client_stream::ClientStream;
use crate::upstream::body::{Http2Body, RequestBody};

/// A stream's window: what a client may send before its upstream reads it, bytes (nginx:
/// `http2_body_preread_size`).
const STREAM_WINDOW: u32 = 64 * 1024;
/// The window of all streams together, bytes.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// The part of a stream's response that waits for the client, bytes. Together with the next
/// piece it fits into the memory counted for a stream.
const SEND_BUFFER: usize = 16 * 1024;
/// Memory of a request's field beside its text, bytes.
const FIELD: usize = 16;
/// What RFC 9113, section 6.5.2 counts for each field beside its text, bytes.
const FIELD_OVERHEAD: usize = 32;

/// How long a client without streams may stay after GOAWAY, and open new ones, which may have been on
/// their way: it need not acknowledge GOAWAY.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(1);
/// The same if its memory is needed.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(50);

/// A received request: its head and body, and the handle for its response.
type IncomingRequest = (http::Request<RecvStream>, SendResponse<Chunk>);

/// Serves streams until the connection ends.
pub(crate) async fn serve(
    connection: Rc<Connection>,
    stream: ClientStream,
    token: Token,
    tasks: Rc<StreamTasks>,
) {
    let patience = connection
        .conn_config()
        .settings()
        .core
        .client_header_timeout;
    let inflow = Inflow::new(&connection);
    let shared = Rc::<Shared>::default();
    // Before what `h2` holds, so that it is dropped afterwards.
    let blocks = &shared.unsent_blocks;
    let _end = ConnectionEnd(blocks.clone());
    let stream = Metered::new(stream, inflow.clone(), blocks.clone());
    connection.account.holder().wait(Waits::Handshake, 0);
    let opening = builder(&connection).handshake(stream);
    if let Ok(Ok(mut frames)) = timeout(patience, opening).await {
        connection.account.holder().start_stage();
        run(&connection, &tasks, &inflow, &mut frames, &shared).await;
    }
    drop(token);
}

fn builder(connection: &Connection) -> h2::server::Builder {
    let conn_config = connection.conn_config();
    let settings = conn_config.settings();
    let limits = &settings.core.head;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.of::<http2::Settings>().max_concurrent_streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(most_header_list(limits))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// The limit of a decoded header list. `large_client_header_buffers`, which does not count
/// the overhead, is checked later.
fn most_header_list(limits: &Limits) -> u32 {
    let size = limits
        .fields
        .saturating_mul(FIELD_OVERHEAD)
        .saturating_add(limits.head);
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Streams of a connection that may be reset before they are served (CVE-2023-44487, rapid reset).
/// `h2` bounds those that are reset before they are accepted, but not if they come few at a time.
const MAX_EARLY_RESETS: u32 = 100;

/// Serves each request, and sends GOAWAY when the connection has to end. By value, `frames`
/// would be in the future three times.
async fn run(
    connection: &Rc<Connection>,
    tasks: &Rc<StreamTasks>,
    inflow: &Rc<Inflow>,
    frames: &mut Frames<Metered, Chunk>,
    shared: &Rc<Shared>,
) {
    let worker = connection.worker.clone();
    let conn_config = connection.conn_config();
    let core = &conn_config.settings().core;
    // With `keepalive_timeout 0` the connection waits for one request only.
    let idle = match core.keepalive_timeout {
        Duration::ZERO => core.client_header_timeout,
        timeout => timeout,
    };
    let header_timeout = core.client_header_timeout;
    // Otherwise the old configuration would be kept after a reload.
    drop(conn_config);
    let mut lame_duck = pin!(worker.drain.changed());
    let mut ending = pin!(worker.drain.closes_idle());
    let mut forced = pin!(worker.drain.forced());
    let mut goaway_sent: Option<Instant> = None;
    let holder = connection.account.holder();
    loop {
        if let Some(what) = inflow.broken() {
            let what = format!("{what} while processing HTTP/2 connection");
            error_log::connection(connection, Level::Info, what);
            close(frames, inflow, holder, Reason::PROTOCOL_ERROR).await;
            return;
        }
        let is_idle = connection.in_flight.get() == 0;
        let (block, is_waiting) = (inflow.block(), inflow.is_waiting());
        let patience = match block {
            Some(since) => header_timeout.saturating_sub(since.elapsed()),
            None if goaway_sent.is_some() => GOAWAY_TIMEOUT.min(idle),
            None => idle,
        };
        if block.is_some() {
            holder.wait(Waits::Head, 0);
        } else if !is_waiting {
            match is_idle {
                // Its first request may be on its way.
                true if connection.requests.get() == 0 => holder.wait(Waits::Head, 0),
                true => holder.wait(Waits::Idle, 0),
                false => holder.stop_waiting(),
            }
        }
        let has_served = connection.requests.get() > 0;
        let accepted = tokio::select! {
            accepted = poll_fn(|cx| {
                let accepted = frames.poll_accept(cx);
                if accepted.is_pending() {
                    inflow.all_accepted();
                    if !inflow.is_write_pending() {
                        shared.unsent_blocks.are_sent();
                    }
                    // The reason for waiting, and its time-out, has changed.
                    if (inflow.block(), inflow.is_waiting()) != (block, is_waiting)
                        || inflow.broken().is_some()
                    {
                        return Poll::Ready(None);
                    }
                }
                accepted.map(Some)
            }) => match accepted {
                Some(Some(Ok(accepted))) => Some(accepted),
                Some(Some(Err(_)) | None) => return,
                None => continue,
            },
            _ = forced.as_mut() => return,
            _ = ending.as_mut(), if goaway_sent.is_none() => None,
            () = worker.reloaded.notified(), if goaway_sent.is_none() => match connection.follow() {
                true => continue,
                false => None,
            },
            // A client without a request so far would have connected for nothing.
            _ = lame_duck.as_mut(), if goaway_sent.is_none() && has_served => None,
            () = shared.streams_done.notified() => continue,
            () = async { tokio::time::sleep(patience).await }, if block.is_some() => {
                let what = "client timed out (110: Connection timed out) \
                            while processing HTTP/2 connection";
                error_log::connection(connection, Level::Info, what);
                close(frames, inflow, holder, Reason::PROTOCOL_ERROR).await;
                return;
            }
            () = idle_time_over(holder, patience), if is_idle && block.is_none() && !is_waiting => {
                if goaway_sent.is_none() {
                    close(frames, inflow, holder, Reason::NO_ERROR).await;
                }
                return;
            }
        };
        let is_last = match accepted {
            Some(_) if connection.early_resets.get() >= MAX_EARLY_RESETS => {
                let what = "client sent too many streams that it reset at once";
                error_log::connection(connection, Level::Info, what);
                close(frames, inflow, holder, Reason::ENHANCE_YOUR_CALM).await;
                return;
            }
            Some(accepted) if goaway_sent.is_some_and(|at| at.elapsed() >= GOAWAY_TIMEOUT) => {
                refuse(inflow, accepted);
                if connection.in_flight.get() == 0 {
                    // Until the client has been told.
                    let sent = poll_fn(|cx| frames.poll_closed(cx));
                    let _ = timeout(EVICTION_TIMEOUT, sent).await;
                    return;
                }
                continue;
            }
            Some(accepted) => {
                holder.start_stage();
                start(connection, tasks, inflow, frames, accepted, shared)
            }
            None => true,
        };
        if is_last && goaway_sent.is_none() {
            goaway_sent = Some(Instant::now());
            frames.graceful_shutdown();
        }
    }
}

/// Closes a connection, and gives the client time to receive GOAWAY and to close its side.
async fn close(
    frames: &mut Frames<Metered, Chunk>,
    inflow: &Inflow,
    holder: &Holder,
    reason: Reason,
) {
    frames.abrupt_shutdown(reason);
    inflow.close();
    let closed = async {
        let evicted = async {
            holder.evicted().await;
            tokio::time::sleep(EVICTION_TIMEOUT).await;
        };
        tokio::select! {
            _ = poll_fn(|cx| frames.poll_closed(cx)) => {}
            () = evicted => {}
        }
    };
    let _ = timeout(GOAWAY_TIMEOUT, closed).await;
}

/// Refuses a stream: its client may open it again on another connection (RFC 9113, section 8.7).
fn refuse(inflow: &Rc<Inflow>, (request, mut responder): IncomingRequest) {
    let body = request.into_body();
    drop(inflow.accept());
    drop(inflow.body(body.stream_id().as_u32(), body.is_end_stream()));
    responder.send_reset(Reason::REFUSED_STREAM);
}

/// Resolves when an idle connection times out or is evicted.
async fn idle_time_over(holder: &Holder, patience: Duration) {
    if timeout(patience, holder.evicted()).await.is_ok() {
        metrics::count(|own| &own.made_room);
    }
}

/// Serves a stream; returns whether it is the last one of the connection
/// (`keepalive_requests`, `keepalive_time`, `keepalive_timeout 0`, the lame duck, much memory that
/// only its end gives back).
fn start(
    connection: &Rc<Connection>,
    tasks: &Rc<StreamTasks>,
    inflow: &Rc<Inflow>,
    frames: &mut Frames<Metered, Chunk>,
    (accepted, mut responder): IncomingRequest,
    shared: &Rc<Shared>,
) -> bool {
    let follows = connection.follow();
    let conn_config = connection.conn_config();
    let core = &conn_config.settings().core;
    let (parts, body) = accepted.into_parts();
    let admission = &connection.worker.admission;
    let (permit, block) = inflow.accept().unzip();
    let permit = permit.or_else(|| admission.try_for_stream(connection.account.holder()));
    let account = admission.stream(connection.account.holder());
    let flow = inflow.body(body.stream_id().as_u32(), body.is_end_stream());
    let body = Http2Body::new(body, flow, account.holder().clone());
    let mut slot = tasks.slot();
    // Made in its slot: it is large.
    let of_host = |host: &[u8]| conn_config.limits_of(host);
    let (request, error) = match request_head::read(&decoded(&parts), block, &core.head, of_host) {
        Ok(head) => {
            let announced = rules::check(&head, body.is_done());
            let (body, received) = match body.is_done() {
                true => (RequestBody::None, None),
                false => {
                    let received = body.received();
                    (RequestBody::Http2(Box::new(body)), Some(received))
                }
            };
            let request = slot.insert(ClientRequest::new(connection, head, body));
            request.body_received = received;
            request.announced = announced.map_err(Box::new);
            (request, None)
        }
        Err(request_head::Error::TooLarge { line, reason }) => {
            let head = RequestHead::of_line(line, Version::Http2);
            let mut request = ClientRequest::malformed(connection, head);
            request.outcome.dropped = true;
            let what = format!("{reason} while processing HTTP/2 connection");
            error_log::request(&request, Level::Info, what);
            frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            return false;
        }
        Err(request_head::Error::Invalid { head, error }) => {
            let request = slot.insert(ClientRequest::malformed(connection, head));
            (request, Some(error))
        }
    };
    inflow.note_streams();
    let is_last = !follows
        || request.number >= core.keepalive_requests
        || core.keepalive_timeout.is_zero()
        || request.started.duration_since(connection.began) > core.keepalive_time
        || connection.worker.drain.phase().is_ending()
        || connection.account.holder().client().shed() >= GOAWAY_AFTER
        || inflow.keeps_much();
    request.permit = permit.map(|permit| permit.transfer_to(account.holder()));
    let fits = request.permit.as_ref().is_some_and(|permit| {
        let size = request.head.length + (request.head.fields.len() * FIELD) as u64;
        size <= SMALL_HEAD || permit.try_grow(2 * size)
    });
    if !fits {
        // There is no memory for a request, or for one with so large a head. Logged as an
        // error only once for each connection.
        let level = match connection.is_short_of_memory.replace(true) {
            false => Level::Error,
            true => Level::Info,
        };
        error_log::request(request, level, REJECTED);
        request.outcome.status = 503;
        responder.send_reset(Reason::REFUSED_STREAM);
        return is_last;
    }
    if let Some(block) = block {
        request.received = block.into();
    }
    tasks.serve(StreamJob {
        slot,
        error,
        responder,
        account,
        connection: connection.clone(),
        in_flight: connection.worker.drain.token(TokenKind::Request),
        shared: shared.clone(),
    });
    is_last
}

/// A head decoded by `h2`.
fn decoded<'a>(parts: &'a http::request::Parts) -> Decoded<'a, impl Fn() -> RegularFields<'a>> {
    Decoded {
        method: parts.method.as_str().as_bytes(),
        scheme: parts.uri.scheme_str().map(str::as_bytes),
        authority: parts.uri.authority().map(|it| it.as_str().as_bytes()),
        // Instead of none, `http` has `/` as the text of both.
        path: parts
            .uri
            .path_and_query()
            .filter(|_| !parts.uri.path().is_empty())
            .map(|it| it.as_str().as_bytes()),
        fields: || RegularFields(parts.headers.iter()),
    }
}

/// The regular fields of a head, as bytes.
struct RegularFields<'a>(http::header::Iter<'a, http::HeaderValue>);

impl<'a> Iterator for RegularFields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        Some((name.as_str().as_bytes(), value.as_bytes()))
    }
}

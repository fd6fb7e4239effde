//! Waits for a request's head, subject to time-outs and the drain.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{HANGUP_CHECK, leaves};
use crate::admission::{Permit, REJECTED, SMALL_FIELDS, SMALL_HEAD, SMALL_INBOUND, Waits};
use crate::http1::request_head;
use crate::log::level::Level;
use crate::message::fields::Span;
use crate::message::head::RequestHead;
use crate::message::rules;
use crate::metrics::Reading;
use crate::request::connection::Connection;
use crate::request::error_log;
use crate::server::client_request::log_malformed;
use crate::server::closing::{closes_idle, closes_silent};
use crate::time::cached_time;
use crate::upstream::body::SharedWire;

/// Step in which the memory of a long head is reserved, bytes: the size of one read. It is
/// reserved twice, because a growing buffer is copied, and the freed one is too small to be
/// used again.
const ONE_READ: usize = 16 * 1024;

/// The result of waiting for a request.
pub(super) enum Next {
    Head {
        head: Box<RequestHead>,
        /// The memory for serving it.
        permit: Option<Permit>,
        /// Why a field behind it was refused.
        refused: Option<Box<rules::Error>>,
    },
    Rejected(request_head::Error),
    Close,
}

/// Reads a head of which a part has arrived.
pub(super) async fn next(connection: &Rc<Connection>, wire: &SharedWire) -> Next {
    let first = connection.requests.get() == 0;
    let start = wire.borrow().consumed();
    connection.follow();
    let conn_config = connection.conn_config();
    let core = &conn_config.settings().core;
    let reading = Reading::new();
    let deadline = Instant::from_std(cached_time::now()) + core.client_header_timeout;
    // Bytes already searched for the end of the head.
    let mut seen = 0;
    let holder = connection.account.holder();
    let admission = &connection.worker.admission;
    let mut permit: Option<Permit> = None;
    let mut counted = SMALL_HEAD as usize;
    loop {
        // Only a line feed can end a head; the first attempt also detects what is not HTTP.
        let parsed = if seen == 0 || wire.borrow().inbound[seen..].contains(&b'\n') || first {
            let inbound = &mut wire.borrow_mut().inbound;
            request_head::parse(inbound, &core.head, |host| conn_config.limits_of(host))
        } else {
            Ok(None)
        };
        let (head, refused) = match parsed {
            Ok(head) => (head, None),
            Err(request_head::Error {
                in_fields: true,
                head,
                status,
                reason,
            }) => (Some(head), Some(Box::new(rules::Error { status, reason }))),
            Err(error) => return Next::Rejected(error),
        };
        // A long or complete head needs more memory than an idle connection. A complete one
        // is no longer in `inbound`.
        let whole = head.as_deref().map_or(0, size_of_head);
        let held = held(wire).max(whole);
        // From here on the client waits for the proxy.
        holder.stop_waiting();
        if permit.is_none() && (head.is_some() || held > SMALL_INBOUND) {
            let granted = match admission.try_for_request(holder) {
                // Without a timer, as nearly always.
                Some(permit) => Ok(permit),
                // These waits are boxed: they are rare, and would be part of every request's future.
                None => Box::pin(unless_gone(wire, deadline, admission.for_request(holder))).await,
            };
            permit = match granted {
                Ok(permit) => Some(permit),
                Err(why) => return why.ends(connection, head, wire, start),
            };
        }
        if let (Some(permit), true) = (&permit, held > counted) {
            let more = held + ONE_READ - counted;
            counted += more;
            let waiting = permit.grow(2 * more as u64);
            if let Err(why) = Box::pin(unless_gone(wire, deadline, waiting)).await {
                return why.ends(connection, head, wire, start);
            }
        }
        if let Some(head) = head {
            holder.start_request();
            return Next::Head {
                head,
                permit,
                refused,
            };
        }
        seen = wire.borrow().inbound.len();
        if held <= SMALL_INBOUND {
            // It was for what has been read just now.
            permit = None;
            counted = SMALL_HEAD as usize;
        }
        if permit.is_none() && admission.is_short_for_request(holder) {
            let granted = Box::pin(permit_to_read(connection, wire, deadline, start));
            permit = match granted.await {
                Ok(permit) => permit,
                Err(why) => return why.ends(connection, None, wire, start),
            };
        }
        let filled = poll_fn(|cx| {
            let mut own = wire.borrow_mut();
            own.read_small();
            let filled = own.poll_fill(cx);
            if filled.is_pending() {
                let received = own.received;
                drop(own);
                if permit.is_some() && self::held(wire) <= SMALL_INBOUND {
                    return Poll::Ready(None);
                }
                holder.wait(Waits::Head, received - start);
            }
            filled.map(Some)
        });
        let filled = timeout_at(deadline, filled).await;
        let (status, what) = match filled {
            // Only a part of a TLS record.
            Ok(None) => continue,
            Ok(Some(Ok(size))) if size > 0 => continue,
            Ok(Some(_)) => (400, "client prematurely closed connection"),
            Err(_) => (408, "client timed out (110: Connection timed out)"),
        };
        // From here on it counts as a request.
        drop(reading);
        let nothing = wire.borrow().received == start;
        if !nothing {
            let head = request_head::parse_incomplete(&wire.borrow().inbound, &core.head);
            log_malformed(connection, head, status);
        }
        let what = format!("{what} while reading client request headers");
        error_log::connection(connection, Level::Info, what);
        return Next::Close;
    }
}

/// Waits until there is more of a head to read, and then for the memory of its request; `None` at
/// the end of the stream and at the time-out, which show when it is read.
async fn permit_to_read(
    connection: &Connection,
    wire: &SharedWire,
    deadline: Instant,
    start: u64,
) -> Result<Option<Permit>, NoMemory> {
    let holder = connection.account.holder();
    let readable = poll_fn(|cx| {
        let readable = wire.borrow().stream().poll_readable(cx);
        if readable.is_pending() {
            holder.wait(Waits::Head, wire.borrow().received - start);
        }
        readable
    });
    let Ok(Ok(true)) = timeout_at(deadline, readable).await else {
        return Ok(None);
    };
    holder.stop_waiting();
    let permit = connection.worker.admission.for_request(holder);
    unless_gone(wire, deadline, permit).await.map(Some)
}

/// Why a head has got no memory.
enum NoMemory {
    TimedOut,
    /// Its client has left.
    Left,
}

/// Waits for memory until the time-out, or until the client has left: who waits holds what others
/// may wait for. A client may close its side of the connection after its request, so there is some
/// time for memory first.
async fn unless_gone<T>(
    wire: &SharedWire,
    deadline: Instant,
    memory: impl Future<Output = T>,
) -> Result<T, NoMemory> {
    let gone = async {
        tokio::time::sleep(HANGUP_CHECK).await;
        leaves(wire.clone()).await;
    };
    tokio::select! {
        biased;
        granted = timeout_at(deadline, memory) => granted.map_err(|_| NoMemory::TimedOut),
        () = gone => Err(NoMemory::Left),
    }
}

impl NoMemory {
    /// Ends the connection, on which `start` bytes had been received before this head.
    fn ends(
        self,
        connection: &Rc<Connection>,
        head: Option<Box<RequestHead>>,
        wire: &SharedWire,
        start: u64,
    ) -> Next {
        let conn_config = connection.conn_config();
        let limits = &conn_config.settings().core.head;
        let so_far = || request_head::parse_incomplete(&wire.borrow().inbound, limits);
        match self {
            Self::TimedOut => Next::Rejected(request_head::Error {
                status: 503,
                reason: REJECTED.into(),
                head: head.unwrap_or_else(so_far),
                in_fields: false,
            }),
            Self::Left => {
                if wire.borrow().received > start {
                    log_malformed(connection, head.unwrap_or_else(so_far), 499);
                }
                let what =
                    "client prematurely closed connection while its request waited for memory";
                error_log::connection(connection, Level::Info, what);
                Next::Close
            }
        }
    }
}

/// Waits for the first bytes of the next head; after a response for `idle` at most. `false`
/// if the connection has to close. They are not read if a request would have to wait for its
/// memory: those of all idle connections together may be more than there is. A connection just
/// opened gets a moment when the worker drains: its first request may be on its way.
pub(super) async fn begins(
    connection: &Connection,
    wire: &SharedWire,
    idle: Option<Duration>,
) -> bool {
    let first = connection.requests.get() == 0;
    let header_timeout = || {
        connection
            .conn_config()
            .settings()
            .core
            .client_header_timeout
    };
    let patience = idle.unwrap_or_else(header_timeout);
    let worker = &connection.worker;
    let mut timer = connection.timer.take();
    timer.progress();
    let holder = connection.account.holder();
    // A new client is about to send its first request.
    holder.start_stage();
    holder.wait(if first { Waits::Head } else { Waits::Idle }, 0);
    let mut draining = pin!(async {
        if first {
            closes_silent(worker).await;
        } else {
            closes_idle(connection).await;
        }
    });
    wire.borrow_mut().read_small();
    let admission = &worker.admission;
    let arrived = poll_fn(|cx| {
        let is_short = admission.is_short_for_request(holder);
        let filled = match is_short {
            true => wire.borrow().stream().poll_readable(cx).map_ok(usize::from),
            false => wire.borrow_mut().poll_fill(cx),
        };
        match filled {
            Poll::Ready(Ok(size)) => return Poll::Ready(size > 0),
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            // Most of a TLS record: no longer idle.
            Poll::Pending if held(wire) > SMALL_INBOUND => return Poll::Ready(true),
            Poll::Pending => {}
        }
        if draining.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        timer.poll(cx, patience).map(|()| false)
    });
    let arrived = arrived.await;
    connection.timer.set(timer);
    arrived
}

/// Bytes held of a head: as received, and the places of its fields if they are many.
fn size_of_head(head: &RequestHead) -> usize {
    let many = head.fields.len().saturating_sub(SMALL_FIELDS);
    head.length as usize + many * size_of::<Span>()
}

/// Bytes held of an incomplete request.
fn held(wire: &SharedWire) -> usize {
    let wire = wire.borrow();
    wire.inbound.len() + wire.stream().unread()
}

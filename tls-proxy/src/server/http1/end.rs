//! What happens to a connection of HTTP/1 after a response.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::config::core::Lingering;
use crate::request::Request;
use crate::upstream::body::{RequestBody, SharedWire};

/// What happens to the connection after a response.
pub(super) enum End {
    /// Kept open for this long, by the settings of the request (`keepalive_timeout`).
    KeepAlive(Duration),
    Close,
    /// Closed without `close_notify`, as nginx does after `return 444` and after a
    /// time-out.
    Abandon,
    /// Read for a while before it is closed, so that the client can read the response
    /// before it gets a reset.
    Linger(LingerTimes),
}

/// How long data is read while closing (`lingering_time`, `lingering_timeout`).
#[derive(Clone, Copy)]
pub(super) struct LingerTimes {
    whole: Duration,
    pause: Duration,
}

impl LingerTimes {
    pub(super) fn of(request: &Request) -> Self {
        let core = &request.settings().core;
        Self {
            whole: core.lingering_time,
            pause: core.lingering_timeout,
        }
    }
}

/// What a request leaves behind when its response has been sent.
pub(super) struct Served {
    /// Its body, which may not have been read completely.
    pub(super) body: RequestBody,
    /// How long the connection is kept, if it is.
    pub(super) keep_alive: Option<Duration>,
    pub(super) lingering: Lingering,
    pub(super) patience: LingerTimes,
}

/// Decides what happens to the connection.
pub(super) async fn end(wire: &SharedWire, served: Served) -> End {
    let Served {
        mut body,
        keep_alive,
        lingering,
        patience,
    } = served;
    let unread = !body.is_done();
    if let Some(idle) = keep_alive {
        let whole = !unread
            || matches!(
                timeout(patience.whole, discard(&mut body, patience.pause)).await,
                Ok(true)
            );
        return if whole {
            End::KeepAlive(idle)
        } else {
            End::Close
        };
    }
    let more = unread || !wire.borrow().inbound.is_empty();
    close(lingering, more, patience)
}

/// How a connection is closed, by `lingering_close`: a client that has sent `more` than was used
/// would get a reset, and lose what it has not read yet.
pub(super) fn close(lingering: Lingering, more: bool, patience: LingerTimes) -> End {
    match lingering {
        Lingering::Always => End::Linger(patience),
        Lingering::On if more => End::Linger(patience),
        Lingering::On | Lingering::Off => End::Close,
    }
}

/// Discards the rest of a body; `true` if it is complete.
async fn discard(body: &mut RequestBody, pause: Duration) -> bool {
    loop {
        match timeout(pause, poll_fn(|cx| body.poll_data(cx))).await {
            Ok(Some(Ok(_))) => {}
            Ok(None) => return true,
            Ok(Some(Err(_))) | Err(_) => return false,
        }
    }
}

/// Reads and discards after the last response (`lingering_close`).
pub(super) async fn linger(wire: &SharedWire, patience: LingerTimes) {
    let _ = timeout(
        patience.pause,
        poll_fn(|cx| wire.borrow_mut().poll_shutdown(cx)),
    )
    .await;
    let deadline = Instant::now() + patience.whole;
    while Instant::now() < deadline {
        wire.borrow_mut().inbound.clear();
        wire.borrow_mut().read_small();
        match timeout(
            patience.pause,
            poll_fn(|cx| wire.borrow_mut().poll_fill(cx)),
        )
        .await
        {
            Ok(Ok(size)) if size > 0 => {}
            _ => break,
        }
    }
}

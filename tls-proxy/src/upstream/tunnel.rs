//! A tunnel (RFC 9110, section 7.8): WebSocket and other upgraded connections.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::body::SharedWire;
use super::connection::UpstreamConnection;
use crate::admission::{Holder, Waits};
use crate::lifecycle::drain::Drain;
use crate::net::buffered_stream::BufferedStream;
use crate::time::timer::Timer;

/// Copies bytes in both directions until both sides have ended, nothing was copied for
/// `idle` (`proxy_read_timeout`), or the drain forces it. `holder` records how long it has
/// been idle.
pub(crate) async fn run(
    client: &SharedWire,
    link: &mut UpstreamConnection,
    idle: Duration,
    drain: &Drain,
    holder: &Holder,
) {
    let mut forced = pin!(drain.forced());
    let mut timer = Timer::default();
    let mut up = Direction::default();
    let mut down = Direction::default();
    poll_fn(|cx| {
        if forced.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let client = &mut *client.borrow_mut();
        let before = (client.received, link.wire.received);
        let to_upstream = up.poll(client, &mut link.wire, cx);
        let to_client = down.poll(&mut link.wire, client, cx);
        if before != (client.received, link.wire.received) {
            timer.progress();
        }
        holder.wait(Waits::Tunnel, client.received + link.wire.received);
        match (to_upstream, to_client) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(()),
            _ => timer.poll(cx, idle),
        }
    })
    .await;
}

/// One direction of a tunnel.
#[derive(Default)]
struct Direction {
    /// Written bytes may still wait in the target's TLS session.
    flushing: bool,
    closing: bool,
    done: bool,
}

impl Direction {
    /// Ready when the source has ended and the target has been shut down.
    fn poll<A, B>(
        &mut self,
        from: &mut BufferedStream<A>,
        to: &mut BufferedStream<B>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        while !self.done {
            if self.closing {
                ready!(to.poll_shutdown(cx))?;
                self.done = true;
                break;
            }
            if self.flushing || !from.inbound.is_empty() {
                self.flushing = true;
                ready!(to.poll_send(cx, &mut from.inbound))?;
                self.flushing = false;
            }
            if ready!(from.poll_fill(cx))? == 0 {
                self.closing = true;
            }
        }
        Poll::Ready(Ok(()))
    }
}

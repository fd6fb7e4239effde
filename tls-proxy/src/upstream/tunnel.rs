//! A tunnel (RFC 9110, section 7.8): WebSocket and other upgraded connections.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::body::SharedWire;
use super::connection::UpstreamConnection;
use crate::admission::{Holder, MemoryUse, Need, Permit, TRANSFER, Waits};
use crate::lifecycle::drain::Drain;
use crate::net::buffered_stream::BufferedStream;
use crate::time::timer::Timer;

/// The longest waits of a tunnel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For data of the upstream: `proxy_read_timeout`.
    pub(crate) idle: Duration,
    /// For the upstream to read: `proxy_send_timeout`.
    pub(crate) upstream: Duration,
    /// For the client to read: `send_timeout`.
    pub(crate) client: Duration,
}

/// Copies bytes in both directions until, as in nginx, one side has ended and what it had sent
/// has been written to the other: an application that has closed holds neither a client nor one
/// of its `max_conns`. It also ends when nothing was copied for too long, and when the drain
/// forces it. `holder` records how long it has been idle.
///
/// What waits for its target takes memory of `permit`, each direction for itself, and others that wait
/// for memory get it once that has been written. As long as there is none, it is read in small pieces,
/// which are part of what is counted for any request; but a record of TLS is read as a whole, and so
/// has to wait.
pub(crate) async fn run(
    client: &SharedWire,
    link: &mut UpstreamConnection,
    patience: Patience,
    drain: &Drain,
    holder: &Holder,
    permit: Option<&Permit>,
) {
    let mut forced = pin!(drain.forced());
    let mut timer = Timer::default();
    let mut up = Direction::from(client.borrow().stream().is_tls());
    let mut down = Direction::from(link.secured.is_some());
    let mut before = None;
    // Bytes moved while the same side was waited for, and what was measured last.
    let mut moved = 0;
    let mut of = ((false, false), 0);
    let mut waited = false;
    poll_fn(|cx| {
        if forced.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let client = &mut *client.borrow_mut();
        let to_upstream = up.poll(client, &mut link.wire, permit, cx, |client, cx| {
            client.poll_readable(cx).is_ready()
        });
        let to_client = down.poll(&mut link.wire, client, permit, cx, |upstream, cx| {
            upstream.poll_readable(cx).is_ready()
        });
        let read = (client.received, link.wire.received);
        let written = (client.sent, link.wire.sent);
        let now = Some((read, written, up.writing, down.writing));
        if before != now {
            before = now;
            timer.progress();
        }
        // Who does not read what waits for it makes no progress by sending.
        let writing = (up.writing, down.writing);
        let measured = match writing {
            (false, false) => read.0 + read.1,
            (true, false) => written.1,
            (false, true) => written.0,
            (true, true) => written.0 + written.1,
        };
        let waits = !up.need.is_zero() || !down.need.is_zero();
        // Who holds what waits for a side is waited for, whatever else it needs. If others want it,
        // all of that has to be taken soon.
        let holds = up.has_memory || down.has_memory;
        if writing == of.0 && !(holds && permit.is_some_and(Permit::is_wanted)) {
            moved += measured - of.1;
        }
        of = (writing, measured);
        let now_waits = waits && !holds;
        match (waited, now_waits) {
            (false, true) => holder.wait_for_memory(),
            (true, true) => {}
            (before, false) => {
                if before {
                    holder.start_stage();
                }
                holder.wait(Waits::Tunnel, moved);
            }
        }
        waited = now_waits;
        match (to_upstream, to_client) {
            (Poll::Ready(Stop::Ended), _) | (_, Poll::Ready(_)) => {
                // For TLS; the other end of the client's connection follows.
                let _ = link.wire.poll_shutdown(cx);
                Poll::Ready(())
            }
            // What an upstream has sent passes, too, if it has closed without reading everything.
            (Poll::Ready(Stop::Refused) | Poll::Pending, Poll::Pending) => {
                timer.poll(cx, longest_wait(patience, &up, &down))
            }
        }
    })
    .await;
}

/// How long the tunnel may stand still now.
fn longest_wait(patience: Patience, up: &Direction, down: &Direction) -> Duration {
    let to_client = match down.writing {
        true => patience.client,
        false => patience.idle,
    };
    match up.writing {
        true => to_client.min(patience.upstream),
        false => to_client,
    }
}

/// Why a direction has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The source has ended, and everything has been written.
    Ended,
    /// The target accepts no more.
    Refused,
}

/// One direction of a tunnel.
#[derive(Default)]
struct Direction {
    /// Bytes wait for the target, perhaps in its TLS session.
    writing: bool,
    refused: bool,
    /// Its source is read in records of TLS.
    in_records: bool,
    /// It has memory.
    has_memory: bool,
    /// The memory that it waits for.
    need: Need,
}

impl Direction {
    fn from(in_records: bool) -> Self {
        Self {
            in_records,
            ..Self::default()
        }
    }

    /// Ready when it has stopped; may be polled again. It has memory of `permit` as long as bytes
    /// wait for the target.
    fn poll<A, B>(
        &mut self,
        from: &mut BufferedStream<A>,
        to: &mut BufferedStream<B>,
        permit: Option<&Permit>,
        cx: &mut Context<'_>,
        is_readable: impl Fn(&A, &mut Context<'_>) -> bool,
    ) -> Poll<Stop>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        while !self.refused {
            if self.writing || !from.inbound.is_empty() {
                self.writing = true;
                self.refused = ready!(to.poll_send(cx, &mut from.inbound)).is_err();
                self.writing = false;
                if permit.is_some_and(Permit::is_wanted) {
                    from.rest();
                    self.release(permit);
                }
                continue;
            }
            if !self.has_memory
                && let Some(permit) = permit
            {
                if !self.in_records {
                    self.has_memory = permit.try_grow(TRANSFER);
                } else if is_readable(from.stream(), cx) {
                    if self.need.is_zero() {
                        self.need.add(TRANSFER);
                    }
                    ready!(permit.poll_grow(&mut self.need, cx));
                    self.has_memory = true;
                } else {
                    // Others need not wait for what is not needed any more.
                    self.need = Need::default();
                    return Poll::Pending;
                }
            }
            // A reset is an end.
            let filled = match self.has_memory || permit.is_none() {
                true => from.poll_fill(cx),
                false => from.poll_fill_small(cx),
            };
            let Poll::Ready(filled) = filled else {
                self.release(permit);
                return Poll::Pending;
            };
            if filled.unwrap_or(0) == 0 {
                self.release(permit);
                return Poll::Ready(Stop::Ended);
            }
        }
        self.release(permit);
        Poll::Ready(Stop::Refused)
    }

    /// Nothing waits for the target.
    fn release(&mut self, permit: Option<&Permit>) {
        if std::mem::take(&mut self.has_memory)
            && let Some(permit) = permit
        {
            permit.shrink(MemoryUse::Transfer, TRANSFER);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics")]
mod tests {
    use std::rc::Rc;

    use bytes::BytesMut;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::admission::{Admission, Admitted, Capacity};
    use crate::time::cached_time;

    /// A stream between the test and a direction.
    fn side() -> (DuplexStream, BufferedStream<DuplexStream>) {
        let (far, near) = duplex(8);
        (far, BufferedStream::new(near, BytesMut::new()))
    }

    fn admission() -> Rc<Admission> {
        Admission::new(Capacity {
            connections: 100,
            descriptors: 200,
            memory: Some(4 << 20),
        })
    }

    /// A client, and a permit of its own.
    async fn client(admission: &Rc<Admission>) -> (Admitted, Permit) {
        let own = admission.for_new_client().await.accepted();
        let permit = admission.empty_permit(own.account.holder());
        (own, permit)
    }

    #[tokio::test]
    async fn a_direction_ends_once_everything_has_been_written() {
        let (mut source, mut from) = side();
        let (mut target, mut to) = side();
        let mut direction = Direction::default();
        source.write_all(b"first 8.").await.unwrap();
        let work = async {
            // It fills the target.
            let poll = poll_fn(|cx| {
                Poll::Ready(direction.poll(&mut from, &mut to, None, cx, |_, _| true))
            })
            .await;
            assert!(poll.is_pending() && !direction.writing);
            source.write_all(b"more").await.unwrap();
            drop(source);
            let poll = poll_fn(|cx| {
                Poll::Ready(direction.poll(&mut from, &mut to, None, cx, |_, _| true))
            })
            .await;
            assert!(poll.is_pending() && direction.writing);
            let mut heard = [0; 12];
            target.read_exact(&mut heard[..8]).await.unwrap();
            let stop =
                poll_fn(|cx| direction.poll(&mut from, &mut to, None, cx, |_, _| true)).await;
            assert_eq!(stop, Stop::Ended);
            target.read_exact(&mut heard[8..]).await.unwrap();
            assert_eq!(&heard, b"first 8.more");
        };
        cached_time::scope(Box::pin(work)).await;
    }

    #[tokio::test]
    async fn a_source_in_records_asks_for_memory_only_if_it_has_something() {
        let admission = admission();
        let (_own, permit) = client(&admission).await;
        let (_other, others) = client(&admission).await;
        while others.try_grow(TRANSFER) {}
        let (mut source, mut from) = side();
        let (_target, mut to) = side();
        let mut direction = Direction::from(true);
        source.write_all(b"ping").await.unwrap();
        let work = async {
            let mut poll = async |readable| {
                poll_fn(|cx| {
                    let poll =
                        direction.poll(&mut from, &mut to, Some(&permit), cx, |_, _| readable);
                    Poll::Ready((poll.is_pending(), !direction.need.is_zero()))
                })
                .await
            };
            assert_eq!(poll(false).await, (true, false));
            assert_eq!(poll(true).await, (true, true), "there is none");
            assert!(admission.is_crowded());
            assert_eq!(poll(false).await, (true, false));
            assert!(!admission.is_crowded(), "it waits no more");
            others.shrink(MemoryUse::Transfer, 2 * TRANSFER);
            assert_eq!(poll(true).await, (true, false));
            assert_eq!(permit.memory(MemoryUse::Transfer), 0, "nothing is left");
        };
        cached_time::scope(Box::pin(work)).await;
    }

    #[tokio::test]
    async fn memory_that_others_wait_for_is_given_back_once_it_has_been_written() {
        let admission = admission();
        let (_own, permit) = client(&admission).await;
        let (_other, others) = client(&admission).await;
        let (mut source, mut from) = side();
        let (mut target, mut to) = side();
        let mut direction = Direction::from(true);
        let work = async {
            source.write_all(b"first 8.").await.unwrap();
            let mut before = BytesMut::from(&b"12345678"[..]);
            poll_fn(|cx| to.poll_send(cx, &mut before)).await.unwrap();
            let mut poll = async || {
                poll_fn(|cx| {
                    let poll = direction.poll(&mut from, &mut to, Some(&permit), cx, |_, _| true);
                    Poll::Ready((poll.is_pending(), direction.has_memory))
                })
                .await
            };
            assert_eq!(poll().await, (true, true), "the target is full");
            while others.try_grow(TRANSFER) {}
            let mut need = Need::default();
            need.add(TRANSFER);
            let granted = poll_fn(|cx| Poll::Ready(others.poll_grow(&mut need, cx).is_ready()));
            assert!(!granted.await);
            source.write_all(b"second 8").await.unwrap();
            let mut heard = [0; 8];
            target.read_exact(&mut heard).await.unwrap();
            assert_eq!(poll().await, (true, false), "it waits for its next turn");
            let granted = poll_fn(|cx| Poll::Ready(others.poll_grow(&mut need, cx).is_ready()));
            assert!(granted.await);
        };
        cached_time::scope(Box::pin(work)).await;
    }

    #[tokio::test]
    async fn a_target_that_has_gone_is_not_the_end_of_the_source() {
        let (mut source, mut from) = side();
        let (target, mut to) = side();
        let mut direction = Direction::default();
        drop(target);
        source.write_all(b"ping").await.unwrap();
        let work = async {
            for _ in 0..2 {
                let stop =
                    poll_fn(|cx| direction.poll(&mut from, &mut to, None, cx, |_, _| true)).await;
                assert_eq!(stop, Stop::Refused);
            }
        };
        cached_time::scope(Box::pin(work)).await;
    }
}

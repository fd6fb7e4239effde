//! Bodies of responses that come in pieces: an upstream's body, a file, and what filters
//! make of either.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use super::Request;
use super::response::Content;
use crate::admission::Need;
use crate::log::level::Level;
use crate::time::cached_time;
use crate::time::timer::Timer;
use crate::upstream::body::{self, RequestBody};
use crate::variables::template::Template;

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Frame {
    Data(Bytes),
    /// Trailer field lines, each with its end.
    Trailers(Bytes),
}

/// Why a body stops before its end. The client's connection is closed then: nothing else
/// tells the client that the body is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("upstream prematurely closed connection while reading upstream")]
    Closed,
    #[error("upstream sent invalid chunked response while reading upstream")]
    Invalid,
    #[error("upstream sent invalid trailer while reading upstream")]
    Trailer,
    #[error("upstream sent too big trailers while reading upstream")]
    Trailers,
    #[error("upstream timed out (110: Connection timed out) while reading upstream")]
    TimedOut,
    /// The request's body, which was still being sent, cannot be read.
    #[error("{0} while reading upstream")]
    Request(body::Error),
    #[error("file was truncated while it was sent")]
    File,
    #[error("inflate() failed")]
    Gzip,
    #[error("inflate() returned -5 on response end")]
    GzipEnd,
}

impl Error {
    /// The severity in the error log.
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Request(error) => error.level(),
            _ => Level::Error,
        }
    }
}

/// The next piece of a body; `None` is its end.
pub(crate) type Next = Option<Result<Frame, Error>>;

/// The request whose response a body is, as filters see it while the body is sent.
pub(crate) trait FilterContext {
    /// The value of a string now.
    fn evaluate(&self, template: &Template) -> Bytes;

    /// Waits for the memory that a filter needs; returns at once if it needs none.
    fn poll_memory(&self, need: &mut Need, cx: &mut Context<'_>) -> Poll<()>;
}

/// A body that comes in pieces.
pub(crate) trait Source {
    /// The next piece of the response to `request`.
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next>;

    /// The upstream's body that this one is made from, if it is.
    fn upstream_body(&mut self) -> Option<&mut dyn UpstreamBody> {
        None
    }
}

/// What a filter may take or make without a pause, bytes: other requests wait meanwhile.
const TURN: usize = 128 << 10;

/// The turn of a filter: it may take all of a body and give little of it, and what it takes may
/// wait for nothing.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Bytes since the last pause.
    taken: usize,
    /// The wake-up of the task in which the last pause began. It lasts as long, however often the filter
    /// is asked: what it has made before is sent in the same one.
    paused: Option<Instant>,
}

impl Turn {
    /// Ready if the turn goes on; otherwise others run first.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.taken < TURN && self.paused.is_none() {
            return Poll::Ready(());
        }
        let woken = Some(cached_time::now());
        if self.taken < TURN && self.paused != woken {
            self.paused = None;
            return Poll::Ready(());
        }
        self.taken = 0;
        self.paused = woken;
        // Wakes the task once the sockets have been looked at, too.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        Poll::Pending
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.taken += bytes;
    }
}

/// The body of an upstream's response. While it arrives, the request's body may still be on
/// its way to the upstream.
pub(crate) trait UpstreamBody: Source {
    /// Whether there is no body, whatever the head says of its length.
    fn is_bodiless(&self) -> bool;

    /// The part of the request's body that was not read when the response ended.
    fn take_unread(&mut self) -> RequestBody;

    /// An unused timer, for the sender of the response.
    fn take_timer(&mut self) -> Timer;

    /// Whether the request's body has been sent completely.
    fn has_whole_request(&self) -> bool;

    /// Records in the request how the body ended.
    fn note_end(&mut self, request: &mut Request);
}

impl Content {
    /// Whether the request's body is still being sent to the upstream that this is from.
    pub(crate) fn uploads(&mut self) -> bool {
        self.upstream_body()
            .is_some_and(|body| !body.has_whole_request())
    }
}

impl Source for Content {
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next> {
        match self {
            Self::Nothing | Self::Empty | Self::Tunnel(_) => Poll::Ready(None),
            Self::Memory(text) => {
                let text: Bytes = std::mem::take(text);
                *self = Self::Empty;
                let data = (!text.is_empty()).then_some(Ok(Frame::Data(text)));
                Poll::Ready(data)
            }
            Self::Upstream(body) => body.poll_frame(request, cx),
            Self::File(file) => file.poll_frame(request, cx),
            Self::Stream(source) => source.poll_frame(request, cx),
        }
    }

    fn upstream_body(&mut self) -> Option<&mut dyn UpstreamBody> {
        match self {
            Self::Upstream(body) => Some(&mut **body),
            Self::Stream(source) => source.upstream_body(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_pause_lasts_until_the_task_is_woken_again() {
        let mut turn = Turn::default();
        let test = async {
            for _ in 0..3 {
                turn.take(TURN);
                let polled = poll_fn(|cx| Poll::Ready([(); 3].map(|()| turn.poll(cx)))).await;
                assert_eq!(polled, [Poll::Pending; 3]);
                tokio::task::yield_now().await;
                let polled = poll_fn(|cx| Poll::Ready([(); 3].map(|()| turn.poll(cx)))).await;
                assert_eq!(polled, [Poll::Ready(()); 3]);
            }
        };
        cached_time::scope(Box::pin(test)).await;
    }
}

/// Bodies for unit tests of filters.
#[cfg(test)]
pub(crate) mod testing {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    /// Gives its items in turn; `None` is a pause.
    pub(crate) struct Script(VecDeque<Option<Next>>);

    impl Script {
        pub(crate) fn new(steps: Vec<Option<Next>>) -> Self {
            Self(steps.into())
        }
    }

    /// A request without variables and with memory.
    pub(crate) struct AnyRequest;

    impl FilterContext for AnyRequest {
        fn evaluate(&self, template: &Template) -> Bytes {
            template.fixed().unwrap_or_default()
        }

        fn poll_memory(&self, _: &mut Need, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }

    impl Source for Script {
        fn poll_frame(&mut self, _: &dyn FilterContext, _: &mut Context<'_>) -> Poll<Next> {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(None) => Poll::Pending,
                Some(Some(next)) => Poll::Ready(next),
            }
        }
    }

    /// A piece of so many bytes, for a [`Script`].
    pub(crate) fn data(size: usize) -> Option<Next> {
        Some(Some(Ok(Frame::Data(vec![b'x'; size].into()))))
    }

    /// The number of pieces, and how often other tasks could run before the end.
    pub(crate) fn turns(mut source: impl Source) -> (usize, usize) {
        let (mut pieces, mut turns) = (0, 0);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(std::future::poll_fn(|cx| {
            loop {
                match source.poll_frame(&AnyRequest, cx) {
                    Poll::Pending => {
                        turns += 1;
                        return Poll::Pending;
                    }
                    Poll::Ready(Some(_)) => pieces += 1,
                    Poll::Ready(None) => return Poll::Ready(()),
                }
            }
        }));
        (pieces, turns)
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of bytes of each poll up to the end; `None` for a pause. Checks that
    /// nothing wakes its own task.
    pub(crate) fn polls(source: &mut dyn Source) -> Vec<Option<usize>> {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let mut sizes = Vec::new();
        loop {
            match source.poll_frame(&AnyRequest, &mut cx) {
                Poll::Pending => sizes.push(None),
                Poll::Ready(Some(Ok(Frame::Data(data)))) => sizes.push(Some(data.len())),
                Poll::Ready(_) => break,
            }
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "it wakes its own task");
        sizes
    }
}

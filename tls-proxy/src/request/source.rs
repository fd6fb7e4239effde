//! Bodies that come in pieces: an upstream's answer, a file, and what is made
//! of either on its way to the client.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Request;
use super::response::Content;
use crate::time::timer::Timer;
use crate::upstream::body::RequestBody;

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Frame {
    Data(Bytes),
    /// Trailer field lines, each with its end.
    Trailers(Bytes),
}

/// Why an answer stops in the middle; the client's connection is closed, since
/// nothing else tells it that this is not the end.
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
    #[error("file was truncated while it was sent")]
    File,
}

/// A piece of a body; `None` is its end.
pub(crate) type Next = Option<Result<Frame, Error>>;

/// A body that comes in pieces.
pub(crate) trait Source {
    /// The next piece.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Next>;

    /// The body of an upstream's response that it is made of.
    fn answer(&mut self) -> Option<&mut dyn UpstreamBody> {
        None
    }
}

/// The body of an upstream's response: while it comes, the request's own body may still
/// be on its way to the upstream.
pub(crate) trait UpstreamBody: Source {
    /// Whether there is no body, whatever its head says of a length.
    fn is_bodiless(&self) -> bool;

    /// What the client has still to send of its body, once the response has
    /// ended.
    fn take_unread(&mut self) -> RequestBody;

    /// A timer that is at hand, for whoever sends the response.
    fn take_timer(&mut self) -> Timer;

    /// Whether nothing of the client's body is on its way any more.
    fn has_whole_request(&self) -> bool;

    /// Writes what became of it into the account of the request.
    fn note_end(&mut self, request: &mut Request);
}

impl Source for Content {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        match self {
            Self::Nothing | Self::Empty | Self::Tunnel(_) => Poll::Ready(None),
            Self::Memory(text) => {
                let text: Bytes = std::mem::take(text);
                *self = Self::Empty;
                let data = (!text.is_empty()).then_some(Ok(Frame::Data(text)));
                Poll::Ready(data)
            }
            Self::Upstream(answer) => answer.poll_frame(cx),
            Self::File(file) => file.poll_frame(cx),
            Self::Stream(source) => source.poll_frame(cx),
        }
    }

    fn answer(&mut self) -> Option<&mut dyn UpstreamBody> {
        match self {
            Self::Upstream(answer) => Some(&mut **answer),
            Self::Stream(source) => source.answer(),
            _ => None,
        }
    }
}

/// Bodies for the tests of what is made of them.
#[cfg(test)]
pub(crate) mod testing {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    /// Gives what is in it, a pause for `None`, and then the end.
    pub(crate) struct Script(VecDeque<Option<Next>>);

    impl Script {
        pub(crate) fn new(steps: Vec<Option<Next>>) -> Self {
            Self(steps.into())
        }
    }

    impl Source for Script {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Next> {
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

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many bytes each poll gives, up to the end; `None` where it gives
    /// nothing. Nobody is woken.
    pub(crate) fn polls(source: &mut dyn Source) -> Vec<Option<usize>> {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let mut sizes = Vec::new();
        loop {
            match source.poll_frame(&mut cx) {
                Poll::Pending => sizes.push(None),
                Poll::Ready(Some(Ok(Frame::Data(data)))) => sizes.push(Some(data.len())),
                Poll::Ready(_) => break,
            }
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "it wakes its own task");
        sizes
    }
}

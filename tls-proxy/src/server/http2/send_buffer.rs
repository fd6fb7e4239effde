//! A piece of an answer that `h2` holds until the client takes it, and a count
//! of those pieces: `h2` drops what it still holds when a stream is reset, and
//! tells nobody what has gone out.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::{Buf, Bytes};

use crate::time::timer::Timer;

/// Bytes on their way out.
pub(super) struct Chunk {
    bytes: Bytes,
    queue: Rc<InFlight>,
}

/// The pieces of one stream that are on their way.
#[derive(Default)]
pub(super) struct InFlight {
    pieces: Cell<usize>,
    /// What has gone out so far, bytes.
    gone: Cell<u64>,
    /// A part of one has gone out since the last look.
    moved: Cell<bool>,
    /// Somebody waits for the next to go.
    awaited: Cell<bool>,
    /// Kept: it is the same from stream to stream.
    waker: RefCell<Option<Waker>>,
}

impl Chunk {
    pub(super) fn new(bytes: Bytes, queue: &Rc<InFlight>) -> Self {
        queue.pieces.update(|count| count + 1);
        Self {
            bytes,
            queue: queue.clone(),
        }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.queue.moved.set(true);
        self.queue.gone.update(|bytes| bytes + count as u64);
        self.bytes.advance(count);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.queue.pieces.update(|count| count.saturating_sub(1));
        if self.queue.awaited.take()
            && let Some(waker) = &*self.queue.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

impl InFlight {
    /// Begins with another stream.
    pub(super) fn begin(&self) {
        self.gone.set(0);
    }

    /// What of the stream has gone out so far, bytes.
    pub(super) fn gone(&self) -> u64 {
        self.gone.get()
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.get() == 0
    }

    /// Whether nothing is left. Otherwise its task is woken when the next piece has
    /// gone, and `timer` hears of what has moved meanwhile.
    pub(super) fn poll_empty(&self, cx: &mut Context<'_>, timer: &mut Timer) -> bool {
        if self.is_empty() {
            return true;
        }
        self.awaited.set(true);
        match &mut *self.waker.borrow_mut() {
            Some(own) => own.clone_from(cx.waker()),
            own => *own = Some(cx.waker().clone()),
        }
        if self.moved.take() {
            timer.progress();
        }
        false
    }
}

//! The pieces of a response that `h2` holds until they are sent, and their count: `h2`
//! drops unsent pieces when a stream is reset, and does not report what was sent.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::{Buf, Bytes};

use crate::time::timer::Timer;

/// Bytes to be sent.
pub(super) struct Chunk {
    bytes: Bytes,
    queue: Rc<InFlight>,
}

/// The unsent pieces of one stream.
#[derive(Default)]
pub(super) struct InFlight {
    pieces: Cell<usize>,
    /// Bytes sent so far.
    sent: Cell<u64>,
    /// Some bytes were sent since the last `poll_empty`.
    moved: Cell<bool>,
    /// A task waits for the next piece to be sent.
    awaited: Cell<bool>,
    /// Kept, because it is the same for the streams of a task.
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
        self.queue.sent.update(|bytes| bytes + count as u64);
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
    /// Starts another stream.
    pub(super) fn begin(&self) {
        self.sent.set(0);
    }

    /// Bytes of the stream sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Whether all pieces have been sent.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.get() == 0
    }

    /// Whether all pieces have been sent. Otherwise the task is woken after the next one,
    /// and `timer` is restarted if bytes were sent.
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

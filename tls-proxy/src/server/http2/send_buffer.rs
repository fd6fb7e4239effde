//! What `h2` holds of responses until it is sent: it does not report what it has sent.
//!
//! The pieces of a body are counted: `h2` also drops them when a stream is reset. The last header
//! block of a stream, which windows do not stop, has been sent when it has been written, or when
//! `h2` has nothing left to write.

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
    /// The stream's identifier.
    stream: Cell<u32>,
    pieces: Cell<usize>,
    /// Bytes sent so far.
    sent: Cell<u64>,
    /// Some bytes were sent since the last `poll_sent`.
    moved: Cell<bool>,
    /// Its last header block.
    block: Cell<Block>,
    /// A task waits for the next piece, or the header block, to be sent.
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
        self.queue.wake();
    }
}

/// The last header block of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Block {
    /// There was none so far, or it has been sent.
    #[default]
    Sent,
    Unsent,
    /// The connection ended before.
    Lost,
}

/// The streams of a connection whose last header block may be unsent.
#[derive(Default)]
pub(super) struct UnsentBlocks(RefCell<Vec<Rc<InFlight>>>);

impl UnsentBlocks {
    /// A stream has sent its last header block.
    pub(super) fn add(&self, stream: &Rc<InFlight>) {
        if stream.block.replace(Block::Unsent) != Block::Unsent {
            self.0.borrow_mut().push(stream.clone());
        }
    }

    /// The stream has ended, whether its block was sent or not.
    pub(super) fn remove(&self, stream: &Rc<InFlight>) {
        if stream.has_unsent_block() {
            self.0.borrow_mut().retain(|own| !Rc::ptr_eq(own, stream));
            stream.block.set(Block::Sent);
        }
    }

    /// The stream's last header block has been written.
    pub(super) fn is_sent(&self, stream: u32) {
        let mut all = self.0.borrow_mut();
        if let Some(at) = all.iter().position(|own| own.stream.get() == stream) {
            all.swap_remove(at).settle(Block::Sent);
        }
    }

    /// `h2` has written all it may: not the blocks behind data for which there is no window.
    pub(super) fn are_sent(&self) {
        self.0.borrow_mut().retain(|stream| {
            let waits = !stream.is_empty();
            if !waits {
                stream.settle(Block::Sent);
            }
            waits
        });
    }

    fn are_lost(&self) {
        for stream in self.0.borrow_mut().drain(..) {
            stream.settle(Block::Lost);
        }
    }
}

/// Tells the streams of a connection that it has ended, when it is dropped: whatever ended it.
pub(super) struct ConnectionEnd(pub(super) Rc<UnsentBlocks>);

impl Drop for ConnectionEnd {
    fn drop(&mut self) {
        self.0.are_lost();
    }
}

impl InFlight {
    fn settle(&self, block: Block) {
        self.block.set(block);
        self.wake();
    }

    fn wake(&self) {
        if self.awaited.take()
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Starts another stream.
    pub(super) fn begin(&self, stream: u32) {
        self.stream.set(stream);
        self.sent.set(0);
        self.block.set(Block::Sent);
    }

    /// Bytes of the stream sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Whether all pieces have been sent.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.get() == 0
    }

    /// Whether its last header block has not been sent yet.
    pub(super) fn has_unsent_block(&self) -> bool {
        self.block.get() == Block::Unsent
    }

    /// Whether the connection ended before the last header block was sent.
    pub(super) fn is_lost(&self) -> bool {
        self.block.get() == Block::Lost
    }

    /// Whether all pieces and the header block have been sent. Otherwise the task is woken
    /// after the next one, and `timer` is restarted if bytes were sent.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>, timer: &mut Timer) -> bool {
        if self.is_empty() && !self.has_unsent_block() {
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

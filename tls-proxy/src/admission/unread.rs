//! Unread DATA of HTTP/2: received and not read yet, reserved before `h2` gets it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::{DATA_FRAME, HTTP2_BUFFER, MemoryUse, Permit};

/// Memory is reserved in steps of this size, bytes.
const STEP: u64 = 16 << 10;

/// The unread bodies of one connection.
#[derive(Debug)]
pub(crate) struct Unread {
    /// Memory reserved for all of them.
    permit: Permit,
    /// Memory they hold, bytes.
    held: Cell<u64>,
    /// Incomplete bodies, by stream.
    bodies: RefCell<BTreeMap<u32, Body>>,
    /// The stream of a partly received frame, and the bytes counted for it.
    partial: Cell<Option<(u32, u64)>>,
    /// Bytes that have passed on the connection.
    passed: Cell<u64>,
    /// Unread frames, and the most of them at once.
    frames: Cell<usize>,
    most_frames: Cell<usize>,
}

#[derive(Debug, Default)]
struct Body {
    /// Bytes.
    held: u64,
    /// For each unread frame, what it keeps of the bytes between the frame before it and itself.
    between: VecDeque<u16>,
    /// Where the last frame ends among the bytes of the connection.
    end: u64,
    /// Its request has been accepted.
    accepted: bool,
}

impl Unread {
    /// Starts empty; `permit` is used for nothing else.
    pub(crate) fn new(permit: Permit) -> Rc<Self> {
        Rc::new(Self {
            permit,
            held: Cell::new(0),
            bodies: RefCell::default(),
            partial: Cell::new(None),
            passed: Cell::new(0),
            frames: Cell::new(0),
            most_frames: Cell::new(0),
        })
    }

    /// So many more bytes have passed on the connection.
    pub(crate) fn pass(&self, size: usize) {
        self.passed.set(self.passed.get() + size as u64);
    }

    /// The most frames that were unread at once.
    pub(crate) fn most_frames(&self) -> usize {
        self.most_frames.get()
    }

    fn frame_comes(&self) {
        self.frames.set(self.frames.get() + 1);
        self.most_frames
            .set(self.most_frames.get().max(self.frames.get()));
    }

    fn frames_go(&self, count: usize) {
        self.frames.set(self.frames.get() - count);
    }

    /// Announces a body on a stream.
    pub(crate) fn expect(&self, stream: u32) {
        self.bodies.borrow_mut().insert(stream, Body::default());
    }

    /// The body of an accepted request; `ended` if it has none.
    pub(crate) fn accept(self: &Rc<Self>, stream: u32, ended: bool) -> BodyFlow {
        if !ended {
            let mut bodies = self.bodies.borrow_mut();
            bodies.entry(stream).or_default().accepted = true;
        }
        let unread = self.clone();
        BodyFlow { unread, stream }
    }

    /// Drops the bodies of requests that have not been accepted, except that of stream
    /// `kept`.
    pub(crate) fn forget_others(&self, kept: Option<u32>) {
        let mut given_up = 0;
        self.bodies.borrow_mut().retain(|stream, body| {
            let stays = body.accepted || kept == Some(*stream);
            if !stays {
                given_up += body.held;
                self.frames_go(body.between.len());
            }
            stays
        });
        self.give_back(given_up);
    }

    /// Counts `size` more bytes for a stream, and what its unread frame will keep of other frames.
    /// Data of a stream without a reader is not counted: `h2` discards it.
    ///
    /// # Errors
    /// The number of bytes to reserve first.
    pub(crate) fn try_add(&self, stream: u32, size: u64) -> Result<(), u64> {
        let mut bodies = self.bodies.borrow_mut();
        let Some(body) = bodies.get_mut(&stream) else {
            return Ok(());
        };
        let between = body.between_last_and(self.passed.get());
        let size = size + u64::from(between);
        let held = self.held.get() + size;
        let granted = self.granted();
        if held > granted {
            let more = (held - granted).max(STEP);
            if !self.permit.try_grow(more) {
                return Err(more);
            }
        }
        body.held += size;
        body.between.push_back(between);
        self.frame_comes();
        let payload = (size - u64::from(between)).saturating_sub(DATA_FRAME);
        body.end = self.passed.get() + payload;
        self.held.set(held);
        Ok(())
    }

    /// Waits until `more` bytes are reserved.
    pub(crate) async fn grow(&self, more: u64) {
        self.permit.grow(more).await;
    }

    /// Releases what is reserved and not needed.
    pub(crate) fn trim(&self) {
        let (granted, held) = (self.granted(), self.held.get());
        let spare = granted.saturating_sub(held);
        if spare >= 2 * STEP || (held == 0 && spare > 0) {
            self.permit.shrink(MemoryUse::Transfer, spare);
        }
    }

    /// Notes a partly received frame: its stream, and the bytes counted for it.
    pub(crate) fn set_partial(&self, frame: Option<(u32, u64)>) {
        self.partial.set(frame);
    }

    fn granted(&self) -> u64 {
        self.permit.memory(MemoryUse::Transfer)
    }

    fn give_back(&self, size: u64) {
        self.held.set(self.held.get() - size);
        self.trim();
    }
}

impl Body {
    /// What a frame that begins at `start` keeps of the bytes between the last one and itself: one
    /// unread frame keeps the buffer with all that came with it. The first unread one's buffer is part
    /// of the request's memory.
    fn between_last_and(&self, start: u64) -> u16 {
        if self.between.is_empty() {
            return 0;
        }
        let between = start.saturating_sub(self.end);
        between.min(u64::from(HTTP2_BUFFER)) as u16
    }
}

/// The unread part of one request's body, until it is dropped.
#[derive(Debug)]
pub(crate) struct BodyFlow {
    unread: Rc<Unread>,
    stream: u32,
}

impl BodyFlow {
    /// All complete frames have been read: what is still counted for them was padding.
    pub(crate) fn caught_up(&self) {
        let mut bodies = self.unread.bodies.borrow_mut();
        if let Some(body) = bodies.get_mut(&self.stream) {
            let partial = self.unread.partial.get();
            let partial = partial.filter(|(stream, _)| *stream == self.stream);
            let size = body
                .held
                .saturating_sub(partial.map_or(0, |(_, size)| size));
            self.unread.frames_go(body.between.len());
            body.between.clear();
            if partial.is_some() {
                body.between.push_back(0);
                self.unread.frame_comes();
            }
            if size > 0 {
                body.held -= size;
                self.unread.give_back(size);
            }
        }
    }

    /// A DATA frame of `size` bytes has been read.
    pub(crate) fn taken(&self, size: usize) {
        let mut bodies = self.unread.bodies.borrow_mut();
        if let Some(body) = bodies.get_mut(&self.stream) {
            let between = body.between.pop_front();
            self.unread.frames_go(usize::from(between.is_some()));
            let between = between.unwrap_or_default();
            let size = size as u64 + DATA_FRAME + u64::from(between);
            let size = size.min(body.held);
            body.held -= size;
            self.unread.give_back(size);
        }
    }
}

impl Drop for BodyFlow {
    fn drop(&mut self) {
        let body = self.unread.bodies.borrow_mut().remove(&self.stream);
        if let Some(body) = body {
            self.unread.frames_go(body.between.len());
            self.unread.give_back(body.held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, Admitted, Capacity};

    /// That of a connection, which it returns, too.
    async fn unread() -> (Admitted, Rc<Unread>) {
        let admission = Admission::new(Capacity {
            connections: 1,
            descriptors: 2,
            memory: None,
        });
        let own = admission.for_new_client().await.accepted();
        let unread = Unread::new(admission.empty_permit(own.account.holder()));
        (own, unread)
    }

    #[tokio::test]
    async fn what_is_read_forgotten_or_dropped_is_given_back() {
        let (_own, unread) = unread().await;
        let size = 3 * STEP;
        unread.expect(1);
        assert_eq!(unread.try_add(1, size + DATA_FRAME), Ok(()));
        let flow = unread.accept(1, false);
        assert_eq!(unread.try_add(1, 10), Ok(()));
        assert!(unread.granted() >= size);
        flow.taken(size as usize);
        assert_eq!(unread.held.get(), 10);
        assert!(unread.granted() < size);
        // No part of an incomplete frame counts as padding yet.
        unread.set_partial(Some((1, 10)));
        flow.caught_up();
        assert_eq!(unread.held.get(), 10);
        unread.expect(3);
        assert_eq!(unread.try_add(3, 10), Ok(()));
        unread.forget_others(None);
        assert_eq!(unread.try_add(3, 10), Ok(()), "h2 throws it away");
        assert_eq!(unread.held.get(), 10);
        drop(flow);
        assert_eq!((unread.held.get(), unread.granted()), (0, 0));
    }

    #[tokio::test]
    async fn an_unread_frame_counts_with_the_buffer_that_it_keeps() {
        let (_own, unread) = unread().await;
        let small = DATA_FRAME + 1;
        let come = |others: usize| {
            assert_eq!(unread.try_add(1, small), Ok(()));
            unread.pass(1 + others);
            unread.held.get()
        };
        unread.expect(1);
        let flow = unread.accept(1, false);
        assert_eq!(come(9), small, "the first one");
        assert_eq!(come(8000), 2 * small + 9, "the frame header");
        assert_eq!(
            come(1 << 20),
            3 * small + 8009,
            "the frame of another stream"
        );
        let most = u64::from(HTTP2_BUFFER);
        assert_eq!(come(9), 4 * small + 8009 + most, "more than a buffer");
        flow.taken(1);
        flow.taken(1);
        assert_eq!(unread.held.get(), 2 * small + 8000 + most);
        flow.taken(1);
        flow.taken(1);
        assert_eq!(unread.held.get(), 0);
        assert_eq!(come(0), small, "all of the others have been read");
    }
}

//! Memory that a client makes `h2` hold, reserved beneath it: frames pass from the socket
//! only after their memory has been reserved.
//!
//! `h2` keeps a request's fields until the request is accepted, the fragments of a header
//! block until it ends, and DATA until the body is read. It limits each of them, but only
//! for each connection by itself. Frames that need no memory pass at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::frame_header::{Frame, FrameHeaders, SentBlocks};
use super::send_buffer::UnsentBlocks;
use crate::admission::unread::{BodyFlow, Unread};
use crate::admission::{
    DATA_FRAME, HEADER_BLOCK, HTTP2_STREAM, HTTP2_UNREAD, MemoryUse, Permit, SMALL_INBOUND,
    TLS_RECORD,
};
use crate::request::connection::Connection;
use crate::tls::client_stream::ClientStream;

/// Header blocks that `h2` may decode before their requests are accepted, bytes. One byte
/// may stand for a field of some hundred bytes.
const UNACCEPTED: u32 = 2048;
/// Bytes read from a client in one turn: processing them delays all other clients of the
/// worker.
const TURN: usize = 64 << 10;
/// Bytes that are discarded at once.
const DISCARDED: usize = 2048;
/// Memory for what stays is reserved in steps of this size, bytes.
const STEP: u64 = 8 << 10;
/// The places of this many streams are part of a connection's memory.
const SMALL_STREAMS: usize = 4;
/// And of this many unread frames.
const SMALL_FRAMES: usize = 16;
/// Entries of both dynamic tables that are part of a connection's memory, bytes.
const SMALL_ENTRIES: u64 = 4 << 10;
/// Trailer fields of a request up to this encoded size are part of the request's memory,
/// bytes.
const SMALL_TRAILERS: u32 = 128;

/// Received and not yet processed by a request.
pub(super) struct Inflow {
    connection: Rc<Connection>,
    /// Requests in order, from the first frame of their fields until they are accepted.
    coming: RefCell<VecDeque<PendingRequest>>,
    /// Size of their header blocks, bytes.
    unaccepted: Cell<u32>,
    /// The unread bodies of requests.
    unread: Rc<Unread>,
    /// When the current header block of several frames began.
    block: Cell<Option<Instant>>,
    /// The frame or header block of which `h2` has received a part.
    partial: Cell<Option<Frame>>,
    /// Memory reserved for what `h2` keeps until the connection ends, bytes.
    kept: Cell<u64>,
    /// The most streams that were open at once.
    most_streams: Cell<usize>,
    /// A frame waits for memory.
    waiting: Cell<bool>,
    /// The last frame found has not been admitted yet.
    unadmitted: Cell<bool>,
    /// What the client must not send has come: nothing more is read.
    broken: Cell<Option<&'static str>>,
    /// The connection closes: what comes is discarded.
    closing: Cell<bool>,
    /// Waits for a request to be accepted.
    reader: RefCell<Option<Waker>>,
    /// The socket took not all that `h2` wrote last.
    write_pending: Cell<bool>,
}

/// A request that `h2` has not delivered yet.
struct PendingRequest {
    /// Size of the first frame of its header block, bytes.
    size: u32,
    /// Size of the whole header block once it is complete, bytes.
    block: u32,
    permit: Permit,
    /// Its stream, if a body follows.
    body: Option<u32>,
}

impl Inflow {
    pub(super) fn new(connection: &Rc<Connection>) -> Rc<Self> {
        let holder = connection.account.holder();
        let permit = connection.worker.admission.empty_permit(holder);
        Rc::new(Self {
            connection: connection.clone(),
            coming: RefCell::default(),
            unaccepted: Cell::new(0),
            unread: Unread::new(permit),
            block: Cell::new(None),
            partial: Cell::new(None),
            kept: Cell::new(0),
            most_streams: Cell::new(0),
            waiting: Cell::new(false),
            unadmitted: Cell::new(false),
            broken: Cell::new(None),
            closing: Cell::new(false),
            reader: RefCell::default(),
            write_pending: Cell::new(false),
        })
    }

    /// When the incomplete header block began.
    pub(super) fn block(&self) -> Option<Instant> {
        self.block.get()
    }

    /// Whether a frame waits for memory: then the connection is busy even without a request
    /// in progress.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// What the client must not send, if it has come: the connection has to end.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.broken.get()
    }

    /// The connection closes. What is on its way is discarded, since the client would get a reset
    /// otherwise, and nothing before that.
    pub(super) fn close(&self) {
        self.closing.set(true);
    }

    /// Whether the connection keeps more than a client's share of the memory.
    pub(super) fn keeps_much(&self) -> bool {
        self.kept.get() > self.connection.worker.admission.share()
    }

    /// Whether `h2` waits for the socket to take what it writes.
    pub(super) fn is_write_pending(&self) -> bool {
        self.write_pending.get()
    }

    /// The permit of the next accepted request, and the size of its header block, bytes.
    /// `None` if its permit has been released already.
    pub(super) fn accept(&self) -> Option<(Permit, u32)> {
        let next = self.coming.borrow_mut().pop_front()?;
        self.unaccepted.set(self.unaccepted.get() - next.size);
        self.wake();
        Some((next.permit, next.block))
    }

    /// `h2` has delivered everything it received: requests it has refused need no memory. A
    /// partly received one is still to come.
    pub(super) fn all_accepted(&self) {
        let mut coming = self.coming.borrow_mut();
        let in_head =
            matches!(self.partial.get(), Some(Frame::Request { .. })) && !self.unadmitted.get();
        let refused = coming.len() - usize::from(in_head && !coming.is_empty());
        if refused == 0 {
            return;
        }
        coming.drain(..refused);
        let rest = coming.front();
        self.unaccepted.set(rest.map_or(0, |own| own.size));
        let kept = rest.and_then(|own| own.body);
        drop(coming);
        self.unread.forget_others(kept);
        self.wake();
    }

    /// Sets the frame or header block of which `h2` has received a part.
    fn set_partial(&self, frame: Option<Frame>) {
        self.partial.set(frame);
        let of_body = frame.and_then(|frame| Some((frame.stream()?, size_in_body(frame))));
        self.unread.set_partial(of_body);
    }

    fn begin_to_wait(&self) {
        self.waiting.set(true);
        self.connection.account.holder().stop_waiting();
    }

    fn wake(&self) {
        if let Some(waker) = self.reader.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Notes how many streams are open, whenever it has become one more. One that was taken for refused
    /// becomes one again when it is served.
    pub(super) fn note_streams(&self) {
        let open = self.connection.in_flight.get() + self.coming.borrow().len();
        self.most_streams.set(self.most_streams.get().max(open));
    }

    /// What `h2` keeps of the streams that were open at once, bytes.
    fn streams(&self) -> u64 {
        HTTP2_STREAM * self.most_streams.get().saturating_sub(SMALL_STREAMS) as u64
    }

    /// What `h2` keeps of the frames that were unread at once, bytes. Their places double.
    fn frames(&self) -> u64 {
        match self.unread.most_frames() {
            0..=SMALL_FRAMES => 0,
            most => HTTP2_UNREAD * most.next_power_of_two() as u64,
        }
    }

    /// Reserves memory for the `size` bytes that `h2` keeps until the connection ends; `Some` is what
    /// has to be waited for, bytes.
    fn keep(&self, size: u64) -> Option<u64> {
        let kept = self.kept.get();
        if size <= kept {
            if kept - size > 2 * STEP {
                self.kept.set(size);
                let permit = &self.connection.permit;
                permit.shrink(MemoryUse::Connection, kept - size);
            }
            return None;
        }
        let more = (size - kept).max(STEP);
        if !self.connection.permit.try_grow(more) {
            return Some(more);
        }
        self.keeps(more);
        None
    }

    /// So many bytes more have been reserved for it.
    fn keeps(&self, more: u64) {
        let permit = &self.connection.permit;
        permit.reclassify(MemoryUse::Transfer, MemoryUse::Connection, more);
        self.kept.set(self.kept.get() + more);
    }

    /// The body of an accepted request; `ended` if it has none.
    pub(super) fn body(&self, stream: u32, ended: bool) -> BodyFlow {
        self.unread.accept(stream, ended)
    }

    /// Reserves the memory of a frame; `Some` if something is missing.
    fn admit(&self, frame: Frame) -> Option<Need> {
        match frame {
            Frame::Request { size, ends, body } => {
                if self.unaccepted.get() > UNACCEPTED {
                    return Some(Need::Accepted);
                }
                let holder = self.connection.account.holder();
                let admission = &self.connection.worker.admission;
                let Some(permit) = admission.try_for_stream(holder) else {
                    return Some(Need::Request);
                };
                if !ends && !self.connection.permit.try_grow(HEADER_BLOCK) {
                    return Some(Need::Block);
                }
                self.admitted(permit, size, ends, body);
                None
            }
            Frame::Trailers {
                stream,
                ends: false,
                ..
            } => {
                // Whatever its stream is, `h2` keeps the block until it ends.
                if !self.connection.permit.try_grow(HEADER_BLOCK) {
                    return Some(Need::Block);
                }
                if self.unread.try_add(stream, size_in_body(frame)).is_err() {
                    self.connection
                        .permit
                        .shrink(MemoryUse::Transfer, HEADER_BLOCK);
                    return Some(Need::Block);
                }
                self.block.set(Some(Instant::now()));
                None
            }
            Frame::Trailers { stream, .. } | Frame::Data { stream, .. } => {
                let added = self.unread.try_add(stream, size_in_body(frame));
                added.err().map(Need::Data)
            }
        }
    }

    fn admitted(&self, permit: Permit, size: u32, ends: bool, body: Option<u32>) {
        let size = size.max(1);
        let coming = PendingRequest {
            size,
            block: 0,
            permit,
            body,
        };
        self.coming.borrow_mut().push_back(coming);
        self.note_streams();
        self.unaccepted.set(self.unaccepted.get() + size);
        if let Some(stream) = body {
            self.unread.expect(stream);
        }
        if !ends {
            self.block.set(Some(Instant::now()));
        }
    }

    /// A header block is complete; `request` is its size if it is a request's.
    fn block_ends(&self, request: Option<u32>) {
        if let (Some(size), Some(last)) = (request, self.coming.borrow_mut().back_mut()) {
            last.block = size;
        }
        if self.block.take().is_some() {
            self.connection.account.holder().start_stage();
            self.connection
                .permit
                .shrink(MemoryUse::Transfer, HEADER_BLOCK);
        }
    }
}

/// The memory of a frame in its stream's body, bytes.
fn size_in_body(frame: Frame) -> u64 {
    match frame {
        Frame::Request { .. } => 0,
        Frame::Trailers { size, ends, .. } if ends && size <= SMALL_TRAILERS => 0,
        Frame::Trailers { .. } => HEADER_BLOCK,
        Frame::Data { size, .. } => u64::from(size) + DATA_FRAME,
    }
}

/// What a frame has to wait for.
#[derive(Clone, Copy)]
enum Need {
    /// Earlier requests have to be accepted.
    Accepted,
    /// Memory for a request.
    Request,
    /// Memory for a header block of several frames.
    Block,
    /// Memory for the bodies of requests, bytes.
    Data(u64),
}

type Wait = Pin<Box<dyn Future<Output = ()>>>;

/// A client's byte stream, which stops before a frame without memory.
pub(super) struct Metered {
    io: ClientStream,
    /// Bytes read without a pause.
    at_once: usize,
    inflow: Rc<Inflow>,
    headers: FrameHeaders,
    /// Most of a TLS record has come.
    in_record: bool,
    shut_down: bool,
    sent: SentBlocks,
    unsent: Rc<UnsentBlocks>,
    /// Data read after a frame that has to wait.
    stash: BytesMut,
    /// The frame that has to wait, and its wait.
    pending: Option<Frame>,
    wait: Option<Wait>,
}

impl Metered {
    pub(super) fn new(io: ClientStream, inflow: Rc<Inflow>, unsent: Rc<UnsentBlocks>) -> Self {
        Self {
            io,
            at_once: 0,
            inflow,
            headers: FrameHeaders::default(),
            in_record: false,
            shut_down: false,
            sent: SentBlocks::default(),
            unsent,
            stash: BytesMut::new(),
            pending: None,
            wait: None,
        }
    }

    /// Ready when the waiting frame may pass.
    fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
                self.inflow.waiting.set(false);
                self.inflow.unadmitted.set(false);
            }
            let Some(frame) = self.pending else {
                return Poll::Ready(());
            };
            match self.inflow.admit(frame) {
                None => self.pending = None,
                Some(need) => self.wait = Some(self.wait_for(frame, need)),
            }
        }
    }

    /// Waits for what is missing and reserves it.
    fn wait_for(&mut self, frame: Frame, need: Need) -> Wait {
        let inflow = self.inflow.clone();
        inflow.begin_to_wait();
        inflow.unadmitted.set(true);
        // The memory is reserved by the wait itself, so the frame is not admitted again.
        if !matches!(need, Need::Accepted) {
            self.pending = None;
        }
        Box::pin(async move {
            let connection = inflow.connection.clone();
            let admission = &connection.worker.admission;
            let holder = connection.account.holder();
            match (need, frame) {
                (Need::Request | Need::Block, Frame::Request { size, ends, body }) => {
                    let permit = admission.for_stream(holder).await;
                    if !ends {
                        connection.permit.grow(HEADER_BLOCK).await;
                    }
                    inflow.admitted(permit, size, ends, body);
                }
                (Need::Block, Frame::Trailers { stream, .. }) => {
                    connection.permit.grow(HEADER_BLOCK).await;
                    let size = size_in_body(frame);
                    if let Err(more) = inflow.unread.try_add(stream, size) {
                        inflow.unread.grow(more).await;
                        // Nothing is missing any more, and its stream may have been closed by now.
                        let _ = inflow.unread.try_add(stream, size);
                        inflow.unread.trim();
                    }
                    inflow.block.set(Some(Instant::now()));
                }
                (Need::Data(more), _) => {
                    inflow.unread.grow(more).await;
                    inflow.admit(frame);
                    // Its stream may have been closed by now.
                    inflow.unread.trim();
                }
                _ => {
                    std::future::poll_fn(|cx| {
                        if inflow.unaccepted.get() <= UNACCEPTED {
                            return Poll::Ready(());
                        }
                        *inflow.reader.borrow_mut() = Some(cx.waker().clone());
                        Poll::Pending
                    })
                    .await;
                }
            }
        })
    }

    /// Reserves memory for what is kept until the connection ends; `false` if it has to be waited for.
    fn keep(&mut self) -> bool {
        let entries = self.headers.entries() + self.sent.entries();
        let record = if self.in_record { TLS_RECORD } else { 0 };
        let entries = entries.saturating_sub(SMALL_ENTRIES);
        let places = self.inflow.streams() + self.inflow.frames();
        let kept = entries + self.headers.buffers() + places + record;
        let Some(more) = self.inflow.keep(kept) else {
            return true;
        };
        let inflow = self.inflow.clone();
        inflow.begin_to_wait();
        self.wait = Some(Box::pin(async move {
            inflow.connection.permit.grow(more).await;
            inflow.keeps(more);
        }));
        false
    }

    /// Nothing is there to be read; it may be that most of a TLS record is.
    fn note_record(&mut self) {
        let in_record = self.io.unread() > SMALL_INBOUND;
        // In a body others follow.
        if in_record || self.inflow.connection.in_flight.get() == 0 {
            self.in_record = in_record;
        }
    }

    /// Checks the bytes read from `start` on, and keeps back those that have to wait.
    fn pass(&mut self, into: &mut ReadBuf<'_>, start: usize) {
        let bytes = &into.filled()[start..];
        let mut passed = 0;
        while passed < bytes.len() {
            let (size, found) = self.headers.next(&bytes[passed..]);
            passed += size;
            self.inflow.unread.pass(size);
            if self.headers.block_ended() {
                self.inflow.block_ends(self.headers.request_block());
            }
            self.inflow.set_partial(self.headers.partial());
            let broken = self.headers.broken();
            if broken.is_some() {
                self.inflow.broken.set(broken);
                passed -= size;
                into.set_filled(start + passed);
                return;
            }
            if !self.keep() {
                self.pending = found;
                self.inflow.unadmitted.set(found.is_some());
                break;
            }
            let Some(frame) = found else { continue };
            if let Some(need) = self.inflow.admit(frame) {
                self.pending = Some(frame);
                self.wait = Some(self.wait_for(frame, need));
                break;
            }
        }
        if passed < bytes.len() {
            let mut rest = BytesMut::from(&bytes[passed..]);
            rest.unsplit(std::mem::take(&mut self.stash));
            self.stash = rest;
            into.set_filled(start + passed);
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.inflow.closing.get() {
            return this.discard(cx);
        }
        if this.inflow.broken.get().is_some() {
            return Poll::Pending;
        }
        if this.wait.is_some() || this.pending.is_some() {
            ready!(this.poll_admitted(cx));
        }
        let start = into.filled().len();
        if this.stash.is_empty() {
            // Small frames cost more than their size suggests: let other clients run.
            if this.at_once >= TURN {
                this.at_once = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let read = Pin::new(&mut this.io).poll_read(cx, into);
            this.at_once = match read {
                Poll::Ready(_) => this.at_once + into.filled().len() - start,
                Poll::Pending => 0,
            };
            if read.is_pending() {
                this.note_record();
                if !this.keep() {
                    ready!(this.poll_admitted(cx));
                }
            }
            ready!(read)?;
        } else {
            let size = this.stash.len().min(into.remaining());
            into.put_slice(&this.stash[..size]);
            this.stash.advance(size);
            if this.stash.is_empty() {
                this.stash = BytesMut::new();
            }
        }
        this.pass(into, start);
        if into.filled().len() == start && this.inflow.broken.get().is_some() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Metered {
    fn pass_sent(&mut self, written: &[u8]) {
        let unsent = &self.unsent;
        self.sent.pass(written, |stream| unsent.is_sent(stream));
    }

    /// Discards what comes, until the client closes its side.
    fn discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); DISCARDED];
        loop {
            let mut into = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut into))?;
            if into.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.inflow.write_pending.set(written.is_pending());
        written
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(size)) = written {
            self.pass_sent(&bytes[..size]);
        }
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut_down {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.shut_down = true;
        }
        match self.inflow.closing.get() {
            true => self.discard(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(mut left)) = written {
            for slice in slices {
                let size = slice.len().min(left);
                self.pass_sent(&slice[..size]);
                left -= size;
            }
        }
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

//! What things hold, and how much a worker may hold of them.
//!
//! Each figure is what one of its kind takes of the control group's memory at most,
//! the kernel's part included where cgroup v1 and v2 both charge it (sockets and
//! polls, not the bytes in a socket's queue): measured by
//! `tests/attacks/test_held_as_planned.py`, which names those that are a bound.

/// An open connection that waits for a request, bytes.
pub(crate) const CONNECTION: u64 = 11 << 10;
/// What a TLS handshake adds to its connection from the ClientHello until it is over,
/// bytes; what is large in it asks for more (tls/accept.rs).
pub(crate) const HANDSHAKE: u64 = 6 << 10;
/// What HTTP/2 adds to its connection: frames in both directions and two full
/// dynamic tables, bytes.
pub(crate) const HTTP2: u64 = 25 << 10;
/// A header block of HTTP/2 that has begun and not ended, bytes: as it came, and
/// the fields that were decoded from it, of which `max_header_list_size` allows
/// some 64 KiB and HeaderMap takes a multiple where they are short.
pub(crate) const HEADER_BLOCK: u64 = 320 << 10;
/// A request until its response is sent, bytes: its task, its head up to
/// [`SMALL_HEAD`], the head of its response, and its connection to an upstream.
pub(crate) const REQUEST: u64 = 24 << 10;
/// A head up to this size is part of [`REQUEST`], bytes.
pub(crate) const SMALL_HEAD: u64 = 4 << 10;
/// A body on its way, in either direction: as it was read, as it is gathered, and
/// as it is encrypted, bytes.
pub(crate) const TRANSFER: u64 = 62 << 10;
/// A body up to this size is part of [`REQUEST`], bytes.
pub(crate) const SMALL_BODY: u64 = 4 << 10;
/// The state of a compressor (`gzip`), bytes.
pub(crate) const COMPRESSOR: u64 = 320 << 10;
/// What a DATA frame of a request's body takes beside its payload while nobody
/// has read it, bytes.
pub(crate) const DATA_FRAME: u64 = 128;
/// A connection that has been accepted and waits for its place, bytes: a socket of the
/// kernel's, and a number.
const PENDING: u64 = 1536;
/// No more of them, whatever the memory: as many as wait in the kernel by default.
const MOST_PENDING: u64 = 511;
/// A part of the memory is for them.
const PENDING_SHARE: u64 = 9;
/// An idle connection to an upstream, bytes.
pub(crate) const IDLE_UPSTREAM: u64 = 4 << 10;

/// A connection of HTTP/2 of which so many streams have been reset to make room is
/// asked to leave (GOAWAY).
pub(crate) const GOAWAY_AFTER: u32 = 16;

/// Connections of a worker, and their requests, for which there is room whatever
/// limits say.
pub(crate) const FEWEST: usize = 8;
/// A client that holds more than this part of the memory is the first to give up.
const SHARE: u64 = 16;

/// What of so much memory is for connections that wait for their place, bytes.
pub(crate) fn for_pending(memory: u64) -> u64 {
    (memory / PENDING_SHARE).min(MOST_PENDING * PENDING)
}

/// What one worker may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Most connections at once (`worker_connections`).
    pub(crate) connections: usize,
    /// Most descriptors at once, of clients and of upstreams.
    pub(crate) descriptors: usize,
    /// Most memory for connections and requests, bytes, if it is limited.
    pub(crate) memory: Option<u64>,
}

/// What memory is for. A part of it is kept for each, so that none of them takes all
/// that the others need to come to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryUse {
    /// Connections as long as they last.
    Connection,
    /// Requests until they are answered.
    Request,
    /// Bodies, and whatever else needs much and ends soon.
    Transfer,
}

impl MemoryUse {
    pub(super) const ALL: [Self; 3] = [Self::Connection, Self::Request, Self::Transfer];
}

impl Capacity {
    /// Idle connections that fit.
    pub(crate) fn most_connections(self) -> usize {
        let others = self.kept(MemoryUse::Request) + self.kept(MemoryUse::Transfer);
        let fit = (self.memory() - others) / CONNECTION;
        let fit = usize::try_from(fit).unwrap_or(usize::MAX);
        self.connections.min(self.descriptors / 2).min(fit)
    }

    /// The memory that is handed out, bytes; some even where limits leave none.
    pub(crate) fn memory(self) -> u64 {
        let least = FEWEST as u64 * (CONNECTION + HTTP2 + REQUEST + TRANSFER);
        // Half of what there is, so that sums do not overflow.
        self.memory.map_or(u64::MAX / 4, |memory| memory.max(least))
    }

    /// The same, if it is limited.
    pub(super) fn budget(self) -> Option<u64> {
        self.memory.map(|_| self.memory())
    }

    /// Connections that may be accepted before there is room for them; none where memory
    /// is not limited.
    pub(super) fn pending(self) -> usize {
        let Some(memory) = self.memory else { return 0 };
        // What is left beside `for_pending` is one part less.
        let fit = (memory / (PENDING_SHARE - 1) / PENDING).min(MOST_PENDING);
        // Those who are served need descriptors, too.
        usize::try_from(fit).map_or(0, |fit| fit.min(self.descriptors / 8))
    }

    /// What is kept for one kind, bytes.
    pub(super) fn kept(self, kind: MemoryUse) -> u64 {
        let Some(_) = self.memory else { return 0 };
        let part = match kind {
            MemoryUse::Connection | MemoryUse::Transfer => 10,
            MemoryUse::Request => 12,
        };
        self.memory() / part
    }

    /// What one client may hold while others wait, bytes.
    pub(crate) fn share(self) -> u64 {
        (self.memory() / SHARE).max(CONNECTION + HTTP2 + REQUEST + TRANSFER)
    }
}

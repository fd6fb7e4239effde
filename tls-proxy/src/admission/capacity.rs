//! Memory costs, and the limits of a worker.
//!
//! Each figure is an upper bound of the control group's memory that one item uses, the
//! kernel's part included if cgroup v1 and v2 both charge it (sockets and polls, not the
//! bytes in a socket's queue). `tests/attacks/test_held_as_planned.py` measures them and
//! names those that are well above the measured value.

/// An open connection that waits for a request, bytes.
pub(crate) const CONNECTION: u64 = 9 << 10;
/// Added for a TLS handshake from the ClientHello to its end, bytes; large messages reserve
/// more (tls/accept.rs).
pub(crate) const HANDSHAKE: u64 = 6 << 10;
/// Added for HTTP/2: the buffers for frames in both directions, and dynamic tables of a few entries,
/// bytes.
pub(crate) const HTTP2: u64 = 21 << 10;
/// Added once 4 KiB have come: the buffers in which the first entries of the dynamic table were
/// received and decoded, bytes. They are kept as long as the entries.
pub(crate) const HTTP2_USED: u64 = 12 << 10;
/// Added once a frame of more than 4 KiB has come: the buffer for frames grows to hold it, bytes.
pub(crate) const HTTP2_FRAME: u64 = 17 << 10;
/// The largest buffer in which `h2` receives frames, bytes. It is freed when none of them is left.
pub(crate) const HTTP2_BUFFER: u16 = 25 << 10;
/// Added for each stream of the most that were open at once, beyond the first ones: `h2` keeps
/// their places, bytes.
pub(crate) const HTTP2_STREAM: u64 = 1792;
/// Added for the most frames of bodies that were unread at once, rounded up to a power of two: `h2`
/// keeps their places, bytes each.
pub(crate) const HTTP2_UNREAD: u64 = 240;
/// An incomplete request, or TLS record, up to this size is part of [`CONNECTION`], bytes.
pub(crate) const SMALL_INBOUND: usize = 2048;
/// Added over HTTP/2 while more than that of a TLS record has come, bytes.
pub(crate) const TLS_RECORD: u64 = 17 << 10;
/// An incomplete header block of HTTP/2, bytes: the block as received, and the decoded
/// fields, of which `max_header_list_size` allows some 64 KiB; HeaderMap needs a multiple
/// of that if they are short.
pub(crate) const HEADER_BLOCK: u64 = 320 << 10;
/// A request until its response is sent, bytes: its task, its head up to
/// [`SMALL_HEAD`], the head of its response, and its connection to an upstream.
pub(crate) const REQUEST: u64 = 23 << 10;
/// A head up to this size is part of [`REQUEST`], bytes.
pub(crate) const SMALL_HEAD: u64 = 4 << 10;
/// The fields of a head up to this number are part of [`REQUEST`].
pub(crate) const SMALL_FIELDS: usize = 64;
/// Each further field of a response's head, bytes: its places and its slices.
pub(crate) const HEAD_FIELD: u64 = 128;
/// Computed values up to this size may wait for their memory, bytes: those of the largest head.
pub(crate) const SMALL_VALUES: u64 = 32 << 10;
/// A body in transit, in either direction: as read, as gathered, and as encrypted, bytes.
pub(crate) const TRANSFER: u64 = 62 << 10;
/// A body up to this size is part of [`REQUEST`], bytes.
pub(crate) const SMALL_BODY: u64 = 4 << 10;
/// The state of a compressor (`gzip`), bytes.
pub(crate) const COMPRESSOR: u64 = 320 << 10;
/// A decompressor of `gunzip`: its window of 32 KiB, tables, a piece and what is read of a header.
pub(crate) const DECOMPRESSOR: u64 = 80 << 10;
/// Overhead of an unread DATA frame of a request's body beside its payload, bytes.
pub(crate) const DATA_FRAME: u64 = 128;
/// An accepted connection that is not served yet, bytes: the kernel's socket, and its entry
/// in the queue.
const PENDING: u64 = 1536;
/// The most of them, whatever the memory: nginx's default `backlog`.
const MAX_PENDING: u64 = 511;
/// One part in so many of the memory is for them: behind those that do not fit, a client waits in
/// the kernel's queue.
const PENDING_SHARE: u64 = 6;
/// One part in so many of the descriptors is.
const PENDING_FILES: usize = 9;
/// Connections of sockets that are closed next are accepted with one part in so many of the memory more.
pub(super) const OVERDRAFT: u64 = 16;
/// An idle connection to an upstream, bytes.
pub(crate) const IDLE_UPSTREAM: u64 = 4 << 10;
/// Added for TLS, bytes, and for the upstream's certificates. With few of them it is part of
/// [`REQUEST`] while a request uses the connection; many reserve more (tls/upstream_stream.rs).
pub(crate) const UPSTREAM_TLS: u64 = 11 << 10;

/// After this many of its streams were reset to free memory, a connection of HTTP/2 gets
/// GOAWAY.
pub(crate) const GOAWAY_AFTER: u32 = 16;

/// The number of connections of a worker, and of their requests, that is always allowed
/// whatever the limits are.
pub(crate) const FEWEST: usize = 8;
/// The memory that a worker may grant whatever the limits are, bytes.
pub(crate) const LEAST_MEMORY: u64 = FEWEST as u64 * (CONNECTION + HTTP2 + REQUEST + TRANSFER);
/// A client that holds more than this fraction of the memory is evicted first.
const SHARE: u64 = 16;

/// The part of `files` descriptors that is for connections not served yet.
pub(crate) fn files_for_pending(files: usize) -> usize {
    files / PENDING_FILES
}

/// The part of `memory` bytes that is for connections not served yet.
pub(crate) fn for_pending(memory: u64) -> u64 {
    (memory / PENDING_SHARE).min(MAX_PENDING * PENDING)
}

/// What one worker may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Connections, at most (`worker_connections`).
    pub(crate) connections: usize,
    /// Descriptors, at most, for clients and upstreams.
    pub(crate) descriptors: usize,
    /// Memory for connections and requests, at most, bytes; `None` if it is not limited.
    pub(crate) memory: Option<u64>,
}

/// What memory is used for. Part of the memory is kept for each use, so that no use can
/// take everything the others need in order to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryUse {
    /// Connections, as long as they are open.
    Connection,
    /// Requests, until their response is sent.
    Request,
    /// Bodies, and other large and short-lived needs.
    Transfer,
}

impl MemoryUse {
    pub(super) const ALL: [Self; 3] = [Self::Connection, Self::Request, Self::Transfer];
}

impl Capacity {
    /// The number of idle connections that fit into the limits.
    pub(crate) fn most_connections(self) -> usize {
        let others = self.kept(MemoryUse::Request) + self.kept(MemoryUse::Transfer);
        let fit = (self.memory() - others) / CONNECTION;
        let fit = usize::try_from(fit).unwrap_or(usize::MAX);
        self.connections.min(self.descriptors / 2).min(fit)
    }

    /// The memory to grant, bytes; a minimum even if the limits leave none.
    pub(crate) fn memory(self) -> u64 {
        // A quarter of the range, so that sums do not overflow.
        self.memory
            .map_or(u64::MAX / 4, |memory| memory.max(LEAST_MEMORY))
    }

    /// The same if it is limited.
    pub(super) fn budget(self) -> Option<u64> {
        self.memory.map(|_| self.memory())
    }

    /// Connections that may be accepted before there is memory to serve them; none if
    /// memory is not limited.
    pub(super) fn pending(self) -> usize {
        let Some(memory) = self.memory else { return 0 };
        // `for_pending` has been subtracted from it.
        let fit = (memory / (PENDING_SHARE - 1) / PENDING).min(MAX_PENDING);
        // And `files_for_pending` from these.
        usize::try_from(fit).map_or(0, |fit| fit.min(self.descriptors / (PENDING_FILES - 1)))
    }

    /// What is kept for one kind, bytes.
    pub(super) fn kept(self, kind: MemoryUse) -> u64 {
        let Some(_) = self.memory else { return 0 };
        match kind {
            MemoryUse::Connection => self.memory() / 10,
            MemoryUse::Request => self.memory() / 12,
            // At least one body makes progress, with its decompressor.
            MemoryUse::Transfer => (self.memory() / 10).max(TRANSFER + DECOMPRESSOR),
        }
    }

    /// The memory one client may hold while others wait, bytes.
    pub(crate) fn share(self) -> u64 {
        (self.memory() / SHARE).max(CONNECTION + HTTP2 + REQUEST + TRANSFER)
    }
}

//! Limits of socket buffers if memory is limited. Control groups of version 2 charge them
//! to the container; without a limit, a response that is not read takes half a mebibyte.

use std::cell::Cell;
use std::os::fd::AsFd;

use socket2::SockRef;

/// Unsent data of a response or of a request's body in the kernel, bytes
/// (`TCP_NOTSENT_LOWAT`). Data in flight does not count, so who reads is not slowed down.
const UNSENT: u32 = 32 << 10;
/// Unread data of an upstream, bytes (`SO_RCVBUF`); the kernel doubles it for its overhead.
const UNREAD: usize = 64 << 10;

thread_local! {
    static LIMITED: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether the memory of this thread's worker is limited.
pub(super) fn set_memory_limit(memory: Option<u64>) {
    LIMITED.set(memory.is_some());
}

/// Sets the limit on a socket if memory is limited; returns whether it is. The connections of
/// a listening socket inherit it.
pub(crate) fn bounds_unsent(socket: &impl AsFd) -> bool {
    let limited = LIMITED.get();
    if limited {
        // A kernel without this option buffers more.
        let _ = SockRef::from(socket).set_tcp_notsent_lowat(UNSENT);
    }
    limited
}

/// Sets the limits on a socket before it is connected to an upstream.
pub(crate) fn bound(socket: &impl AsFd) {
    if bounds_unsent(socket) {
        let _ = SockRef::from(socket).set_recv_buffer_size(UNREAD);
    }
}

//! What sockets may hold where memory is limited. Control groups of version 2 count
//! it like the memory of the program; without a bound, a response that nobody reads
//! takes half a mebibyte of it.

use std::cell::Cell;
use std::os::fd::AsFd;

use socket2::SockRef;

/// Of a response: what the kernel may have taken and not sent, bytes
/// (`TCP_NOTSENT_LOWAT`). What is on its way does not count, so a client that reads
/// gets its response as fast as ever.
const UNSENT: u32 = 32 << 10;
/// What an upstream may have sent that has not been read, bytes (`SO_RCVBUF`); the
/// kernel allows twice as much for what it keeps beside.
const UNREAD: usize = 64 << 10;

thread_local! {
    static LIMITED: Cell<bool> = const { Cell::new(false) };
}

/// Says whether the memory of this thread's worker is limited.
pub(super) fn fit_into(memory: Option<u64>) {
    LIMITED.set(memory.is_some());
}

/// Sets up a listening socket, for the connections that it will accept, where memory is
/// limited; says whether it is.
pub(crate) fn bounds_unsent(listener: &impl AsFd) -> bool {
    let limited = LIMITED.get();
    if limited {
        // A kernel that does not know it holds more.
        let _ = SockRef::from(listener).set_tcp_notsent_lowat(UNSENT);
    }
    limited
}

/// Sets up a socket that will be connected to an upstream.
pub(crate) fn bound_unread(socket: &impl AsFd) {
    if LIMITED.get() {
        let _ = SockRef::from(socket).set_recv_buffer_size(UNREAD);
    }
}

//! Bounds what an upstream sends in a handshake: its certificates may be many.
//!
//! rustls keeps what it has received of a message, up to 64 KiB, and the certificates for as long
//! as the connection lasts.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::admission::{MemoryUse, Permit};

/// What an upstream may send without more memory, bytes: a few certificates.
const SMALL: usize = 16 * 1024;
/// What it may send at all, bytes: a message of the largest size, and the others.
const MOST: usize = 80 * 1024;
/// Memory for more than a few certificates, bytes: as received, and as kept. Less than what is kept
/// for such needs whatever the limits are, so that one handshake can always go on.
const LARGE: u64 = 136 << 10;

/// The stream below TLS. After the handshake it only passes on.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    allowance: Rc<Allowance>,
}

/// What may be read, bytes; `UNMETERED` after the handshake.
#[derive(Debug)]
struct Allowance {
    left: Cell<usize>,
    /// More was wanted.
    exceeded: Cell<bool>,
}

const UNMETERED: usize = usize::MAX;

/// Memory that is given back when it is dropped, also by a time-out.
struct Reserved<'a> {
    permit: &'a Permit,
    /// Bytes.
    memory: u64,
}

impl Reserved<'_> {
    /// The permit for a part that is kept.
    fn keep(&mut self, memory: usize) -> Permit {
        let kept = (memory as u64).min(self.memory);
        self.memory -= kept;
        self.permit.split(kept)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.permit.shrink(MemoryUse::Transfer, self.memory);
    }
}

/// Performs a handshake on `stream`, which waits for memory before more than a few certificates
/// are read. If so, returns the permit for so much as `kept` says of the finished handshake, bytes.
pub(super) async fn metered<S, T>(
    stream: S,
    permit: Option<&Permit>,
    handshake: impl AsyncFnOnce(Metered<S>) -> io::Result<T>,
    kept: impl FnOnce(&T) -> usize,
) -> io::Result<(T, Option<Permit>)> {
    let allowance = Rc::new(Allowance {
        left: Cell::new(SMALL),
        exceeded: Cell::new(false),
    });
    let stream = Metered {
        stream,
        allowance: allowance.clone(),
    };
    let mut connecting = pin!(handshake(stream));
    // `None` if it wants to read more than it may.
    let mut next = async || {
        poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if allowance.exceeded.replace(false) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    };
    let mut done = next().await;
    let mut reserved = None;
    if done.is_none() {
        if let Some(permit) = permit {
            permit.grow_alone(LARGE).await;
            reserved = Some(Reserved {
                permit,
                memory: LARGE,
            });
        }
        allowance.left.set(MOST - SMALL);
        done = next().await;
    }
    let done = done.unwrap_or_else(|| {
        let reason = "the upstream's certificates are too long";
        Err(io::Error::new(io::ErrorKind::InvalidData, reason))
    })?;
    allowance.left.set(UNMETERED);
    let certificates = reserved.map(|mut reserved| reserved.keep(kept(&done)));
    Ok((done, certificates))
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.allowance.left.get();
        if left == 0 {
            self.allowance.exceeded.set(true);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if left < UNMETERED {
            let read = buffer.filled().len() - before;
            self.allowance.left.set(left.saturating_sub(read));
        }
        Poll::Ready(Ok(()))
    }
}

crate::net::delegate_io::writes_to!(Metered<S>, stream);

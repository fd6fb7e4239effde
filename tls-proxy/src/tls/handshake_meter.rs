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

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::admission::{MemoryUse, Need, Permit, UPSTREAM_CERTIFICATES};

/// What an upstream may send without more memory, bytes.
const SMALL: usize = UPSTREAM_CERTIFICATES as usize;
/// What it may send at all, bytes: a message of the largest size, and the others.
const MOST: usize = 96 * 1024;
/// Memory for more than a few certificates, bytes: as received, in a buffer that has grown, and
/// as kept.
const LARGE: u64 = 160 << 10;

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

/// Performs a handshake on `stream`, which waits for memory before more than a few certificates
/// are read. Returns what was reserved for it on `permit`, bytes.
pub(super) async fn metered<S, T>(
    stream: S,
    permit: Option<&Permit>,
    handshake: impl AsyncFnOnce(Metered<S>) -> io::Result<T>,
) -> io::Result<(T, u64)> {
    let allowance = Rc::new(Allowance {
        left: Cell::new(SMALL),
        exceeded: Cell::new(false),
    });
    let stream = Metered {
        stream,
        allowance: allowance.clone(),
    };
    let mut connecting = pin!(handshake(stream));
    let mut large = None;
    let done = poll_fn(|cx| {
        loop {
            if let (Some(need), Some(permit)) = (&mut large, permit) {
                ready!(permit.poll_grow(need, cx));
            }
            let polled = connecting.as_mut().poll(cx);
            if polled.is_ready() || !allowance.exceeded.replace(false) {
                return polled;
            }
            if large.is_some() {
                let reason = "the upstream's certificates are too long";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
            }
            large.insert(Need::default()).add(LARGE);
            allowance.left.set(MOST - SMALL);
        }
    })
    .await;
    allowance.left.set(UNMETERED);
    let reserved = if large.is_some() { LARGE } else { 0 };
    if let (Err(_), Some(permit)) = (&done, permit) {
        permit.shrink(MemoryUse::Transfer, reserved);
    }
    Ok((done?, reserved))
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

//! Bounds what an upstream sends that is no data: its certificates may be many, and its sessions
//! large.
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
use tokio_rustls::client::TlsStream;

use crate::admission::{MemoryUse, Permit};
use crate::time::stopwatch::Stopwatch;

/// What an upstream may send without more memory, bytes: a few certificates.
const SMALL: usize = 16 * 1024;
/// What it may send at all, bytes: a message of the largest size, and the others.
const MOST: usize = 80 * 1024;
/// Memory for more than a few certificates, bytes: as received, and as kept. Less than what is kept
/// for such needs whatever the limits are, so that one handshake can always go on.
const LARGE: u64 = 136 << 10;

/// What it may send after the handshake until data is read, bytes: a record of data, and sessions,
/// each of which has what the server keeps of its client.
const BETWEEN_DATA: usize = 32 * 1024;

const NO_DATA: &str = "the upstream's TLS messages after the handshake are too long";

/// The stream below TLS.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    allowance: Rc<Allowance>,
}

/// What may be read.
#[derive(Debug)]
struct Allowance {
    /// Bytes.
    left: Cell<usize>,
    /// More was wanted.
    exceeded: Cell<bool>,
}

/// A connection to an upstream after the handshake.
#[derive(Debug)]
pub(crate) struct UpstreamTls<S> {
    tls: TlsStream<Metered<S>>,
}

/// What memory for a handshake is reserved on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandshakeMemory<'a> {
    /// `None` if it is not counted.
    pub(crate) permit: Option<&'a Permit>,
    /// Waiting for memory takes no time of the handshake.
    pub(crate) time: &'a Stopwatch,
}

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
    memory: HandshakeMemory<'_>,
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
        if let Some(permit) = memory.permit {
            memory.time.stopped_for(permit.grow_alone(LARGE)).await;
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
    allowance.left.set(BETWEEN_DATA);
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
        let read = buffer.filled().len() - before;
        self.allowance.left.set(left.saturating_sub(read));
        Poll::Ready(Ok(()))
    }
}

impl<S> UpstreamTls<S> {
    pub(super) fn new(tls: TlsStream<Metered<S>>) -> Self {
        Self { tls }
    }

    /// The stream below TLS.
    pub(crate) fn below(&self) -> &S {
        &self.tls.get_ref().0.stream
    }

    /// Whether it has read something that can be passed on.
    pub(crate) fn has_read(&self) -> bool {
        !self.tls.get_ref().1.wants_read()
    }

    /// The size of the certificates that the upstream has shown, bytes.
    pub(crate) fn size_of_certificates(&self) -> usize {
        size_of_certificates(&self.tls)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for UpstreamTls<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tls).poll_read(cx, buffer);
        let allowance = &self.tls.get_ref().0.allowance;
        let exceeded = allowance.exceeded.replace(false);
        if buffer.filled().len() > before {
            // A large read takes more at once than may come without data.
            allowance.left.set(BETWEEN_DATA);
        } else if exceeded {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, NO_DATA)));
        }
        read
    }
}

pub(super) fn size_of_certificates<S>(stream: &TlsStream<Metered<S>>) -> usize {
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    shown.iter().map(|own| own.len()).sum()
}

crate::net::delegate_io::writes_to!(Metered<S>, stream);
crate::net::delegate_io::writes_to!(UpstreamTls<S>, tls);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;
    use crate::admission::{Admission, Capacity};

    const LIMIT: Duration = Duration::from_secs(1);

    /// A handshake in which the peer sends `size` bytes, within a second.
    async fn handshake(size: usize, permit: &Permit) -> Option<io::Result<()>> {
        let (near, mut far) = duplex(size);
        far.write_all(&vec![0; size]).await.expect("room");
        let read = async |mut stream: Metered<DuplexStream>| {
            // As much at a time as rustls reads.
            let mut left = size;
            while left > 0 {
                left -= stream.read(&mut [0; 4096]).await?;
            }
            Ok(())
        };
        let time = Stopwatch::default();
        let memory = HandshakeMemory {
            permit: Some(permit),
            time: &time,
        };
        let done = time
            .within(LIMIT, metered(near, memory, read, |()| size))
            .await?;
        Some(done.map(|_| ()))
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_memory_takes_no_time_of_the_handshake() {
        let admission = Admission::new(Capacity {
            connections: 10,
            descriptors: 100,
            memory: Some(0),
        });
        let client = admission.try_for_connection().expect("room").accepted();
        let other = admission.try_for_connection().expect("room").accepted();
        let permit = admission.empty_permit(client.account.holder());
        let taken = admission.empty_permit(other.account.holder());
        while taken.try_grow(1 << 10) {}
        let release = async {
            sleep(10 * LIMIT).await;
            drop(taken);
        };
        let few = handshake(SMALL, &permit).await;
        assert!(matches!(few, Some(Ok(()))), "{few:?}");
        let (many, ()) = tokio::join!(handshake(2 * SMALL, &permit), release);
        assert!(matches!(many, Some(Ok(()))), "{many:?}");
        let too_many = handshake(MOST + 4096, &permit).await;
        assert!(matches!(too_many, Some(Err(_))), "{too_many:?}");
    }
}

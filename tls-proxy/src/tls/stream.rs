//! A client's TLS connection. An idle one holds no buffers: complete records pass through
//! two buffers that all connections of a worker share.

mod write;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::server::UnbufferedServerConnection as Session;
use rustls::{AlertDescription, ServerConfig};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::handshake::{self, Finished};
use super::record::{self, FRAGMENT, Opened, RECORD, RecordLayer};
use crate::net::read_size::BULK_SIZE;

/// Clear text that is encrypted at once, bytes: four records. It is also what may wait for
/// a client that does not read; usually that is one piece of a body.
const PIECE: usize = 4 * FRAGMENT;
/// Room for what records add to a piece, for a KeyUpdate, and for the beginning of a record
/// that is read, bytes.
const OVERHEAD: usize = 1024;

/// Ciphertext that was read, and that is to be written. The kernel allocates a page when it
/// is first used.
struct Shared {
    inward: Vec<u8>,
    outward: Vec<u8>,
}

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::new(Shared {
        inward: vec![0; BULK_SIZE + OVERHEAD],
        outward: vec![0; PIECE + OVERHEAD],
    });
}

/// A TLS connection after its handshake.
pub(crate) struct TlsStream {
    socket: TcpStream,
    records: RecordLayer,
    /// Read and not decrypted yet: usually a part of one record.
    inward: BytesMut,
    /// Decrypted and not read by the caller yet.
    clear: BytesMut,
    /// Encrypted and not written yet.
    outward: BytesMut,
    /// `outward` holds nothing but session tickets, for which no client waits: they are
    /// sent with the next data, or before waiting for the client.
    held: bool,
    /// The client has sent `close_notify`.
    ended: bool,
    close_notify_sent: bool,
    /// A fatal alert has been sent or received: nothing follows it (RFC 8446, section 6.2).
    failed: bool,
}

/// The result of decrypting what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    /// No complete record.
    Incomplete,
    /// Clear text.
    Data,
    /// The client has sent `close_notify`.
    Ended,
}

impl TlsStream {
    /// Completes a handshake of which `begun` has been read; `inspect` gets its session
    /// then.
    ///
    /// # Errors A protocol error of the client, which gets an alert, or an error of the
    /// socket.
    pub(crate) async fn accept<T>(
        socket: TcpStream,
        config: Arc<ServerConfig>,
        begun: BytesMut,
        large: impl Future<Output = ()>,
        inspect: impl FnOnce(&Session) -> T,
    ) -> io::Result<(Self, T)> {
        let Finished {
            socket,
            records,
            inward,
            outward,
            tickets,
            inspected,
        } = handshake::finish(socket, config, begun, large, inspect).await?;
        let stream = Self {
            socket,
            records,
            inward,
            clear: BytesMut::new(),
            outward,
            held: tickets,
            ended: false,
            close_notify_sent: false,
            failed: false,
        };
        Ok((stream, inspected))
    }

    /// The socket below.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Ciphertext that waits for the rest of its record, bytes.
    pub(crate) fn unread(&self) -> usize {
        self.inward.len()
    }

    /// Whether it has read the end, and nothing that is to be passed on before it.
    pub(super) fn has_read_end(&self) -> bool {
        self.failed || (self.ended && self.clear.is_empty())
    }

    /// Whether it has read something that can be passed on.
    pub(super) fn has_read(&self) -> bool {
        let is_whole = |size| size <= self.inward.len();
        !self.clear.is_empty() || record::size(&self.inward).is_some_and(is_whole)
    }

    /// Reads through the shared buffer, after the part of a record that is kept, and
    /// decrypts into `into`.
    fn poll_fresh(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<ReadState>> {
        SHARED.with_borrow_mut(|shared| {
            let kept = self.inward.len();
            // More than fits into `into` would have to be kept.
            let most = into.remaining().clamp(RECORD, shared.inward.len());
            shared.inward[..kept].copy_from_slice(&self.inward);
            let mut space = ReadBuf::new(&mut shared.inward[kept..most]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
            let size = space.filled().len();
            if size == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let records = &mut shared.inward[..kept + size];
            let mut used = 0;
            let step = self.decrypt(records, &mut used, Some(into))?;
            self.inward = BytesMut::from(&records[used..]);
            Poll::Ready(Ok(step))
        })
    }

    /// Decrypts what is kept, as much as fits into `into`; without `into` all of it, which
    /// is kept as clear text.
    fn decrypt_rest(&mut self, into: Option<&mut ReadBuf<'_>>) -> io::Result<ReadState> {
        let mut records = std::mem::take(&mut self.inward);
        let mut used = 0;
        let step = self.decrypt(&mut records, &mut used, into);
        records.advance(used);
        if !records.is_empty() {
            self.inward = records;
        }
        step
    }

    /// Decrypts the `records` after the first `used` bytes, while `into` has room for the
    /// clear text of another one; without `into` all of them, and the clear text is kept.
    fn decrypt(
        &mut self,
        records: &mut [u8],
        used: &mut usize,
        mut into: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<ReadState> {
        let mut came = ReadState::Incomplete;
        while !self.ended {
            let next = &mut records[*used..];
            let (opened, size) = match self.records.open(next) {
                Ok(Some(opened)) => opened,
                Ok(None) => return Ok(came),
                Err(error) => return Err(self.fail(error)),
            };
            match opened {
                Opened::Data(clear) if clear.is_empty() => {}
                Opened::Data(clear) => {
                    came = ReadState::Data;
                    self.take_data(&next[clear], into.as_deref_mut());
                }
                Opened::Nothing => {}
                Opened::Renegotiation => {
                    let alert = AlertDescription::NoRenegotiation;
                    self.encode(|records, out| records.seal_alert(alert, out))?
                }
                Opened::Closed => self.ended = true,
            }
            *used += size;
            if into
                .as_deref()
                .is_some_and(|into| into.remaining() < FRAGMENT)
            {
                return Ok(ReadState::Data);
            }
        }
        Ok(ReadState::Ended)
    }

    /// Copies clear text into `into`; what does not fit is kept.
    fn take_data(&mut self, data: &[u8], into: Option<&mut ReadBuf<'_>>) {
        let room = into.as_deref().map_or(0, ReadBuf::remaining);
        let (fits, rest) = data.split_at(room.min(data.len()));
        if let Some(into) = into {
            into.put_slice(fits);
        }
        self.clear.extend_from_slice(rest);
    }

    fn take_clear(&mut self, into: &mut ReadBuf<'_>) {
        let fits = self.clear.len().min(into.remaining());
        into.put_slice(&self.clear.split_to(fits));
        if self.clear.is_empty() {
            self.clear = BytesMut::new();
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        if this.failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            if !this.clear.is_empty() {
                this.take_clear(into);
            }
            if this.ended || into.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            let mut step = Poll::Ready(Ok(ReadState::Incomplete));
            if !this.inward.is_empty() {
                step = Poll::Ready(this.decrypt_rest(Some(into)));
            }
            if matches!(step, Poll::Ready(Ok(ReadState::Incomplete))) {
                step = this.poll_fresh(cx, into);
            }
            // An alert or tickets; an error shows at the next write.
            if !this.outward.is_empty() && (!this.held || step.is_pending()) {
                let _ = this.poll_drain(cx);
            }
            ready!(step)?;
        }
    }
}

//! A client's TLS connection: one that waits holds no buffers, and what comes or goes
//! in one piece passes through buffers that all connections of a worker have in
//! common.

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
use super::record::{FRAGMENT, Opened, RECORD, RecordLayer};
use crate::net::read_size::BULK_SIZE;

/// Clear text that is encrypted in one go, four records of it, bytes. A client that
/// takes nothing holds what it was handed: a piece of a body, seldom as much.
const PIECE: usize = 4 * FRAGMENT;
/// What records add to a piece, with a KeyUpdate and what begins a record that is read,
/// bytes.
const OVERHEAD: usize = 1024;

/// Ciphertext as it comes and as it goes. The kernel gives it memory where it is used
/// first.
struct Common {
    inward: Vec<u8>,
    outward: Vec<u8>,
}

thread_local! {
    static COMMON: RefCell<Common> = RefCell::new(Common {
        inward: vec![0; BULK_SIZE + OVERHEAD],
        outward: vec![0; PIECE + OVERHEAD],
    });
}

/// A TLS connection, its handshake behind it.
pub(crate) struct TlsStream {
    socket: TcpStream,
    records: RecordLayer,
    /// Read and not decrypted yet: part of a record, seldom more.
    inward: BytesMut,
    /// Decrypted and not taken yet.
    clear: BytesMut,
    /// Encrypted and not written yet.
    outward: BytesMut,
    /// All of `outward` is tickets, for which no client waits: they go with what is
    /// sent next, or as soon as the client is waited for.
    held: bool,
    /// The client has sent `close_notify`.
    ended: bool,
    close_notify_sent: bool,
    /// A fatal alert has been sent or received: nothing follows it (RFC 8446, section 6.2).
    failed: bool,
}

/// What has come of the records there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    /// They are not whole.
    Hungry,
    /// Clear text has come out.
    Data,
    /// The client has sent `close_notify`.
    Ended,
}

impl TlsStream {
    /// Finishes a handshake of which `begun` has been read, and asks its session for
    /// `facts`.
    ///
    /// # Errors
    /// The client's mistake, for which it gets an alert, or that of the socket.
    pub(crate) async fn accept<T>(
        socket: TcpStream,
        config: Arc<ServerConfig>,
        begun: BytesMut,
        facts: impl FnOnce(&Session) -> T,
    ) -> io::Result<(Self, T)> {
        let Finished {
            socket,
            records,
            inward,
            outward,
            tickets,
            facts,
        } = handshake::finish(socket, config, begun, facts).await?;
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
        Ok((stream, facts))
    }

    /// What it is read from.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Ciphertext that waits for the rest of its record, bytes.
    pub(crate) fn unread(&self) -> usize {
        self.inward.len()
    }

    /// Reads behind the part of a record that is kept, through the common buffer.
    /// Clear text goes `into` there.
    fn poll_fresh(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<ReadState>> {
        COMMON.with_borrow_mut(|common| {
            let kept = self.inward.len();
            // What finds no room in `into` would have to be kept.
            let most = into.remaining().clamp(RECORD, common.inward.len());
            common.inward[..kept].copy_from_slice(&self.inward);
            let mut space = ReadBuf::new(&mut common.inward[kept..most]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
            let size = space.filled().len();
            if size == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let records = &mut common.inward[..kept + size];
            let mut used = 0;
            let step = self.decrypt(records, &mut used, Some(into))?;
            self.inward = BytesMut::from(&records[used..]);
            Poll::Ready(Ok(step))
        })
    }

    /// Decrypts what is kept: as much clear text as fits `into` there, or all
    /// of it to be kept.
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

    /// Opens the `records` behind the bytes that are `used`, while there is room for the
    /// clear text of the next one: `into` there, or else to be kept.
    fn decrypt(
        &mut self,
        records: &mut [u8],
        used: &mut usize,
        mut into: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<ReadState> {
        let mut came = ReadState::Hungry;
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

    /// Clear text goes `into` there as far as there is room; the rest is kept.
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
            let mut step = Poll::Ready(Ok(ReadState::Hungry));
            if !this.inward.is_empty() {
                step = Poll::Ready(this.decrypt_rest(Some(into)));
            }
            if matches!(step, Poll::Ready(Ok(ReadState::Hungry))) {
                step = this.poll_fresh(cx, into);
            }
            // An alert; whoever writes next sees
            // what became of it.
            if !this.outward.is_empty() && (!this.held || step.is_pending()) {
                let _ = this.poll_drain(cx);
            }
            ready!(step)?;
        }
    }
}

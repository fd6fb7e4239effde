//! A client's TLS connection over rustls' interface without buffers: one that
//! waits holds none, and what comes or goes in one piece passes through buffers
//! that all connections of a worker have in common.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustix::net::{SendFlags, send};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection as Session};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus, WriteTraffic,
};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::net::read_size::BULK_SIZE;

/// The clear text of a record, at most (RFC 8446, section 5.1), bytes.
const FRAGMENT: usize = 16 * 1024;
/// A record, as long as it may be (RFC 5246, section 6.2.3), bytes.
const RECORD: usize = 5 + 16 * 1024 + 2048;
/// A message of the handshake is no longer than this, bytes: a client's chain of
/// certificates.
pub(super) const MOST_HANDSHAKE: usize = 32 * 1024;
/// Clear text that is encrypted in one go, four records of it, bytes. A client that
/// takes nothing holds what it was handed: a piece of a body, seldom as much.
const PIECE: usize = 4 * FRAGMENT;
/// What records add to clear text, with room for a word of the session's own, bytes.
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
    session: Session,
    /// Read and not decrypted yet: part of a record, seldom more.
    inward: BytesMut,
    /// Decrypted and not taken yet.
    clear: BytesMut,
    /// Encrypted and not written yet.
    outward: BytesMut,
    /// All of `outward` is tickets, for which no client waits: they go with what is
    /// said next, or as soon as the client is waited for.
    held: bool,
    /// The client has said `close_notify`.
    ended: bool,
    said_goodbye: bool,
}

/// Where a session stands when it has looked at what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    /// It waits for bytes.
    Hungry,
    /// Clear text has come out.
    Data,
    /// The client has said `close_notify`.
    Ended,
}

impl TlsStream {
    /// Finishes a handshake of which `begun` has been read.
    ///
    /// # Errors
    /// The client's mistake, for which it gets an alert, or that of the socket.
    pub(crate) async fn accept(
        socket: TcpStream,
        config: Arc<ServerConfig>,
        begun: BytesMut,
    ) -> io::Result<Self> {
        let mut stream = Self {
            socket,
            session: Session::new(config).map_err(invalid)?,
            inward: begun,
            clear: BytesMut::new(),
            outward: BytesMut::new(),
            held: false,
            ended: false,
            said_goodbye: false,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// What the handshake has agreed on.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// What it is read from.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Ciphertext that waits for the rest of its record, bytes.
    pub(crate) fn unread(&self) -> usize {
        self.inward.len()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut step = self.decrypt_rest(None);
        loop {
            if step.is_err() {
                // The alert.
                let _ = self.poll_drain(cx);
                return Poll::Ready(step.map(drop));
            }
            if !self.session.is_handshaking() {
                // In TLS 1.2 it is `Finished`, which the client waits for.
                self.held = self.session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
                if !self.held {
                    let _ = self.poll_drain(cx);
                }
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(drained) = self.poll_drain(cx) {
                drained?;
            }
            if self.inward.len() > MOST_HANDSHAKE {
                let reason = "a message of the handshake is too long";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
            }
            step = ready!(self.poll_fresh(cx, None)).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "tls handshake eof"),
                _ => error,
            });
        }
    }

    /// Reads behind the part of a record that is kept, through the common buffer.
    /// Clear text goes `into` there, or else it is kept.
    fn poll_fresh(
        &mut self,
        cx: &mut Context<'_>,
        into: Option<&mut ReadBuf<'_>>,
    ) -> Poll<io::Result<ReadState>> {
        COMMON.with_borrow_mut(|common| {
            let kept = self.inward.len();
            // What finds no room in `into` would have to be kept. `kept` is less
            // than a record, but for a message of the handshake.
            let (room, least) = match &into {
                Some(into) => (into.remaining(), RECORD),
                None => (0, kept + RECORD),
            };
            let most = room.clamp(least, common.inward.len());
            common.inward[..kept].copy_from_slice(&self.inward);
            let mut space = ReadBuf::new(&mut common.inward[kept..most]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
            let size = space.filled().len();
            if size == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let records = &mut common.inward[..kept + size];
            let mut used = 0;
            let step = self.decrypt(records, &mut used, into)?;
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

    /// Lets the session look at `records`, behind the bytes that are `used`,
    /// while there is room for what comes of them: `into` there, or else to be
    /// kept.
    fn decrypt(
        &mut self,
        records: &mut [u8],
        used: &mut usize,
        mut into: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<ReadState> {
        let mut came = ReadState::Hungry;
        loop {
            match self.decrypt_next(records, used, into.as_deref_mut())? {
                ReadState::Data => came = ReadState::Data,
                ReadState::Hungry => return Ok(came),
                ReadState::Ended => return Ok(ReadState::Ended),
            }
            if into
                .as_deref()
                .is_some_and(|into| into.remaining() < FRAGMENT)
            {
                return Ok(ReadState::Data);
            }
        }
    }

    /// Lets the session look at `records`, behind the bytes that are `used`,
    /// until something has come of them. Clear text that does not fit is kept.
    fn decrypt_next(
        &mut self,
        records: &mut [u8],
        used: &mut usize,
        mut into: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<ReadState> {
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut records[*used..]);
            let step = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        let room = into.as_deref().map_or(0, ReadBuf::remaining);
                        let fits = room.min(record.payload.len());
                        if let Some(into) = into.as_deref_mut() {
                            into.put_slice(&record.payload[..fits]);
                        }
                        self.clear.extend_from_slice(&record.payload[fits..]);
                    }
                    Some(ReadState::Data)
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.outward)?;
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is in `outward`, before all that follows.
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(ReadState::Ended),
                // Early data is not offered, so this is all there is.
                Ok(_) => Some(ReadState::Hungry),
                Err(error) => {
                    *used += discard;
                    self.encode_alert(&mut records[*used..]);
                    return Err(invalid(error));
                }
            };
            *used += discard;
            if let Some(step) = step {
                self.ended |= step == ReadState::Ended;
                return Ok(step);
            }
        }
    }

    /// What is to be sent after a mistake, the alert that explains it at the end.
    fn encode_alert(&mut self, records: &mut [u8]) {
        self.held = false;
        while let Ok(ConnectionState::EncodeTlsData(data)) =
            self.session.process_tls_records(records).state
        {
            // It explains, no more.
            let _ = encode(data, &mut self.outward);
        }
    }

    /// Encrypts with `seal`, and writes as much of it as the socket takes now. FIN
    /// follows what is the `last`.
    fn encrypt(
        &mut self,
        cx: &mut Context<'_>,
        last: bool,
        seal: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        if !self.inward.is_empty() {
            self.decrypt_rest(None)?;
        }
        COMMON.with_borrow_mut(|common| {
            let size = loop {
                match self.session.process_tls_records(&mut self.inward).state {
                    Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                        break seal(&mut traffic, &mut common.outward)?;
                    }
                    // What has come may ask for an answer, which goes before.
                    Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outward)?,
                    Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                    Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                    Err(error) => return Err(invalid(error)),
                }
            };
            let mut sealed = &common.outward[..size];
            if std::mem::take(&mut self.held) {
                self.outward.extend_from_slice(sealed);
                sealed = &[];
                self.write_kept(cx, last)?;
            } else if self.outward.is_empty()
                && let Poll::Ready(written) = poll_put(&mut self.socket, cx, sealed, last)
            {
                sealed = &sealed[written?..];
            }
            self.outward.extend_from_slice(sealed);
            Ok(())
        })
    }

    /// Writes as much of what is kept as the socket takes now.
    fn write_kept(&mut self, cx: &mut Context<'_>, last: bool) -> io::Result<()> {
        if let Poll::Ready(written) = poll_put(&mut self.socket, cx, &self.outward, last) {
            self.outward.advance(written?);
        }
        if self.outward.is_empty() {
            self.outward = BytesMut::new();
        }
        Ok(())
    }

    /// Writes what is kept.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held = false;
        while !self.outward.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.outward))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outward.advance(written);
        }
        self.outward = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn take_clear(&mut self, into: &mut ReadBuf<'_>) {
        let fits = self.clear.len().min(into.remaining());
        into.put_slice(&self.clear.split_to(fits));
        if self.clear.is_empty() {
            self.clear = BytesMut::new();
        }
    }
}

/// Writes as much as the socket takes now. What is the `last` goes in one packet
/// with the FIN that the caller sends next.
fn poll_put(
    socket: &mut TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
    last: bool,
) -> Poll<io::Result<usize>> {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    if last {
        let sent = socket.try_io(Interest::WRITABLE, || Ok(send(&*socket, bytes, flags)?));
        if let Ok(size) = sent {
            return Poll::Ready(Ok(size));
        }
        // It says it again, or wakes when there is room.
    }
    Pin::new(socket).poll_write(cx, bytes)
}

/// Puts words of the session's own behind what is to be written.
fn encode(
    mut data: EncodeTlsData<'_, ServerConnectionData>,
    outward: &mut BytesMut,
) -> io::Result<()> {
    let before = outward.len();
    let size = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        _ => return Ok(()),
    };
    outward.resize(before + size, 0);
    data.encode(&mut outward[before..])
        .map(|_| ())
        .map_err(io::Error::other)
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
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
                step = if this.inward.len() < RECORD {
                    this.poll_fresh(cx, Some(into))
                } else {
                    // Nothing that a client may say after the handshake is so long.
                    let reason = "a message of the handshake's kind in several records";
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)))
                };
            }
            // An alert, or the answer to a new key; whoever writes next sees
            // what became of it.
            if !this.outward.is_empty() && (!this.held || step.is_pending()) {
                let _ = this.poll_drain(cx);
            }
            ready!(step)?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        clear: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.held {
            ready!(this.poll_drain(cx))?;
        }
        let size = clear.len().min(PIECE);
        this.encrypt(cx, false, |traffic, space| {
            let sealed = traffic.encrypt(&clear[..size], space);
            sealed.map_err(io::Error::other)
        })?;
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said_goodbye {
            this.said_goodbye = true;
            this.encrypt(cx, true, |traffic, space| {
                traffic.queue_close_notify(space).map_err(io::Error::other)
            })?;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

//! A client's TLS connection over rustls' unbuffered interface: an idle one has no buffers,
//! and data passes through buffers shared by all connections of a worker.

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

/// Maximum plaintext of a record (RFC 8446, section 5.1), bytes.
const FRAGMENT: usize = 16 * 1024;
/// Maximum size of a record (RFC 5246, section 6.2.3), bytes.
const RECORD: usize = 5 + 16 * 1024 + 2048;
/// Maximum size of a handshake message, bytes: a client's certificate chain.
pub(super) const MOST_HANDSHAKE: usize = 32 * 1024;
/// Plaintext encrypted at a time, four records, bytes. If a client does not read, this is
/// held for it; usually it is less.
const PIECE: usize = 4 * FRAGMENT;
/// What encryption adds to plaintext, with room for a message of the session, bytes.
const OVERHEAD: usize = 1024;

/// Buffers for ciphertext in both directions. The kernel allocates their memory at first
/// use.
struct SharedBuffers {
    inward: Vec<u8>,
    outward: Vec<u8>,
}

thread_local! {
    static SHARED: RefCell<SharedBuffers> = RefCell::new(SharedBuffers {
        inward: vec![0; BULK_SIZE + OVERHEAD],
        outward: vec![0; PIECE + OVERHEAD],
    });
}

/// A TLS connection after its handshake.
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: Session,
    /// Received ciphertext: usually part of a record, seldom more.
    inward: BytesMut,
    /// Plaintext that has not been read.
    clear: BytesMut,
    /// Ciphertext that has not been written.
    outward: BytesMut,
    /// `outward` contains only tickets, for which no client waits: they are sent with the
    /// next data, or when the connection waits for the client.
    held: bool,
    /// The client has sent `close_notify`.
    ended: bool,
    close_notify_sent: bool,
}

/// The result of processing the available records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    /// More bytes are needed.
    NeedsData,
    /// Plaintext was decrypted.
    Data,
    /// The client has sent `close_notify`.
    Ended,
}

impl TlsStream {
    /// Completes a handshake whose first bytes are `begun`.
    ///
    /// # Errors
    /// A protocol error of the client, which gets an alert, or an error of the socket.
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
            close_notify_sent: false,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The session after the handshake.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Ciphertext of an incomplete record, bytes.
    pub(crate) fn unread(&self) -> usize {
        self.inward.len()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut step = self.decrypt_rest(None);
        loop {
            if step.is_err() {
                // Sends the alert.
                let _ = self.poll_drain(cx);
                return Poll::Ready(step.map(drop));
            }
            if !self.session.is_handshaking() {
                // In TLS 1.2 it is `Finished`, for which the client waits.
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

    /// Reads after the kept part of a record, in the shared buffer. Plaintext is written to
    /// `into`, or kept.
    fn poll_fresh(
        &mut self,
        cx: &mut Context<'_>,
        into: Option<&mut ReadBuf<'_>>,
    ) -> Poll<io::Result<ReadState>> {
        SHARED.with_borrow_mut(|shared| {
            let kept = self.inward.len();
            // Plaintext that does not fit into `into` would have to be kept. `kept` is less
            // than a record, except during a handshake.
            let (room, least) = match &into {
                Some(into) => (into.remaining(), RECORD),
                None => (0, kept + RECORD),
            };
            let most = room.clamp(least, shared.inward.len());
            shared.inward[..kept].copy_from_slice(&self.inward);
            let mut space = ReadBuf::new(&mut shared.inward[kept..most]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
            let size = space.filled().len();
            if size == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let records = &mut shared.inward[..kept + size];
            let mut used = 0;
            let step = self.decrypt(records, &mut used, into)?;
            self.inward = BytesMut::from(&records[used..]);
            Poll::Ready(Ok(step))
        })
    }

    /// Decrypts the kept ciphertext: as much plaintext as fits into `into`, or all of it to
    /// be kept.
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

    /// Processes `records` from `used` on while there is room for the plaintext, in `into`
    /// or to be kept.
    fn decrypt(
        &mut self,
        records: &mut [u8],
        used: &mut usize,
        mut into: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<ReadState> {
        let mut state = ReadState::NeedsData;
        loop {
            match self.decrypt_next(records, used, into.as_deref_mut())? {
                ReadState::Data => state = ReadState::Data,
                ReadState::NeedsData => return Ok(state),
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

    /// Processes `records` from `used` on until there is a result. Plaintext that does not
    /// fit is kept.
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
                    // It is in `outward` and sent before anything else.
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(ReadState::Ended),
                // Early data is not offered, so nothing else is possible.
                Ok(_) => Some(ReadState::NeedsData),
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

    /// Encodes what is to be sent after an error, the alert last.
    fn encode_alert(&mut self, records: &mut [u8]) {
        self.held = false;
        while let Ok(ConnectionState::EncodeTlsData(data)) =
            self.session.process_tls_records(records).state
        {
            // The connection fails anyway.
            let _ = encode(data, &mut self.outward);
        }
    }

    /// Encrypts with `seal` and writes as much as the socket accepts now. After the `last`
    /// data a FIN follows.
    fn encrypt(
        &mut self,
        cx: &mut Context<'_>,
        last: bool,
        seal: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        if !self.inward.is_empty() {
            self.decrypt_rest(None)?;
        }
        SHARED.with_borrow_mut(|shared| {
            let size = loop {
                match self.session.process_tls_records(&mut self.inward).state {
                    Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                        break seal(&mut traffic, &mut shared.outward)?;
                    }
                    // Received data may require a response, which is sent first.
                    Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outward)?,
                    Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                    Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                    Err(error) => return Err(invalid(error)),
                }
            };
            let mut sealed = &shared.outward[..size];
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

    /// Writes as much of `outward` as the socket accepts now.
    fn write_kept(&mut self, cx: &mut Context<'_>, last: bool) -> io::Result<()> {
        if let Poll::Ready(written) = poll_put(&mut self.socket, cx, &self.outward, last) {
            self.outward.advance(written?);
        }
        if self.outward.is_empty() {
            self.outward = BytesMut::new();
        }
        Ok(())
    }

    /// Writes all of `outward`.
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

/// Writes as much as the socket accepts now. The `last` data goes in one packet with the
/// FIN, which the caller sends next.
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
        // `poll_write` returns the error again, or waits until there is room.
    }
    Pin::new(socket).poll_write(cx, bytes)
}

/// Appends a message of the session to `outward`.
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
            let mut step = Poll::Ready(Ok(ReadState::NeedsData));
            if !this.inward.is_empty() {
                step = Poll::Ready(this.decrypt_rest(Some(into)));
            }
            if matches!(step, Poll::Ready(Ok(ReadState::NeedsData))) {
                step = if this.inward.len() < RECORD {
                    this.poll_fresh(cx, Some(into))
                } else {
                    // After the handshake no message of a client is that long.
                    let reason = "a message of the handshake's kind in several records";
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)))
                };
            }
            // An alert, or the response to a key update; an error shows at the next write.
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
        if !this.close_notify_sent {
            this.close_notify_sent = true;
            this.encrypt(cx, true, |traffic, space| {
                traffic.queue_close_notify(space).map_err(io::Error::other)
            })?;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

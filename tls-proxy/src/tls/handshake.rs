//! The handshake of a client's TLS connection, over rustls' interface without buffers.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection as Session};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::record::{self, RECORD, RecordLayer};

/// A message of the handshake is no longer than this, bytes: a client's chain of
/// certificates.
pub(super) const MOST_HANDSHAKE: usize = 32 * 1024;
/// One read, bytes.
const READ: usize = 4 * 1024;

/// A handshake under way.
struct Handshake {
    socket: TcpStream,
    session: Session,
    /// Read and not processed yet.
    inward: BytesMut,
    /// How much of it the session has been given, bytes.
    given: usize,
    /// Encoded and not written yet.
    outward: BytesMut,
}

/// What a handshake has come to.
pub(super) struct Finished<T> {
    pub(super) socket: TcpStream,
    pub(super) records: RecordLayer,
    /// Read and not decrypted yet.
    pub(super) inward: BytesMut,
    /// Encrypted and not written yet.
    pub(super) outward: BytesMut,
    /// All of `outward` is tickets.
    pub(super) tickets: bool,
    /// What was asked of the session.
    pub(super) facts: T,
}

/// Finishes a handshake of which `begun` has been read, and asks the session for `facts`.
///
/// # Errors
/// The client's mistake, for which it gets an alert, or that of the socket.
pub(super) async fn finish<T>(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    begun: BytesMut,
    facts: impl FnOnce(&Session) -> T,
) -> io::Result<Finished<T>> {
    let mut handshake = Handshake {
        socket,
        session: Session::new(config).map_err(invalid)?,
        inward: begun,
        given: 0,
        outward: BytesMut::new(),
    };
    poll_fn(|cx| handshake.poll(cx)).await?;
    let facts = facts(&handshake.session);
    let tls13 = handshake.session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    Ok(Finished {
        socket: handshake.socket,
        records: RecordLayer::new(handshake.session).map_err(record::Error::into_io)?,
        inward: handshake.inward,
        outward: handshake.outward,
        tickets: tls13,
        facts,
    })
}

impl Handshake {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let processed = self.process();
            if processed.is_err() {
                // The alert.
                let _ = self.poll_write(cx);
                return Poll::Ready(processed);
            }
            if !self.session.is_handshaking() {
                // In TLS 1.2 it is `Finished`, which the client waits for.
                if self.session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
                    let _ = self.poll_write(cx);
                }
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(written) = self.poll_write(cx) {
                written?;
            }
            if self.inward.len() > MOST_HANDSHAKE {
                let reason = "a message of the handshake is too long";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
            }
            ready!(self.poll_read(cx))?;
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; READ];
        let mut space = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
        if space.filled().is_empty() {
            let kind = io::ErrorKind::UnexpectedEof;
            return Poll::Ready(Err(io::Error::new(kind, "tls handshake eof")));
        }
        self.inward.extend_from_slice(space.filled());
        Poll::Ready(Ok(()))
    }

    /// Lets the session look at what has been read, record by record, until it waits for
    /// more or the handshake is done: what follows belongs to the record layer.
    fn process(&mut self) -> io::Result<()> {
        loop {
            let done = !self.session.is_handshaking();
            let given = if done { 0 } else { self.given };
            let records = &mut self.inward[..given];
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(records);
            let waits = match state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.outward)?;
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is in `outward`, before all that follows.
                    data.done();
                    false
                }
                // The record layer decrypts data: what the session has decrypted would be lost.
                Ok(ConnectionState::ReadTraffic(_)) => {
                    let reason = "data before the end of the handshake";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                }
                // Early data is not offered, so this is all there is.
                Ok(_) => true,
                Err(error) => {
                    self.inward.advance(discard);
                    self.encode_alert();
                    return Err(invalid(error));
                }
            };
            self.inward.advance(discard);
            self.given = given - discard;
            if waits && (done || !self.give_next()) {
                if self.inward.is_empty() {
                    self.inward = BytesMut::new();
                }
                return Ok(());
            }
        }
    }

    /// Lets the session see one record more, if it is whole: the next one may be data already.
    fn give_next(&mut self) -> bool {
        let rest = &self.inward[self.given..];
        let size = match record::size(rest) {
            Some(size) if size <= rest.len() => size,
            // The session refuses it.
            Some(size) if size > RECORD => rest.len(),
            _ => 0,
        };
        self.given += size;
        size > 0
    }

    /// What is to be sent after a mistake, the alert that explains it at the end.
    fn encode_alert(&mut self) {
        while let Ok(ConnectionState::EncodeTlsData(data)) =
            self.session.process_tls_records(&mut self.inward).state
        {
            // It explains, no more.
            let _ = encode(data, &mut self.outward);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
}

/// Puts messages of the session's own behind what is to be written.
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

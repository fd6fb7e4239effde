//! The handshake of a client's TLS connection, over rustls' unbuffered interface.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection as Session};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::record::{self, RECORD, RecordLayer};
use crate::net::poll_write_all;

/// A message of the handshake is no longer than this, bytes: a client's chain of
/// certificates.
pub(super) const MAX_HANDSHAKE: usize = 32 * 1024;
/// For what a client sends in one piece up to this size there is memory, bytes: a few
/// certificates.
const SMALL_HANDSHAKE: usize = 4 * 1024;
/// One read, bytes.
const READ: usize = 4 * 1024;

/// A handshake under way.
struct Handshake {
    socket: TcpStream,
    session: Session,
    /// Read and not processed yet.
    inward: BytesMut,
    /// How much of `inward` has been passed to the session, bytes.
    given: usize,
    /// Encoded and not written yet.
    outward: BytesMut,
}

/// A finished handshake.
pub(super) struct Finished<T> {
    pub(super) socket: TcpStream,
    pub(super) records: RecordLayer,
    /// Read and not decrypted yet.
    pub(super) inward: BytesMut,
    /// Encrypted and not written yet.
    pub(super) outward: BytesMut,
    /// `outward` holds nothing but session tickets.
    pub(super) tickets: bool,
    /// The result of the caller's function.
    pub(super) inspected: T,
}

/// Completes a handshake of which `begun` has been read; `inspect` gets the session then.
/// Waits for `large` before more than a few certificates are read.
///
/// # Errors A protocol error of the client, which gets an alert, or an error of the socket.
pub(super) async fn finish<T>(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    begun: BytesMut,
    large: impl Future<Output = ()>,
    inspect: impl FnOnce(&Session) -> T,
) -> io::Result<Finished<T>> {
    let mut handshake = Handshake {
        socket,
        session: Session::new(config).map_err(invalid)?,
        inward: begun,
        given: 0,
        outward: BytesMut::new(),
    };
    if poll_fn(|cx| handshake.poll(SMALL_HANDSHAKE, cx)).await? == Progress::TooLong {
        large.await;
        if poll_fn(|cx| handshake.poll(MAX_HANDSHAKE, cx)).await? == Progress::TooLong {
            let reason = "a message of the handshake is too long";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
    }
    let inspected = inspect(&handshake.session);
    let tls13 = handshake.session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    Ok(Finished {
        socket: handshake.socket,
        records: RecordLayer::new(handshake.session).map_err(record::Error::into_io)?,
        inward: handshake.inward,
        outward: handshake.outward,
        tickets: tls13,
        inspected,
    })
}

/// How far a handshake has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Done,
    /// More has been read of a message than there may be.
    TooLong,
}

impl Handshake {
    /// Goes on with the handshake, with up to `most` bytes of a message.
    fn poll(&mut self, most: usize, cx: &mut Context<'_>) -> Poll<io::Result<Progress>> {
        loop {
            let processed = self.process();
            if processed.is_err() {
                // The alert.
                let _ = self.poll_write(cx);
                return Poll::Ready(processed.map(|()| Progress::Done));
            }
            if !self.session.is_handshaking() {
                // In TLS 1.2 this is `Finished`, which the client waits for.
                if self.session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
                    let _ = self.poll_write(cx);
                }
                return Poll::Ready(Ok(Progress::Done));
            }
            if let Poll::Ready(written) = self.poll_write(cx) {
                written?;
            }
            if self.inward.len() > most {
                return Poll::Ready(Ok(Progress::TooLong));
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

    /// Passes what has been read to the session, record by record, until it needs more or
    /// the handshake is done: later records are for the record layer.
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
                    // It is in `outward` already.
                    data.done();
                    false
                }
                // Data is for the record layer; what the session decrypted would be lost.
                Ok(ConnectionState::ReadTraffic(_)) => {
                    let reason = "data before the end of the handshake";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                }
                // All other states need more input; early data is not offered.
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

    /// Passes one more record to the session, if it is complete: the one after it may be
    /// data already.
    fn give_next(&mut self) -> bool {
        let rest = &self.inward[self.given..];
        let size = match record::size(rest) {
            Some(size) if size <= rest.len() => size,
            // Too long: the session rejects it.
            Some(size) if size > RECORD => rest.len(),
            _ => 0,
        };
        self.given += size;
        size > 0
    }

    /// Encodes what is to be sent after an error, the alert last.
    fn encode_alert(&mut self) {
        while let Ok(ConnectionState::EncodeTlsData(data)) =
            self.session.process_tls_records(&mut self.inward).state
        {
            // The connection fails anyway.
            let _ = encode(data, &mut self.outward);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(poll_write_all(&mut self.socket, cx, &mut self.outward))?;
        self.outward = BytesMut::new();
        Poll::Ready(Ok(()))
    }
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

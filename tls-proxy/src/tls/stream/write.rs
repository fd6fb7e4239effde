//! The sending side of a TLS connection: encrypts, and writes what the socket takes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustix::net::{SendFlags, send};
use rustls::AlertDescription;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;

use super::super::record::{ADDED, Error, RecordLayer};
use super::{COMMON, PIECE, TlsStream};

impl TlsStream {
    /// Puts a message of the connection's own behind what is to be written.
    pub(super) fn encode(
        &mut self,
        seal: impl FnOnce(&mut RecordLayer, &mut [u8]) -> Result<usize, Error>,
    ) -> io::Result<()> {
        const SHORT: usize = 8 + ADDED;
        let mut message = [0; SHORT];
        let size = seal(&mut self.records, &mut message).map_err(Error::into_io)?;
        self.outward.extend_from_slice(&message[..size]);
        Ok(())
    }

    /// The connection has failed, and an alert tells the client.
    pub(super) fn fail(&mut self, error: Error) -> io::Error {
        self.held = false;
        self.failed = true;
        if let Some(alert) = error.alert() {
            // It explains, no more.
            let _ = self.encode(|records, out| records.seal_alert(alert, out));
        }
        error.into_io()
    }

    /// Encrypts with `seal`, and writes as much of it as the socket takes now. FIN
    /// follows what is the `last`.
    fn encrypt(
        &mut self,
        cx: &mut Context<'_>,
        last: bool,
        seal: impl FnOnce(&mut RecordLayer, &mut [u8]) -> Result<usize, Error>,
    ) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        COMMON.with_borrow_mut(|common| {
            let sealed = seal(&mut self.records, &mut common.outward);
            self.failed = sealed.is_err();
            let size = sealed.map_err(Error::into_io)?;
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
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        this.encrypt(cx, false, |records, out| records.seal(&clear[..size], out))?;
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.close_notify_sent && !this.failed {
            this.close_notify_sent = true;
            this.encrypt(cx, true, |records, out| {
                records.seal_alert(AlertDescription::CloseNotify, out)
            })?;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
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

//! The sending side of a TLS connection: encrypts, and writes what the socket accepts.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustix::net::{SendFlags, send};
use rustls::AlertDescription;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;

use super::super::record::{ADDED, Error, RecordLayer};
use super::{PIECE, SHARED, TlsStream};
use crate::net::poll_write_all;

impl TlsStream {
    /// Appends a message of the record layer to `outward`.
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

    /// Marks the connection as failed, and encodes the alert for the client.
    pub(super) fn fail(&mut self, error: Error) -> io::Error {
        self.held = false;
        self.failed = true;
        if let Some(alert) = error.alert() {
            // The connection fails anyway.
            let _ = self.encode(|records, out| records.seal_alert(alert, out));
        }
        error.into_io()
    }

    /// Encrypts with `seal`, and writes as much as the socket accepts now. After the `last`
    /// data the caller sends FIN.
    fn encrypt(
        &mut self,
        cx: &mut Context<'_>,
        last: bool,
        seal: impl FnOnce(&mut RecordLayer, &mut [u8]) -> Result<usize, Error>,
    ) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        SHARED.with_borrow_mut(|shared| {
            let sealed = seal(&mut self.records, &mut shared.outward);
            self.failed = sealed.is_err();
            let size = sealed.map_err(Error::into_io)?;
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
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held = false;
        ready!(poll_write_all(&mut self.socket, cx, &mut self.outward))?;
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

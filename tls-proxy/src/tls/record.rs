//! The record layer of a TLS connection whose handshake is done (RFC 8446, section 5;
//! RFC 5246, section 6.2): rustls agrees on the keys, aws-lc's AEAD encrypts from the
//! caller's memory into the caller's memory.
//!
//! rustls' own record layer copies sent data twice and received data once more, and its
//! session keeps memory that only the handshake needs.

mod control;
mod keys;

use std::io;
use std::ops::Range;

use aws_lc_rs::aead::{Aad, Nonce};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection as Session};
use rustls::{AlertDescription, ContentType, HandshakeType, ProtocolVersion, SupportedCipherSuite};

use self::control::{MAX_EMPTY_RECORDS, count};
use self::keys::Keys;

/// The clear text of a record, at most (RFC 8446, section 5.1), bytes.
pub(super) const FRAGMENT: usize = 16 * 1024;
/// A record's header, bytes.
const HEADER: usize = 5;
/// The tag of every AEAD that TLS 1.2 and 1.3 have here, bytes.
const TAG: usize = 16;
/// The part of a nonce that AES-GCM sends with each record of TLS 1.2 (RFC 5288,
/// section 3), bytes.
const EXPLICIT: usize = 8;
/// What encryption may add to a record (RFC 5246, section 6.2.3; RFC 8446, section
/// 5.2), bytes.
const MAX_ADDED_TLS12: usize = 2048;
const MAX_ADDED_TLS13: usize = 256;
/// The longest record, bytes.
pub(super) const RECORD: usize = HEADER + FRAGMENT + MAX_ADDED_TLS12;
/// What a sent record adds to its clear text at most, bytes.
pub(super) const ADDED: usize = HEADER + EXPLICIT + 1 + TAG;
/// A KeyUpdate with the header of its message (RFC 8446, section 4.6.3), bytes.
const KEY_UPDATE: usize = 5;
/// Why a connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot decrypt a record")]
    Decrypt,
    #[error("a record is too long")]
    Oversized,
    #[error("unexpected message after the handshake")]
    Unexpected,
    #[error("illegal KeyUpdate")]
    IllegalKeyUpdate,
    #[error("malformed alert")]
    MalformedAlert,
    #[error("too many messages without data")]
    TooMany,
    #[error("received fatal alert: {0:?}")]
    Alert(AlertDescription),
    #[error("the keys have encrypted as many records as they may")]
    Exhausted,
    #[error("cannot encrypt a record")]
    Encrypt,
    #[error("cannot take over the session's keys")]
    Keys,
}

impl Error {
    /// The error of a read or write.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }

    /// The alert to send, if any (RFC 8446, section 6.2).
    pub(super) fn alert(self) -> Option<AlertDescription> {
        match self {
            Self::Decrypt => Some(AlertDescription::BadRecordMac),
            Self::Oversized => Some(AlertDescription::RecordOverflow),
            Self::Unexpected | Self::TooMany => Some(AlertDescription::UnexpectedMessage),
            Self::IllegalKeyUpdate => Some(AlertDescription::IllegalParameter),
            Self::MalformedAlert => Some(AlertDescription::DecodeError),
            Self::Alert(_) | Self::Exhausted | Self::Encrypt | Self::Keys => None,
        }
    }
}

/// The content of a received record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Application data: its range in the input.
    Data(Range<usize>),
    /// Nothing for the application.
    Nothing,
    /// A request for renegotiation, to be refused with the alert `no_renegotiation`.
    Renegotiation,
    /// `close_notify`.
    Closed,
}

/// The keys of both directions.
pub(super) struct RecordLayer {
    sealing: Keys,
    opening: Keys,
    tls13: bool,
    /// Records that one key may encrypt.
    limit: u64,
    /// Derives the next keys of TLS 1.3.
    next: Option<Box<KernelConnection<ServerConnectionData>>>,
    /// The received part of a handshake message, and its size.
    message: [u8; KEY_UPDATE],
    message_size: u8,
    /// The client has requested a KeyUpdate: it is sent before the next data.
    update_due: bool,
    warnings: u8,
    renegotiations: u8,
    /// KeyUpdates since the last data.
    key_updates: u8,
    /// Records without data, since the last data.
    empty_records: u8,
}

/// The length of the record that begins with these bytes.
pub(super) fn size(record: &[u8]) -> Option<usize> {
    let &[_, _, _, high, low] = record.first_chunk::<HEADER>()?;
    Some(HEADER + usize::from(u16::from_be_bytes([high, low])))
}

/// A record's header. Its version is 1.2 in TLS 1.3, too.
fn header(kind: u8, length: usize) -> [u8; HEADER] {
    // Callers never exceed the length of a record.
    let [high, low] = (length as u16).to_be_bytes();
    [kind, 3, 3, high, low]
}

impl RecordLayer {
    /// Takes over the keys of a session whose handshake is done and that has nothing left
    /// to send.
    ///
    /// # Errors `Error::Keys`, if rustls does not export them.
    pub(super) fn new(session: Session) -> Result<Self, Error> {
        let (secrets, next) = session
            .dangerous_into_kernel_connection()
            .map_err(|_| Error::Keys)?;
        let limit = match next.negotiated_cipher_suite() {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        };
        let tls13 = next.protocol_version() == ProtocolVersion::TLSv1_3;
        Ok(Self {
            sealing: Keys::new(secrets.tx)?,
            opening: Keys::new(secrets.rx)?,
            tls13,
            limit,
            next: tls13.then(|| Box::new(next)),
            message: [0; KEY_UPDATE],
            message_size: 0,
            update_due: false,
            warnings: 0,
            renegotiations: 0,
            key_updates: 0,
            empty_records: 0,
        })
    }

    /// Encrypts data as records into `out`; returns their length, bytes. `out` has room for
    /// `ADDED` more bytes for each fragment, and for a KeyUpdate.
    ///
    /// # Errors
    /// `Error::Exhausted` in TLS 1.2, where keys do not change.
    pub(super) fn seal(&mut self, clear: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let mut size = 0;
        for fragment in clear.chunks(FRAGMENT) {
            if self.update_due || self.sealing.sequence >= self.limit {
                size += self.update_sealing(&mut out[size..])?;
            }
            size += self.seal_record(ContentType::ApplicationData, fragment, &mut out[size..])?;
        }
        Ok(size)
    }

    /// Encrypts an alert.
    pub(super) fn seal_alert(
        &mut self,
        alert: AlertDescription,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        const WARNING: u8 = 1;
        const FATAL: u8 = 2;
        let level = match alert {
            AlertDescription::CloseNotify | AlertDescription::NoRenegotiation => WARNING,
            _ => FATAL,
        };
        self.seal_record(ContentType::Alert, &[level, alert.into()], out)
    }

    /// Sends a KeyUpdate, and changes the keys (RFC 8446, section 4.6.3).
    fn update_sealing(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let Some(next) = self.next.as_mut() else {
            return Err(Error::Exhausted);
        };
        let secrets = next.update_tx_secret().map_err(|_| Error::Keys)?;
        let message = [HandshakeType::KeyUpdate.into(), 0, 0, 1, 0];
        let size = self.seal_record(ContentType::Handshake, &message, out)?;
        self.sealing = Keys::new(secrets)?;
        self.update_due = false;
        Ok(size)
    }

    /// Encrypts one record of `clear`, at most a fragment.
    fn seal_record(
        &mut self,
        kind: ContentType,
        clear: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let keys = &mut self.sealing;
        let nonce = keys.nonce();
        let kind = u8::from(kind);
        // In TLS 1.3 the content type is encrypted after the clear text.
        let (explicit, inner) = match self.tls13 {
            true => (0, 1),
            false => (if keys.is_gcm() { EXPLICIT } else { 0 }, 0),
        };
        let length = explicit + clear.len() + inner + TAG;
        let record = out.get_mut(..HEADER + length).ok_or(Error::Encrypt)?;
        let (start, rest) = record.split_at_mut(HEADER + explicit);
        let (encrypted, end) = rest.split_at_mut(clear.len());
        let mut seal = |aad: &[u8]| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let inner = &[kind][..inner];
            keys.key
                .seal_out_of_place_scatter(nonce, Aad::from(aad), clear, encrypted, inner, end)
                .map_err(|_| Error::Encrypt)
        };
        if self.tls13 {
            let head = header(ContentType::ApplicationData.into(), length);
            start.copy_from_slice(&head);
            seal(&head)?;
        } else {
            let head = header(kind, length);
            start[..HEADER].copy_from_slice(&head);
            start[HEADER..].copy_from_slice(&nonce[nonce.len() - explicit..]);
            seal(&keys.tls12_aad(head, clear.len()))?;
        }
        keys.sequence += 1;
        Ok(HEADER + length)
    }

    /// Decrypts the first of the `records` in place; returns its content and its length, or
    /// `None` while it is incomplete.
    ///
    /// # Errors A protocol error of the client, or the fatal alert it sent: the connection
    /// has failed.
    pub(super) fn open(&mut self, records: &mut [u8]) -> Result<Option<(Opened, usize)>, Error> {
        let Some(&head) = records.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [kind, major, _, high, low] = head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let kind = ContentType::from(kind);
        if major != 3 || self.tls13 && kind != ContentType::ApplicationData {
            return Err(Error::Unexpected);
        }
        let added = match self.tls13 {
            true => MAX_ADDED_TLS13,
            false => MAX_ADDED_TLS12,
        };
        if length > FRAGMENT + added {
            return Err(Error::Oversized);
        }
        let Some(record) = records.get_mut(..HEADER + length) else {
            return Ok(None);
        };
        let (kind, clear) = if self.tls13 {
            self.open_tls13(head, record)?
        } else {
            (kind, self.open_tls12(head, record)?)
        };
        self.opening.sequence += 1;
        let opened = match kind {
            ContentType::ApplicationData if self.message_size == 0 => {
                if clear.is_empty() {
                    count(&mut self.empty_records, MAX_EMPTY_RECORDS)?;
                } else {
                    (self.key_updates, self.empty_records) = (0, 0);
                }
                Opened::Data(clear)
            }
            ContentType::Alert if self.message_size == 0 => self.take_alert(&record[clear])?,
            ContentType::Handshake if self.tls13 => self.take_key_update(&record[clear])?,
            ContentType::Handshake => self.take_renegotiation(&record[clear])?,
            _ => return Err(Error::Unexpected),
        };
        Ok(Some((opened, HEADER + length)))
    }

    /// Decrypts a record of TLS 1.3; returns its content type and the range of its clear
    /// text.
    fn open_tls13(
        &self,
        head: [u8; HEADER],
        record: &mut [u8],
    ) -> Result<(ContentType, Range<usize>), Error> {
        let nonce = Nonce::assume_unique_for_key(self.opening.nonce());
        let inner = self
            .opening
            .key
            .open_in_place(nonce, Aad::from(head), &mut record[HEADER..])
            .map_err(|_| Error::Decrypt)?;
        if inner.len() > FRAGMENT + 1 {
            return Err(Error::Oversized);
        }
        // The content type follows the clear text, then zeros as padding.
        let last = inner.iter().rposition(|byte| *byte != 0);
        let last = last.ok_or(Error::Unexpected)?;
        Ok((ContentType::from(inner[last]), HEADER..HEADER + last))
    }

    /// Decrypts a record of TLS 1.2; returns the range of its clear text.
    fn open_tls12(&self, head: [u8; HEADER], record: &mut [u8]) -> Result<Range<usize>, Error> {
        let keys = &self.opening;
        let (explicit, nonce) = if keys.is_gcm() {
            let given = record
                .get(HEADER..HEADER + EXPLICIT)
                .ok_or(Error::Decrypt)?;
            let mut nonce = keys.iv;
            nonce[4..].copy_from_slice(given);
            (EXPLICIT, nonce)
        } else {
            (0, keys.nonce())
        };
        let start = HEADER + explicit;
        let clear = record.len().checked_sub(start + TAG);
        let clear = clear.ok_or(Error::Decrypt)?;
        if clear > FRAGMENT {
            return Err(Error::Oversized);
        }
        let aad = keys.tls12_aad(head, clear);
        let nonce = Nonce::assume_unique_for_key(nonce);
        keys.key
            .open_in_place(nonce, Aad::from(aad), &mut record[start..])
            .map_err(|_| Error::Decrypt)?;
        Ok(start..start + clear)
    }
}

#[cfg(test)]
mod tests;

//! Records of a client that carry no data: alerts, KeyUpdate, requests for renegotiation.

use rustls::{AlertDescription, HandshakeType};

use super::{Error, KEY_UPDATE, Keys, Opened, RecordLayer};

/// The same limits as rustls'.
pub(super) const MAX_WARNINGS: u8 = 4;
pub(super) const MAX_RENEGOTIATIONS: u8 = 1;
pub(super) const MAX_KEY_UPDATES: u8 = 32;
pub(super) const MAX_EMPTY_RECORDS: u8 = 32;

impl RecordLayer {
    pub(super) fn take_alert(&mut self, alert: &[u8]) -> Result<Opened, Error> {
        const WARNING: u8 = 1;
        const FATAL: u8 = 2;
        let &[level, description] = alert else {
            // RFC 8446, section 5.1: only data may be empty.
            let empty = alert.is_empty();
            return Err(if empty {
                Error::Unexpected
            } else {
                Error::MalformedAlert
            });
        };
        let description = AlertDescription::from(description);
        match (level, description) {
            (WARNING | FATAL, AlertDescription::CloseNotify) => Ok(Opened::Closed),
            (WARNING, AlertDescription::UserCanceled) => self.count_warning(),
            (WARNING, _) if !self.tls13 => self.count_warning(),
            (FATAL, _) => Err(Error::Alert(description)),
            _ => Err(Error::MalformedAlert),
        }
    }

    fn count_warning(&mut self) -> Result<Opened, Error> {
        count(&mut self.warnings, MAX_WARNINGS)?;
        Ok(Opened::Nothing)
    }

    /// In TLS 1.3 a client sends no other handshake message after the handshake. It may be
    /// split over several records, as test suites do.
    pub(super) fn take_key_update(&mut self, part: &[u8]) -> Result<Opened, Error> {
        const REQUESTED: u8 = 1;
        let begun = usize::from(self.message_size);
        let message = self.message.get_mut(begun..begun + part.len());
        let message = message.filter(|_| !part.is_empty());
        message.ok_or(Error::Unexpected)?.copy_from_slice(part);
        self.message_size += part.len() as u8;
        let [kind, size @ .., request] = self.message;
        if HandshakeType::from(kind) != HandshakeType::KeyUpdate {
            return Err(Error::Unexpected);
        }
        if usize::from(self.message_size) < KEY_UPDATE {
            return Ok(Opened::Nothing);
        }
        if size != [0, 0, 1] || request > REQUESTED {
            return Err(Error::IllegalKeyUpdate);
        }
        self.message_size = 0;
        count(&mut self.key_updates, MAX_KEY_UPDATES)?;
        let next = self.next.as_mut().ok_or(Error::Keys)?;
        let secrets = next.update_rx_secret().map_err(|_| Error::Keys)?;
        self.opening = Keys::new(secrets)?;
        // RFC 8446, section 4.6.3: one KeyUpdate may reply to several.
        self.update_due |= request == REQUESTED;
        Ok(Opened::Nothing)
    }

    /// A ClientHello of TLS 1.2, which requests renegotiation.
    pub(super) fn take_renegotiation(&mut self, message: &[u8]) -> Result<Opened, Error> {
        if message.first().copied().map(HandshakeType::from) != Some(HandshakeType::ClientHello) {
            return Err(Error::Unexpected);
        }
        count(&mut self.renegotiations, MAX_RENEGOTIATIONS)?;
        Ok(Opened::Renegotiation)
    }
}

/// Counts a message of a kind that is limited.
pub(super) fn count(counted: &mut u8, most: u8) -> Result<(), Error> {
    if *counted == most {
        return Err(Error::TooMany);
    }
    *counted += 1;
    Ok(())
}

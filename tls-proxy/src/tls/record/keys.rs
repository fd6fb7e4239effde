//! The key of one direction, the nonces it is used with, and what it authenticates.

use aws_lc_rs::aead::{self, AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use rustls::ConnectionTrafficSecrets;

use super::{Error, HEADER};

/// The key of one direction.
pub(super) struct Keys {
    pub(super) key: LessSafeKey,
    pub(super) iv: [u8; aead::NONCE_LEN],
    /// The number of the next record.
    pub(super) sequence: u64,
}

impl Keys {
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Error> {
        use ConnectionTrafficSecrets as Secrets;
        let (algorithm, key, iv) = match secrets {
            Secrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            Secrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            Secrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::Keys),
        };
        Self::of(algorithm, key.as_ref(), iv.as_ref(), sequence)
    }

    pub(super) fn of(
        algorithm: &'static aead::Algorithm,
        key: &[u8],
        iv: &[u8],
        sequence: u64,
    ) -> Result<Self, Error> {
        let key = UnboundKey::new(algorithm, key).map_err(|_| Error::Keys)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv: iv.try_into().map_err(|_| Error::Keys)?,
            sequence,
        })
    }

    /// The nonce of the next record (RFC 8446, section 5.3). Each is used once: `sequence`
    /// is incremented after it.
    pub(super) fn nonce(&self) -> [u8; aead::NONCE_LEN] {
        let mut nonce = self.iv;
        let sequence = self.sequence.to_be_bytes();
        for (own, other) in nonce[4..].iter_mut().zip(sequence) {
            *own ^= other;
        }
        nonce
    }

    /// Whether each record of TLS 1.2 carries an explicit part of its nonce.
    pub(super) fn is_gcm(&self) -> bool {
        *self.key.algorithm() != CHACHA20_POLY1305
    }

    /// The additional data of a record of TLS 1.2 (RFC 5246, section 6.2.3.3), with the
    /// length of the clear text.
    pub(super) fn tls12_aad(&self, head: [u8; HEADER], clear: usize) -> [u8; 13] {
        let [kind, major, minor, ..] = head;
        let [high, low] = (clear as u16).to_be_bytes();
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.sequence.to_be_bytes());
        aad[8..].copy_from_slice(&[kind, major, minor, high, low]);
        aad
    }
}

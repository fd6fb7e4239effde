//! Session tickets with configured keys (`ssl_session_ticket_key`), so that several pods,
//! and a pod after a restart, accept each other's tickets.
//!
//! The format is that of RFC 5077, section 4: key name, AES in CBC mode, HMAC over both. A
//! file contains name, HMAC key and AES key: 48 bytes (AES-128) or 80 (AES-256).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;

use super::by_name::ByName;
use super::files::Files;
use super::keys;
use crate::conf::Problem;
use crate::tls::settings::File;

const NAME: usize = 16;
const IV: usize = 16;
const MAC: usize = 32;

/// The first key encrypts, all of them decrypt.
pub(super) struct GivenKeys(Vec<Key>);

struct Key {
    name: [u8; NAME],
    mac: hmac::Key,
    seal: PaddedBlockEncryptingKey,
    open: PaddedBlockDecryptingKey,
}

/// Loads the files of `ssl_session_ticket_key`.
pub(super) fn load(named: &[File], files: &mut Files) -> Result<Arc<dyn ProducesTickets>, Problem> {
    let keys = named.iter().map(|file| {
        let refuse = |why: String| {
            let message = format!(
                "cannot load session ticket key \"{}\": {why}",
                file.path.display()
            );
            Problem::emerg(&file.at, message)
                .with_help("write it with `openssl rand 80`; it must have 48 or 80 bytes")
        };
        let bytes = files
            .read(&file.path)
            .map_err(|source| refuse(keys::describe(&source)))?;
        Key::parse(&bytes).ok_or_else(|| refuse(format!("it has {} bytes", bytes.len())))
    });
    Ok(Arc::new(GivenKeys(keys.collect::<Result<_, _>>()?)))
}

impl Key {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (mac, cipher) = match bytes.len() {
            48 => (&bytes[16..32], &bytes[32..]),
            80 => (&bytes[16..48], &bytes[48..]),
            _ => return None,
        };
        let algorithm = if cipher.len() == 16 {
            &AES_128
        } else {
            &AES_256
        };
        let unbound = || UnboundCipherKey::new(algorithm, cipher).ok();
        Some(Self {
            name: bytes.first_chunk().copied()?,
            mac: hmac::Key::new(hmac::HMAC_SHA256, mac),
            seal: PaddedBlockEncryptingKey::cbc_pkcs7(unbound()?).ok()?,
            open: PaddedBlockDecryptingKey::cbc_pkcs7(unbound()?).ok()?,
        })
    }

    fn random() -> Option<Self> {
        let mut bytes = [0; 80];
        rand::fill(&mut bytes).ok()?;
        Self::parse(&bytes)
    }

    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut sealed = plain.to_vec();
        let DecryptionContext::Iv128(iv) = self.seal.encrypt(&mut sealed)? else {
            return Err(Unspecified);
        };
        let mut ticket = Vec::with_capacity(NAME + IV + sealed.len() + MAC);
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(iv.as_ref());
        ticket.extend_from_slice(&sealed);
        let tag = hmac::sign(&self.mac, &ticket);
        ticket.extend_from_slice(tag.as_ref());
        Ok(ticket)
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (signed, tag) = ticket.split_at_checked(ticket.len().checked_sub(MAC)?)?;
        hmac::verify(&self.mac, signed, tag).ok()?;
        let (iv, sealed) = signed[NAME..].split_first_chunk::<IV>()?;
        let mut bytes = sealed.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let plain = self.open.decrypt(&mut bytes, context).ok()?;
        Some(plain.to_vec())
    }
}

/// Random keys, each used for the lifetime of a session.
struct Rotating {
    keys: Arc<Mutex<TicketKeys>>,
    lifetime: Duration,
}

/// The key that encrypts, since when it does, and the previous one, which still decrypts.
#[derive(Clone, Default)]
struct TicketKeys {
    current: Option<(Arc<Key>, Instant)>,
    previous: Option<Arc<Key>>,
}

/// The keys of an `ssl_session_cache` for all workers. As in nginx, which keeps them in
/// shared memory, they are kept over a reload.
pub(super) fn rotating(cache: &str, lifetime: Duration) -> Arc<dyn ProducesTickets> {
    static KEYS: ByName<Mutex<TicketKeys>> = ByName::new();
    let keys = KEYS.get(cache);
    Arc::new(Rotating { keys, lifetime })
}

impl Rotating {
    /// The current keys, copied, so that no worker waits while another one uses them.
    fn now(&self) -> Option<TicketKeys> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let age = keys.current.as_ref().map(|(_, since)| since.elapsed());
        if age.is_none_or(|age| age >= self.lifetime) {
            let new = Arc::new(Key::random()?);
            let old = keys.current.replace((new, Instant::now()));
            // The last ticket of the old key expires after two lifetimes.
            let lasts = age.is_some_and(|age| age < 2 * self.lifetime);
            keys.previous = old.map(|(key, _)| key).filter(|_| lasts);
        }
        Some(keys.clone())
    }
}

impl std::fmt::Debug for Rotating {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "keys for {:?} each", self.lifetime)
    }
}

impl ProducesTickets for Rotating {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // The caller applies its own limit (`ssl_session_timeout`).
        u32::MAX
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.now()?.current?.0.seal(plain).ok()
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let name = ticket.first_chunk::<NAME>()?;
        let keys = self.now()?;
        let current = keys.current.iter().map(|(key, _)| key);
        let mut known = current.chain(&keys.previous);
        known.find(|key| key.name == *name)?.open(ticket)
    }
}

impl std::fmt::Debug for GivenKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} keys", self.0.len())
    }
}

impl ProducesTickets for GivenKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // The caller applies its own limit (`ssl_session_timeout`).
        u32::MAX
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.first()?.seal(plain).ok()
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let name = ticket.first_chunk::<NAME>()?;
        self.0.iter().find(|key| key.name == *name)?.open(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8, length: usize) -> Key {
        let bytes: Vec<u8> = (0..length).map(|index| first ^ index as u8).collect();
        Key::parse(&bytes).expect("right length")
    }

    #[test]
    fn old_keys_still_open_what_they_sealed() {
        let old = GivenKeys(vec![key(1, 48)]);
        let new = GivenKeys(vec![key(2, 80), key(1, 48)]);
        let ticket = old.encrypt(b"session").expect("sealed");
        assert_eq!(new.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let ticket = new.encrypt(b"session").expect("sealed");
        assert_eq!(old.decrypt(&ticket), None);
    }

    #[test]
    fn keys_of_a_cache_change_and_the_one_before_still_opens() {
        let keys = rotating("changes", Duration::from_secs(60));
        let ticket = keys.encrypt(b"session").expect("sealed");
        // As after a reload.
        let again = rotating("changes", Duration::ZERO);
        assert_eq!(keys.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let newer = again.encrypt(b"session").expect("sealed");
        assert_ne!(ticket[..NAME], newer[..NAME]);
        let other = rotating("other", Duration::from_secs(60));
        assert_eq!(other.decrypt(&newer), None);
    }

    #[test]
    fn changed_tickets_are_not_opened() {
        let keys = GivenKeys(vec![key(1, 80)]);
        let ticket = keys.encrypt(b"session").expect("sealed");
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert_eq!(keys.decrypt(&changed), None, "{index}");
            assert_eq!(keys.decrypt(&ticket[..index]), None, "{index}");
        }
    }

    #[test]
    fn keys_have_48_or_80_bytes() {
        for length in [0, 32, 47, 49, 79, 81] {
            assert!(Key::parse(&vec![0; length]).is_none(), "{length}");
        }
    }
}

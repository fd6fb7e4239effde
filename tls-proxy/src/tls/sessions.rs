//! The lifetime and scope of TLS sessions: resumed by ticket (`ssl_session_tickets`) or
//! from a cache (`ssl_session_cache`).
//!
//! A session can be resumed only at servers with the same requirements for clients: a
//! server that requires a certificate must not accept a session that was created without
//! one. So tickets and cache keys contain a mark of the server's rules.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::server::{ProducesTickets, StoresServerSessions};

/// The mark of a server's rules (OpenSSL: session ID context).
pub(super) type Mark = [u8; 16];

/// The ticket key if none is configured: random, changed every six hours, kept over a
/// reload.
pub(super) fn own_tickets() -> Option<Arc<dyn ProducesTickets>> {
    static TICKETS: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    if let Some(tickets) = TICKETS.get() {
        return Some(tickets.clone());
    }
    let tickets = aws_lc_rs::Ticketer::new().ok()?;
    Some(TICKETS.get_or_init(|| tickets).clone())
}

/// Tickets of one server, valid for `ssl_session_timeout`.
#[derive(Debug)]
pub(super) struct Tickets {
    pub(super) sealed_by: Arc<dyn ProducesTickets>,
    pub(super) mark: Mark,
    pub(super) lifetime: Duration,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // RFC 8446, section 4.6.1: at most seven days.
        const MAX: u64 = 7 * 24 * 60 * 60;
        self.lifetime.as_secs().min(MAX) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let now = UnixTime::now().as_secs().to_be_bytes();
        self.sealed_by
            .encrypt(&[&self.mark[..], &now, plain].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = self.sealed_by.decrypt(ticket)?;
        let rest = opened.strip_prefix(&self.mark)?;
        let (made, plain) = rest.split_first_chunk()?;
        let age = UnixTime::now()
            .as_secs()
            .checked_sub(u64::from_be_bytes(*made))?;
        (age <= self.lifetime.as_secs()).then(|| plain.to_vec())
    }
}

/// A session cache (`ssl_session_cache`), shared by all workers and by all servers that
/// name it. Only handshakes without tickets take its lock.
#[derive(Debug)]
pub(super) struct Cache {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    sessions: HashMap<Vec<u8>, (Instant, Vec<u8>)>,
    /// Keys, oldest first.
    order: VecDeque<Vec<u8>>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            kept: Mutex::default(),
        }
    }

    fn put(&self, key: Vec<u8>, until: Instant, session: Vec<u8>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept
            .sessions
            .insert(key.clone(), (until, session))
            .is_none()
        {
            kept.order.push_back(key);
        }
        while kept.order.len() > self.most {
            if let Some(oldest) = kept.order.pop_front() {
                kept.sessions.remove(&oldest);
            }
        }
    }

    fn find(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, session) = kept.sessions.get(key)?;
        (*until > Instant::now()).then(|| session.clone())
    }
}

/// A server's view of a cache.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) cache: Arc<Cache>,
    pub(super) mark: Mark,
    pub(super) lifetime: Duration,
}

impl Cached {
    fn key(&self, id: &[u8]) -> Vec<u8> {
        [&self.mark, id].concat()
    }
}

impl StoresServerSessions for Cached {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        let until = Instant::now() + self.lifetime;
        self.cache.put(self.key(&id), until, session);
        true
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.cache.find(&self.key(id))
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        // As in OpenSSL, a session can be resumed several times until it expires.
        self.get(id)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(cache: &Arc<Cache>, mark: u8, lifetime: Duration) -> Cached {
        Cached {
            cache: cache.clone(),
            mark: [mark; 16],
            lifetime,
        }
    }

    #[test]
    fn a_session_is_known_to_servers_with_the_same_rules() {
        let cache = Arc::new(Cache::new(2));
        let (one, other) = (
            part(&cache, 1, Duration::from_secs(60)),
            part(&cache, 2, Duration::from_secs(60)),
        );
        assert!(one.put(vec![7], vec![1]));
        assert_eq!((one.get(&[7]), other.get(&[7])), (Some(vec![1]), None));
    }

    #[test]
    fn the_oldest_sessions_make_room_and_old_ones_end() {
        let cache = Arc::new(Cache::new(2));
        let long = part(&cache, 1, Duration::from_secs(60));
        for id in 0..3 {
            long.put(vec![id], vec![id]);
        }
        assert_eq!((long.get(&[0]), long.get(&[2])), (None, Some(vec![2])));
        let over = part(&cache, 1, Duration::ZERO);
        over.put(vec![9], vec![9]);
        assert_eq!(over.get(&[9]), None);
    }

    #[test]
    fn a_ticket_ends_with_its_time_and_its_rules() {
        let own = |mark, lifetime| Tickets {
            sealed_by: own_tickets().expect("random bytes"),
            mark: [mark; 16],
            lifetime: Duration::from_secs(lifetime),
        };
        let ticket = own(1, 60).encrypt(b"session").expect("sealed");
        assert_eq!(
            own(1, 60).decrypt(&ticket).as_deref(),
            Some(&b"session"[..])
        );
        assert_eq!(own(2, 60).decrypt(&ticket), None);
    }
}

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

use super::by_name::ByName;
use crate::admission::table_size::TableSize;

/// A session that is longer, with a client's certificates, gets no ticket, bytes: it would
/// come back in a ClientHello, which is no longer than 16 KiB.
const MAX_TICKET: usize = 8 * 1024;

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
        if plain.len() > MAX_TICKET {
            return None;
        }
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

/// A longer session is not kept, bytes, as in nginx: it has a client's certificates.
const MAX_SESSION: usize = 4096;
/// Memory for a session beside itself and its key, bytes: what the allocator adds, and its
/// places in the table and the queue.
const OVERHEAD: usize = 160;
/// Expired sessions that make room for a new one, at most: others wait meanwhile.
const EXPIRED: usize = 16;

/// A session cache (`ssl_session_cache`), shared by all workers and by all servers that
/// name it. Only handshakes without tickets take its lock.
#[derive(Debug)]
pub(super) struct Cache {
    /// Memory for all that it keeps.
    size: Arc<TableSize>,
    /// Shared with the cache of this name before a reload.
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    sessions: HashMap<Arc<[u8]>, Session>,
    /// Keys, oldest first.
    order: VecDeque<Arc<[u8]>>,
    /// Memory for them, bytes.
    size: usize,
}

#[derive(Debug)]
struct Session {
    until: Instant,
    state: Box<[u8]>,
}

impl Kept {
    fn insert(&mut self, key: Arc<[u8]>, session: Session) {
        self.size += size(&key, &session);
        match self.sessions.insert(key.clone(), session) {
            Some(before) => self.size -= size(&key, &before),
            None => self.order.push_back(key),
        }
    }

    fn remove_oldest(&mut self) {
        if let Some(key) = self.order.pop_front()
            && let Some(session) = self.sessions.remove(&key)
        {
            self.size -= size(&key, &session);
        }
    }

    fn is_oldest_expired(&self, now: Instant) -> bool {
        let oldest = self.order.front().and_then(|key| self.sessions.get(key));
        oldest.is_some_and(|oldest| oldest.until <= now)
    }
}

/// Memory for a session, bytes.
fn size(key: &[u8], session: &Session) -> usize {
    key.len() + session.state.len() + OVERHEAD
}

impl Cache {
    /// It keeps sessions for which its size suffices.
    pub(super) fn new(name: &str, size: Arc<TableSize>) -> Self {
        static SESSIONS: ByName<Mutex<Kept>> = ByName::new();
        Self {
            size,
            kept: SESSIONS.get(name),
        }
    }

    /// Whether it is kept.
    fn put(&self, key: &[u8], until: Instant, session: Vec<u8>) -> bool {
        if session.len() > MAX_SESSION {
            return false;
        }
        let state = session.into_boxed_slice();
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..EXPIRED {
            if !kept.is_oldest_expired(now) {
                break;
            }
            kept.remove_oldest();
        }
        kept.insert(key.into(), Session { until, state });
        while kept.size > self.size.allowed() {
            kept.remove_oldest();
        }
        true
    }

    fn find(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.sessions.get(key)?;
        (session.until > Instant::now()).then(|| session.state.to_vec())
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
        self.cache.put(&self.key(&id), until, session)
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

    /// Memory for one of the sessions here, bytes.
    const USUAL: usize = OVERHEAD + size_of::<Mark>() + 2;

    fn cache(size: usize) -> Cache {
        Cache {
            size: Arc::new(TableSize::new(size as u64)),
            kept: Arc::default(),
        }
    }

    fn part(cache: &Arc<Cache>, mark: u8, lifetime: Duration) -> Cached {
        Cached {
            cache: cache.clone(),
            mark: [mark; 16],
            lifetime,
        }
    }

    fn minute(cache: &Arc<Cache>) -> Cached {
        part(cache, 1, Duration::from_secs(60))
    }

    /// How many sessions of a cache are in memory.
    fn count(cache: &Cache) -> usize {
        let kept = cache.kept.lock().expect("nothing panics");
        assert_eq!(kept.sessions.len(), kept.order.len());
        kept.sessions.len()
    }

    #[test]
    fn a_session_is_known_to_servers_with_the_same_rules() {
        let cache = Arc::new(cache(2 * USUAL));
        let (one, other) = (
            part(&cache, 1, Duration::from_secs(60)),
            part(&cache, 2, Duration::from_secs(60)),
        );
        assert!(one.put(vec![7], vec![1]));
        assert_eq!((one.get(&[7]), other.get(&[7])), (Some(vec![1]), None));
    }

    #[test]
    fn the_oldest_sessions_make_room_and_old_ones_end() {
        let cache = Arc::new(cache(2 * USUAL));
        let long = minute(&cache);
        for id in 0..3 {
            long.put(vec![id], vec![id]);
        }
        assert_eq!((long.get(&[0]), long.get(&[2])), (None, Some(vec![2])));
        let over = part(&cache, 1, Duration::ZERO);
        over.put(vec![9], vec![9]);
        assert_eq!(over.get(&[9]), None);
    }

    #[test]
    fn sessions_take_no_more_memory_than_the_cache_has() {
        let cache = Arc::new(cache(64 * 1024));
        let long = minute(&cache);
        for id in 0..100 {
            assert!(long.put(vec![id], vec![id; 4000]));
        }
        assert_eq!(count(&cache), 64 * 1024 / (USUAL - 1 + 4000));
        assert_eq!(
            (long.get(&[80]), long.get(&[99])),
            (None, Some(vec![99; 4000]))
        );
        // The same one again takes its place.
        assert!(long.put(vec![99], vec![7]));
        assert_eq!(long.get(&[99]), Some(vec![7]));
        assert_eq!(count(&cache), 15);
    }

    #[test]
    fn a_session_with_large_certificates_is_not_kept() {
        let long = minute(&Arc::new(cache(1 << 20)));
        assert!(!long.put(vec![1], vec![1; MAX_SESSION + 1]));
        assert_eq!(long.get(&[1]), None);
    }

    #[test]
    fn expired_sessions_leave_memory() {
        let cache = Arc::new(cache(1 << 20));
        let over = part(&cache, 1, Duration::ZERO);
        for id in 0..10 {
            over.put(vec![id], vec![id]);
        }
        minute(&cache).put(vec![100], vec![1]);
        assert_eq!(count(&cache), 1);
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
        assert_eq!(own(1, 60).encrypt(&[0; MAX_TICKET + 1]), None);
    }
}

//! Names that depend on a request, and so may come from a stranger: a worker's cache of them, and
//! the lookups that its requests wait for.
//!
//! A lookup runs within a request that waits for it, and has room in what that request is counted
//! for: instead of its upstream's connection there is a socket for each question. So there are as
//! many lookups as requests are admitted, and names that no name server answers for keep none from
//! the others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::query::Error;
use super::{lookup, message, warn_if_limited};
use crate::admission::{Admission, MemoryUse, Permit};
use crate::config::group::Upstream;
use crate::config::resolver::{FoundAddresses, Resolver};

/// Addresses of a name that are used: its owner may give it thousands.
const MAX_ADDRESSES: usize = 128;
/// The memory for the names of a worker: one part in so many of what it may hold, and these bytes
/// at most, some 500 names of a few addresses.
const SHARE: u64 = 16;
const MAX_BYTES: u64 = 256 << 10;

/// A worker's cache of names.
#[derive(Debug, Default)]
pub(crate) struct ResolverCache {
    known: RefCell<Known>,
    /// Lookups that requests wait for.
    pending: RefCell<HashMap<PendingKey, Rc<Found>>>,
}

/// Names, and the memory that is reserved for them.
#[derive(Debug, Default)]
struct Known {
    entries: HashMap<CacheKey, CacheEntry>,
    bytes: u64,
    permit: Option<Permit>,
}

/// What a lookup has found, once it has ended.
type Found = OnceCell<Result<Arc<Upstream>, Error>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CacheKey {
    /// The resolver's address in memory; the cache entry keeps it in use.
    resolver: usize,
    name: String,
    port: u16,
}

/// A name, and the time in which it has to be found: name servers are asked accordingly.
type PendingKey = (CacheKey, Duration);

#[derive(Debug)]
struct CacheEntry {
    #[expect(dead_code, reason = "held for its address")]
    resolver: Arc<Resolver>,
    group: Arc<Upstream>,
    /// It had too many addresses.
    limited: bool,
    until: Instant,
    used: Instant,
}

/// A request that waits for a lookup. The last one removes it.
struct Waiter<'a> {
    cache: &'a ResolverCache,
    key: PendingKey,
    found: Rc<Found>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // This one and that of the table.
        if Rc::strong_count(&self.found) == 2 {
            self.cache.pending.borrow_mut().remove(&self.key);
        }
    }
}

impl ResolverCache {
    /// The servers of a name, from the cache or by a lookup, within `limit`.
    pub(crate) async fn find(
        &self,
        resolver: &Arc<Resolver>,
        name: &str,
        port: u16,
        limit: Duration,
        admission: &Rc<Admission>,
    ) -> Result<Arc<Upstream>, Error> {
        let key = CacheKey {
            resolver: Arc::as_ptr(resolver).addr(),
            name: name.to_ascii_lowercase(),
            port,
        };
        if let Some(group) = self.remembered(&key) {
            return Ok(group);
        }
        // Nothing is kept of what is no name.
        message::encode_name(name).ok_or(Error::NotFound)?;
        let waiter = self.wait_for((key, limit));
        let since = Instant::now();
        // The first one looks it up; if that one leaves, the next one does. Boxed, since the
        // others only wait.
        let look_up = || {
            let limit = limit.saturating_sub(since.elapsed());
            Box::pin(self.look_up(resolver, &waiter.key.0, limit, admission))
        };
        let found = waiter.found.get_or_init(look_up);
        timeout(limit, found).await?.clone()
    }

    fn wait_for(&self, key: PendingKey) -> Waiter<'_> {
        let mut pending = self.pending.borrow_mut();
        let found = pending.entry(key.clone()).or_default().clone();
        Waiter {
            cache: self,
            key,
            found,
        }
    }

    async fn look_up(
        &self,
        resolver: &Arc<Resolver>,
        key: &CacheKey,
        limit: Duration,
        admission: &Rc<Admission>,
    ) -> Result<Arc<Upstream>, Error> {
        let mut asking = lookup::Asking::of(resolver, limit);
        // A request has one descriptor for its upstream, which is not connected yet.
        let another = match asking.kinds {
            [_] => None,
            _ => admission.try_for_file(),
        };
        (asking.most, asking.at_once) = (MAX_ADDRESSES, another.is_some());
        let found = lookup::addresses(&key.name, &asking).await?;
        drop(another);
        let known = self.known.borrow();
        let before = known.entries.get(key).map(|entry| entry.limited);
        drop(known);
        warn_if_limited(&key.name, MAX_ADDRESSES, found.limited, before);
        let addresses = FoundAddresses {
            all: found.addresses.into(),
            port: key.port,
        };
        let group = Arc::new(Upstream {
            found: Some(addresses),
            ..Upstream::of_address(&key.name, Vec::new())
        });
        let now = Instant::now();
        let entry = CacheEntry {
            resolver: resolver.clone(),
            group: group.clone(),
            limited: found.limited,
            used: now,
            until: now + resolver.valid.unwrap_or(found.ttl),
        };
        self.keep(key.clone(), entry, admission);
        Ok(group)
    }

    fn keep(&self, key: CacheKey, entry: CacheEntry, admission: &Rc<Admission>) {
        self.known.borrow_mut().insert(key, entry, admission);
    }

    fn remembered(&self, key: &CacheKey) -> Option<Arc<Upstream>> {
        let mut known = self.known.borrow_mut();
        let entry = known.entries.get_mut(key)?;
        let now = Instant::now();
        entry.used = now;
        (entry.until > now).then(|| entry.group.clone())
    }
}

impl Known {
    /// Keeps a name if there is room, instead of those that were not used for the longest time.
    fn insert(&mut self, key: CacheKey, entry: CacheEntry, admission: &Rc<Admission>) {
        self.remove(&key);
        let (cost, most) = (cost(&key, &entry), admission.part(SHARE).min(MAX_BYTES));
        let permit = self.permit.get_or_insert_with(|| admission.uncounted());
        let (granted, wanted) = (permit.memory(MemoryUse::Transfer), self.bytes + cost);
        let more = wanted.saturating_sub(granted);
        let room = match wanted <= most && (more == 0 || permit.try_grow(more)) {
            true => wanted,
            false => granted.min(most),
        };
        while self.bytes + cost > room && self.remove_oldest() {}
        if self.bytes + cost <= room {
            self.bytes += cost;
            self.entries.insert(key, entry);
        }
        if let Some(permit) = &self.permit {
            let unused = permit.memory(MemoryUse::Transfer) - self.bytes;
            permit.shrink(MemoryUse::Transfer, unused);
        }
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= cost(key, &entry);
        }
    }

    /// Removes one; `false` if there is none.
    fn remove_oldest(&mut self) -> bool {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
            return false;
        };
        self.remove(&oldest);
        true
    }
}

/// What a name takes, bytes, with its place in a table that may be half empty.
fn cost(key: &CacheKey, entry: &CacheEntry) -> u64 {
    let place = 2 * size_of::<(CacheKey, CacheEntry)>();
    let group = size_of::<Upstream>() + 2 * size_of::<usize>();
    let addresses = entry.group.size() * size_of::<IpAddr>();
    // The name is in both. The allocator rounds up.
    (place + group + addresses + 2 * key.name.len() + 64) as u64
}

#[cfg(test)]
mod tests;

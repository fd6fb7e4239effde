//! Names that depend on a request, and so may come from a stranger: a worker's cache of them, and
//! the lookups that its requests wait for.
//!
//! A lookup runs within a request that waits for it, and has room in what that request is counted
//! for: instead of its upstream's connection there is a socket for each question. So there are as
//! many lookups as requests are admitted, and names that no name server answers for keep none from
//! the others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::query::Error;
use super::{kinds, lookup, message, warn_if_limited};
use crate::admission::Admission;
use crate::config::group::{PeerAddress, Upstream};
use crate::config::resolver::Resolver;

/// Cached names, at most; beyond that, those that expire first are removed.
const MAX_NAMES: usize = 256;

/// A worker's cache of names.
#[derive(Debug, Default)]
pub(crate) struct ResolverCache {
    known: RefCell<HashMap<CacheKey, CacheEntry>>,
    /// Lookups that requests wait for.
    pending: RefCell<HashMap<CacheKey, Rc<Found>>>,
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

#[derive(Debug)]
struct CacheEntry {
    #[expect(dead_code, reason = "held for its address")]
    resolver: Arc<Resolver>,
    group: Arc<Upstream>,
    /// It had too many addresses.
    limited: bool,
    until: Instant,
}

/// A request that waits for a lookup. The last one removes it.
struct Waiter<'a> {
    cache: &'a ResolverCache,
    key: CacheKey,
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
        let waiter = self.wait_for(key);
        // The first one looks it up; if that one leaves, the next one does. Boxed, since the
        // others only wait.
        let look_up = || Box::pin(self.look_up(resolver, &waiter.key, admission));
        let found = waiter.found.get_or_init(look_up);
        timeout(limit, found).await?.clone()
    }

    fn wait_for(&self, key: CacheKey) -> Waiter<'_> {
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
        admission: &Rc<Admission>,
    ) -> Result<Arc<Upstream>, Error> {
        let kinds = kinds(resolver);
        // A request has one descriptor for its upstream, which is not connected yet.
        let another = match kinds {
            [_] => None,
            _ => admission.try_for_file(),
        };
        let at_once = another.is_some();
        let found = lookup::addresses(&key.name, &resolver.servers, kinds, at_once).await?;
        drop(another);
        let before = self.known.borrow().get(key).map(|entry| entry.limited);
        warn_if_limited(&key.name, found.limited, before);
        let addresses = found.addresses.into_iter();
        let addresses = addresses.map(|ip| PeerAddress::Tcp(SocketAddr::new(ip, key.port)));
        let group = Arc::new(Upstream {
            transient: true,
            ..Upstream::of_address(&key.name, addresses.collect())
        });
        let entry = CacheEntry {
            resolver: resolver.clone(),
            group: group.clone(),
            limited: found.limited,
            until: Instant::now() + resolver.valid.unwrap_or(found.ttl),
        };
        self.remember(key.clone(), entry);
        Ok(group)
    }

    fn remembered(&self, key: &CacheKey) -> Option<Arc<Upstream>> {
        let known = self.known.borrow();
        let entry = known.get(key)?;
        (entry.until > Instant::now()).then(|| entry.group.clone())
    }

    fn remember(&self, key: CacheKey, entry: CacheEntry) {
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_NAMES {
            let now = Instant::now();
            known.retain(|_, entry| entry.until > now);
        }
        if known.len() >= MAX_NAMES {
            let first = known.iter().min_by_key(|(_, entry)| entry.until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                known.remove(&first);
            }
        }
        known.insert(key, entry);
    }
}

#[cfg(test)]
mod tests;

//! Names that only a request knows (`resolver`): a worker's own small client
//! and what it remembers.
//!
//! A resolver crate was looked at: hickory-resolver alone is larger than what
//! is left of the image, for two kinds of record.

mod client;
pub(crate) mod message;
pub(crate) mod resolver;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub(crate) use client::Failure;
pub(crate) use message::Kind;

use self::resolver::Resolver;
use crate::config::group::{Address, Upstream};

/// Most names that are remembered; beyond it those that end first go.
const MOST_NAMES: usize = 256;
/// Most lookups at once: names may be a stranger's.
const MOST_LOOKUPS: usize = 64;

/// What a worker remembers of names.
#[derive(Debug)]
pub(crate) struct Names {
    known: RefCell<HashMap<Key, Known>>,
    lookups: Semaphore,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The resolver's address in memory; it is held by what is remembered.
    resolver: usize,
    name: String,
    port: u16,
}

#[derive(Debug)]
struct Known {
    #[expect(dead_code, reason = "held for its address")]
    resolver: Arc<Resolver>,
    group: Arc<Upstream>,
    until: Instant,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            known: RefCell::default(),
            lookups: Semaphore::new(MOST_LOOKUPS),
        }
    }
}

impl Names {
    /// The servers behind a name, asked for or remembered.
    pub(crate) async fn find(
        &self,
        resolver: &Arc<Resolver>,
        name: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Arc<Upstream>, Failure> {
        let key = Key {
            resolver: Arc::as_ptr(resolver).addr(),
            name: name.to_ascii_lowercase(),
            port,
        };
        if let Some(group) = self.remembered(&key) {
            return Ok(group);
        }
        let _turn = self.lookups.acquire().await;
        // Another request may have asked meanwhile.
        if let Some(group) = self.remembered(&key) {
            return Ok(group);
        }
        let kinds = resolver.kinds();
        let found = client::look_up(name, &resolver.servers, kinds, limit).await?;
        let addresses = found.addresses.into_iter();
        let addresses = addresses.map(|ip| Address::Tcp(SocketAddr::new(ip, port)));
        let group = Arc::new(Upstream {
            transient: true,
            ..Upstream::of_address(name, addresses.collect())
        });
        let until = Instant::now() + resolver.valid.unwrap_or(found.ttl);
        self.remember(key, resolver.clone(), group.clone(), until);
        Ok(group)
    }

    fn remembered(&self, key: &Key) -> Option<Arc<Upstream>> {
        let known = self.known.borrow();
        let entry = known.get(key)?;
        (entry.until > Instant::now()).then(|| entry.group.clone())
    }

    fn remember(&self, key: Key, resolver: Arc<Resolver>, group: Arc<Upstream>, until: Instant) {
        let mut known = self.known.borrow_mut();
        if known.len() >= MOST_NAMES {
            let now = Instant::now();
            known.retain(|_, entry| entry.until > now);
        }
        if known.len() >= MOST_NAMES {
            let first = known.iter().min_by_key(|(_, entry)| entry.until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                known.remove(&first);
            }
        }
        let entry = Known {
            resolver,
            group,
            until,
        };
        known.insert(key, entry);
    }
}

//! Names that only a request knows (`resolver`): a worker's own small client
//! and what it remembers. And names of `upstream` blocks that are asked for again and
//! again (`server … resolve`): one worker asks, and what it finds is for all of them.
//!
//! A resolver crate was looked at: hickory-resolver alone is larger than what
//! is left of the image, for three kinds of record.

mod client;
pub(crate) mod message;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub(crate) use client::Error;
pub(crate) use message::RecordType;

use crate::config::group::{Members, Named, PeerAddress, ResolvedServer, Upstream};
use crate::config::resolver::Resolver;

/// Most names that are remembered; beyond it those that end first go.
const MOST_NAMES: usize = 256;
/// Most lookups at once: names may be a stranger's.
const MOST_LOOKUPS: usize = 64;

/// What a worker remembers of names.
#[derive(Debug)]
pub(crate) struct ResolverCache {
    known: RefCell<HashMap<CacheKey, CacheEntry>>,
    lookups: Semaphore,
}

/// The kinds of address that are asked for.
fn kinds(resolver: &Resolver) -> &'static [RecordType] {
    match (resolver.ipv4, resolver.ipv6) {
        (true, true) => &[RecordType::A, RecordType::Aaaa],
        (true, false) => &[RecordType::A],
        (false, _) => &[RecordType::Aaaa],
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CacheKey {
    /// The resolver's address in memory; it is held by what is remembered.
    resolver: usize,
    name: String,
    port: u16,
}

#[derive(Debug)]
struct CacheEntry {
    #[expect(dead_code, reason = "held for its address")]
    resolver: Arc<Resolver>,
    group: Arc<Upstream>,
    until: Instant,
}

impl Default for ResolverCache {
    fn default() -> Self {
        Self {
            known: RefCell::default(),
            lookups: Semaphore::new(MOST_LOOKUPS),
        }
    }
}

impl ResolverCache {
    /// The servers behind a name, asked for or remembered.
    pub(crate) async fn find(
        &self,
        resolver: &Arc<Resolver>,
        name: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Arc<Upstream>, Error> {
        let key = CacheKey {
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
        let kinds = kinds(resolver);
        let found = client::look_up(name, &resolver.servers, kinds, limit).await?;
        let addresses = found.addresses.into_iter();
        let addresses = addresses.map(|ip| PeerAddress::Tcp(SocketAddr::new(ip, port)));
        let group = Arc::new(Upstream {
            transient: true,
            ..Upstream::of_address(name, addresses.collect())
        });
        let until = Instant::now() + resolver.valid.unwrap_or(found.ttl);
        self.remember(key, resolver.clone(), group.clone(), until);
        Ok(group)
    }

    fn remembered(&self, key: &CacheKey) -> Option<Arc<Upstream>> {
        let known = self.known.borrow();
        let entry = known.get(key)?;
        (entry.until > Instant::now()).then(|| entry.group.clone())
    }

    fn remember(
        &self,
        key: CacheKey,
        resolver: Arc<Resolver>,
        group: Arc<Upstream>,
        until: Instant,
    ) {
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
        let entry = CacheEntry {
            resolver,
            group,
            until,
        };
        known.insert(key, entry);
    }
}

/// The shortest time between two questions for a name.
const SHORTEST: Duration = Duration::from_secs(1);
/// The time after which a name is asked for again that nobody knows.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Asks for the names of these groups as long as they are there, in tasks of the worker.
pub(crate) fn follow(groups: &[Arc<Upstream>]) {
    for members in groups.iter().filter_map(|group| group.members.as_ref()) {
        for index in 0..members.names.len() {
            tokio::task::spawn_local(follow_name(Arc::downgrade(members), index));
        }
    }
}

async fn follow_name(of: Weak<Members>, index: usize) {
    let mut before = None;
    while let Some(members) = of.upgrade() {
        let named = &members.names[index];
        let resolver = &members.resolver;
        let found = find(named, resolver, members.timeout).await;
        let error = found.as_ref().err().copied();
        if let Some(error) = error.filter(|_| error != before) {
            tracing::error!("{} could not be resolved ({error})", named.name);
        }
        before = error;
        let pause = match found {
            Ok((servers, ttl)) => {
                members.update(named, servers);
                resolver.valid.unwrap_or(ttl)
            }
            Err(Error::NotFound) => {
                members.update(named, Vec::new());
                resolver.valid.unwrap_or(AFTER_FAILURE).min(AFTER_FAILURE)
            }
            // Servers that are known stay.
            Err(_) => members.timeout.min(AFTER_FAILURE),
        };
        drop(members);
        tokio::time::sleep(pause.max(SHORTEST)).await;
    }
}

/// The servers behind a name, and for how long that holds.
async fn find(
    named: &Named,
    resolver: &Resolver,
    limit: Duration,
) -> Result<(Vec<ResolvedServer>, Duration), Error> {
    let (servers, kinds) = (&resolver.servers, kinds(resolver));
    if let Some(port) = named.port {
        let found = client::look_up(&named.name, servers, kinds, limit).await?;
        let addresses = found.addresses.into_iter();
        let servers = addresses.map(|ip| named.server(SocketAddr::new(ip, port)));
        return Ok((servers.collect(), found.ttl));
    }
    let places = client::look_up_service(&named.name, servers, kinds, limit).await?;
    let first = places.iter().map(|(service, _)| service.priority).min();
    let ttl = places.iter().map(|(_, found)| found.ttl).min();
    let servers = places.into_iter().flat_map(|(service, found)| {
        let addresses = found.addresses.into_iter();
        addresses.filter_map(move |ip| {
            let address = SocketAddr::new(ip, service.port);
            let is_first = Some(service.priority) == first;
            named.server_of_service(address, service.weight, is_first)
        })
    });
    Ok((servers.collect(), ttl.unwrap_or(SHORTEST)))
}

/// The groups as one worker knows them.
#[derive(Debug, Default)]
pub(crate) struct ResolvedGroups(RefCell<Vec<Latest>>);

/// What a worker has seen last of a group's servers.
#[derive(Debug)]
struct Latest {
    members: Arc<Members>,
    generation: u64,
    group: Arc<Upstream>,
}

impl ResolvedGroups {
    /// A group with its servers of the moment.
    pub(crate) fn current(&self, group: &Arc<Upstream>) -> Arc<Upstream> {
        match &group.members {
            None => group.clone(),
            Some(members) => self.latest(members),
        }
    }

    /// Looks at the number alone; the lock is for whoever sees another one first.
    fn latest(&self, members: &Arc<Members>) -> Arc<Upstream> {
        let generation = members.generation();
        let mut known = self.0.borrow_mut();
        let mut same = known.iter_mut();
        match same.find(|own| Arc::ptr_eq(&own.members, members)) {
            Some(own) if own.generation == generation => own.group.clone(),
            Some(own) => {
                (own.generation, own.group) = (generation, members.current());
                own.group.clone()
            }
            None => {
                let group = members.current();
                known.push(Latest {
                    members: members.clone(),
                    generation,
                    group: group.clone(),
                });
                group
            }
        }
    }

    /// Forgets those of earlier configurations.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

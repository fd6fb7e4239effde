//! Resolving names at run time. Names that depend on a request (`resolver`): each worker
//! has a small client and a cache (`cache`). Names in `upstream` blocks (`server … resolve`): one
//! worker resolves them periodically for all workers.
//!
//! hickory-resolver was considered: for three record types it alone is larger than the
//! space left in the image.

mod cache;
mod lookup;
pub(crate) mod message;
mod query;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub(crate) use cache::ResolverCache;
pub(crate) use query::Error;

use crate::config::group::{Members, Named, ResolvedServer, Upstream};
use crate::config::resolver::Resolver;

/// The shortest time between two lookups of a name.
const SHORTEST: Duration = Duration::from_secs(1);
/// The time until a name that does not exist is looked up again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Resolves the names of these groups in tasks of the worker, as long as the groups exist.
pub(crate) fn follow(groups: &[Arc<Upstream>]) {
    for members in groups.iter().filter_map(|group| group.members.as_ref()) {
        for index in 0..members.names.len() {
            tokio::task::spawn_local(follow_name(Arc::downgrade(members), index));
        }
    }
}

async fn follow_name(of: Weak<Members>, index: usize) {
    let (mut before, mut limited_before) = (None, None);
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
            Ok(Servers { all, ttl, limited }) => {
                let before = limited_before.replace(limited);
                warn_if_limited(&named.name, lookup::MAX_SERVERS, limited, before);
                members.update(named, all);
                resolver.valid.unwrap_or(ttl)
            }
            Err(Error::NotFound) => {
                members.update(named, Vec::new());
                resolver.valid.unwrap_or(AFTER_FAILURE).min(AFTER_FAILURE)
            }
            // The known servers are kept.
            Err(_) => members.timeout.min(AFTER_FAILURE),
        };
        drop(members);
        tokio::time::sleep(pause.max(SHORTEST)).await;
    }
}

/// Logs that a name has more servers than the `most` that are used, unless it had `before`.
fn warn_if_limited(name: &str, most: usize, limited: bool, before: Option<bool>) {
    if limited && before != Some(true) {
        tracing::warn!("{name} has more than {most} addresses; the others are not used");
    }
}

/// The servers of a name.
struct Servers {
    all: Vec<ResolvedServer>,
    /// How long they are valid.
    ttl: Duration,
    /// There are more than are used.
    limited: bool,
}

async fn find(named: &Named, resolver: &Resolver, limit: Duration) -> Result<Servers, Error> {
    let asking = lookup::Asking::of(resolver, limit);
    if let Some(port) = named.port {
        let found = lookup::look_up(&named.name, &asking, limit).await?;
        let addresses = found.addresses.into_iter();
        let servers = addresses.map(|ip| named.server(SocketAddr::new(ip, port)));
        return Ok(Servers {
            all: servers.collect(),
            ttl: found.ttl,
            limited: found.limited,
        });
    }
    let services = lookup::look_up_service(&named.name, &asking, limit).await?;
    let first = services.iter().map(|(service, _)| service.priority).min();
    let ttl = services.iter().map(|(_, found)| found.ttl).min();
    let limited = services.iter().any(|(_, found)| found.limited);
    let servers = services.into_iter().flat_map(|(service, found)| {
        let addresses = found.addresses.into_iter();
        addresses.filter_map(move |ip| {
            let address = SocketAddr::new(ip, service.port);
            let is_first = Some(service.priority) == first;
            named.server_of_service(address, service.weight, is_first)
        })
    });
    Ok(Servers {
        all: servers.collect(),
        ttl: ttl.unwrap_or(SHORTEST),
        limited,
    })
}

/// The resolved groups, as cached by one worker.
#[derive(Debug, Default)]
pub(crate) struct ResolvedGroups(RefCell<Vec<CachedGroup>>);

/// A cached group with its servers.
#[derive(Debug)]
struct CachedGroup {
    members: Arc<Members>,
    generation: u64,
    group: Arc<Upstream>,
}

impl ResolvedGroups {
    /// The group with its current servers.
    pub(crate) fn current(&self, group: &Arc<Upstream>) -> Arc<Upstream> {
        match &group.members {
            None => group.clone(),
            Some(members) => self.latest(members),
        }
    }

    /// Compares only the generation; the lock is taken when it has changed.
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
                known.push(CachedGroup {
                    members: members.clone(),
                    generation,
                    group: group.clone(),
                });
                group
            }
        }
    }

    /// Drops the groups of earlier configurations.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

//! A worker's idle connections to upstreams.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::Link;
use crate::modules::proxy_ssl::Secured;
use crate::modules::upstream::{Address, Upstream};

/// How often connections that have been idle for too long are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Idle connections by address.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Key, Vec<Idle>>>,
    /// The worker is ending: nothing is kept any more.
    closed: std::cell::Cell<bool>,
}

/// A group's connections are its own: the group says how many are kept.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    group: usize,
    address: Address,
}

impl Key {
    fn new(group: &Arc<Upstream>, address: &Address) -> Self {
        Self {
            group: Arc::as_ptr(group).addr(),
            address: address.clone(),
        }
    }
}

#[derive(Debug)]
struct Idle {
    /// Held, so that the key stays the group's own.
    #[expect(dead_code, reason = "held for its address")]
    group: Arc<Upstream>,
    link: Link,
    until: Instant,
}

impl Pool {
    /// A connection that was used before and is still good.
    pub(crate) fn take(
        &self,
        group: &Arc<Upstream>,
        address: &Address,
        secured: Option<&Secured>,
    ) -> Option<Link> {
        if group.keepalive == 0 {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        let links = idle.get_mut(&Key::new(group, address))?;
        let now = Instant::now();
        // Clear text, and each way of TLS, keep to themselves.
        let fits = |idle: &Idle| idle.link.secured.as_ref() == secured;
        while let Some(last) = links.iter().rposition(fits) {
            let mut found = links.remove(last);
            if found.until > now && found.link.is_quiet() {
                return Some(found.link);
            }
        }
        None
    }

    /// Keeps a connection for later, as long and as often as `group` says.
    pub(crate) fn give(&self, link: Link, group: &Arc<Upstream>) {
        if self.closed.get() || link.requests >= group.keepalive_requests || group.keepalive == 0 {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let links = idle.entry(Key::new(group, &link.address)).or_default();
        if links.len() >= group.keepalive {
            links.remove(0);
        }
        links.push(Idle {
            link,
            group: group.clone(),
            until: Instant::now() + group.keepalive_timeout,
        });
    }

    /// Closes connections whose time is over; runs as a task of the worker.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            self.idle.borrow_mut().retain(|_, links| {
                links.retain(|idle| idle.until > now);
                !links.is_empty()
            });
        }
    }

    /// Closes all of them, so that the application sees its last connection go.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
    }
}

//! A worker's idle connections to upstreams.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::UpstreamConnection;
use crate::admission::{Admission, Permit};
use crate::config::LocationId;
use crate::config::group::{PeerAddress, Upstream};
use crate::time::cached_time;
use crate::tls::connector::Secured;

/// Interval of closing connections that have been idle too long.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Idle connections by group, the most recently used at the end.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<BTreeMap<usize, Vec<Idle>>>,
    /// The worker is ending: no connection is kept.
    closed: std::cell::Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    /// Keeps the group's address from being used by another one.
    #[expect(dead_code, reason = "held for its address")]
    group: Arc<Upstream>,
    link: Box<UpstreamConnection>,
    until: Instant,
    /// The connection's own permit while no request uses it.
    #[expect(dead_code, reason = "held for its drop")]
    permit: Permit,
}

/// What a request requires of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirements<'a> {
    pub(crate) group: &'a Arc<Upstream>,
    pub(crate) address: &'a PeerAddress,
    /// Connections without TLS, and those with different TLS parameters, are not
    /// interchangeable.
    pub(crate) secured: Option<&'a Secured>,
    /// With `keepalive … local` a location uses only its own connections.
    pub(crate) location: LocationId,
}

impl Requirements<'_> {
    fn fits(&self, link: &UpstreamConnection) -> bool {
        link.address == *self.address
            && link.secured.as_ref() == self.secured
            && (!self.group.keepalive_local || link.location == self.location)
    }
}

impl Pool {
    /// An idle connection that is still usable `now`.
    pub(crate) fn take(
        &self,
        wanted: &Requirements<'_>,
        now: Instant,
    ) -> Option<Box<UpstreamConnection>> {
        if wanted.group.keepalive == 0 {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        let links = idle.get_mut(&key(wanted.group))?;
        while let Some(last) = links.iter().rposition(|idle| wanted.fits(&idle.link)) {
            let mut found = links.remove(last);
            if found.until > now && found.link.is_quiet() {
                return Some(found.link);
            }
        }
        None
    }

    /// Keeps a connection for later, within the limits of `group`. It is closed if there is
    /// no room.
    pub(crate) fn give(
        &self,
        mut link: Box<UpstreamConnection>,
        group: &Arc<Upstream>,
        admission: &Rc<Admission>,
    ) {
        let now = cached_time::now();
        let too_old = now.saturating_duration_since(link.born) > group.keepalive_time;
        let used_up = link.requests >= group.keepalive_requests || too_old;
        if self.closed.get() || used_up || group.keepalive == 0 {
            return;
        }
        link.lease = None;
        let Some(permit) = admission.try_for_idle_upstream(link.tls_memory) else {
            return;
        };
        let mut idle = self.idle.borrow_mut();
        let links = idle.entry(key(group)).or_default();
        if links.len() >= group.keepalive {
            links.remove(0);
        }
        links.push(Idle {
            link,
            group: group.clone(),
            until: now + group.keepalive_timeout,
            permit,
        });
    }

    /// Closes connections that were idle too long or that the upstream has closed, also
    /// those of groups that are not used any more. Runs as a task of the worker.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let now = Instant::now();
            self.idle.borrow_mut().retain(|_, links| {
                links.retain_mut(|idle| idle.until > now && idle.link.is_quiet());
                !links.is_empty()
            });
        }
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Closes all connections and keeps no more, so that the application sees its last
    /// connection close.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.clear();
    }
}

fn key(group: &Arc<Upstream>) -> usize {
    match &group.identity {
        Some(identity) => Arc::as_ptr(identity).addr(),
        None => Arc::as_ptr(group).addr(),
    }
}

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

/// How often connections that have been idle for too long are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Idle connections by group, the one that was used last at the end.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<BTreeMap<usize, Vec<Idle>>>,
    /// The worker is ending: nothing is kept any more.
    closed: std::cell::Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    /// Held, so that its address stays the group's own.
    #[expect(dead_code, reason = "held for its address")]
    group: Arc<Upstream>,
    link: UpstreamConnection,
    until: Instant,
    /// Its own place, now that it has no request's.
    #[expect(dead_code, reason = "held for its drop")]
    permit: Permit,
}

/// What a connection must be for a request to go over it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) group: &'a Arc<Upstream>,
    pub(crate) address: &'a PeerAddress,
    /// Clear text, and each way of TLS, keep to themselves.
    pub(crate) secured: Option<&'a Secured>,
    /// A group's connections are each location's own (`keepalive … local`).
    pub(crate) location: LocationId,
}

impl Wanted<'_> {
    fn fits(&self, link: &UpstreamConnection) -> bool {
        link.address == *self.address
            && link.secured.as_ref() == self.secured
            && (!self.group.keepalive_local || link.location == self.location)
    }
}

impl Pool {
    /// A connection that was used before and is still good `now`.
    pub(crate) fn take(&self, wanted: &Wanted<'_>, now: Instant) -> Option<UpstreamConnection> {
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

    /// Keeps a connection for later, as long and as often as `group` says.
    /// Where there is no place for it, it is closed.
    pub(crate) fn give(
        &self,
        mut link: UpstreamConnection,
        group: &Arc<Upstream>,
        admission: &Rc<Admission>,
    ) {
        let now = cached_time::now();
        let too_old = now.saturating_duration_since(link.born) > group.keepalive_time;
        let worn_out = link.requests >= group.keepalive_requests || too_old;
        if self.closed.get() || worn_out || group.keepalive == 0 {
            return;
        }
        link.lease = None;
        let Some(permit) = admission.try_for_idle_upstream() else {
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

    /// Closes connections whose time is over, and those whose upstream has
    /// closed them: of a group that nobody asks for any more, nobody else looks.
    /// Runs as a task of the worker.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            self.idle.borrow_mut().retain(|_, links| {
                links.retain_mut(|idle| idle.until > now && idle.link.is_quiet());
                !links.is_empty()
            });
        }
    }

    /// Closes all that are idle now.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Closes all of them, and keeps no more, so that the application sees its last connection go.
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

//! The places for connections of a port: how many there are, who has one, and
//! who gives it up for a newcomer.
//!
//! Whoever waits for our response keeps its place. Of all others those that have
//! not finished a request leave first, then idle ones, the oldest first: a
//! stranger that holds half a request must not keep anybody out.

use crate::activity::{Activity, Doing};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Of so many connections one more leaves than has to, so that looking for them
/// is rare where there are many.
const SPARE: usize = 64;
/// How long until somebody else is asked to leave, who may have been served meanwhile.
const AGAIN: Duration = Duration::from_millis(100);

/// The places of one port, to be cloned freely.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: AtomicUsize,
    taken: AtomicUsize,
    /// In the order of their arrival.
    held: Mutex<Held>,
    /// Somebody has left, or there are more places. The one who waits is the
    /// accept loop, later the drain.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    by_age: BTreeMap<u64, (Activity, Arc<Notify>)>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    number: u64,
    pub(crate) activity: Activity,
    leave: Arc<Notify>,
}

impl Places {
    pub(crate) fn new(most: u32) -> Self {
        Self(Arc::new(Shared {
            most: AtomicUsize::new(most as usize),
            taken: AtomicUsize::new(0),
            held: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// How many there are.
    pub(crate) fn most(&self) -> usize {
        self.0.most.load(Ordering::Relaxed)
    }

    /// Whether a newcomer takes somebody's place.
    pub(crate) fn are_taken(&self) -> bool {
        self.0.taken.load(Ordering::Relaxed) >= self.most()
    }

    /// From now on there are `most`. Where that is fewer than are taken, those who
    /// may be asked to leave are, and the others when they have been served.
    pub(crate) fn resize(&self, most: u32) {
        self.0.most.store(most as usize, Ordering::Relaxed);
        let taken = self.0.taken.load(Ordering::Relaxed);
        if let Some(over) = taken.checked_sub(most as usize) {
            self.make_room(over);
        }
        self.0.freed.notify_one();
    }

    /// A place for a newcomer, as soon as there is one.
    pub(crate) async fn take(&self) -> Place {
        while self.are_taken() {
            let taken = self.0.taken.load(Ordering::Relaxed);
            self.make_room((taken / SPARE).max(1));
            let _ = tokio::time::timeout(AGAIN, self.0.freed.notified()).await;
        }
        let activity = Activity::begin();
        let leave = Arc::new(Notify::new());
        let mut held = self.held();
        let number = held.next;
        held.next += 1;
        held.by_age
            .insert(number, (activity.clone(), Arc::clone(&leave)));
        self.0.taken.store(held.by_age.len(), Ordering::Relaxed);
        Place {
            places: self.clone(),
            number,
            activity,
            leave,
        }
    }

    /// Waits until nobody has a place.
    pub(crate) async fn are_empty(&self) {
        while self.0.taken.load(Ordering::Relaxed) > 0 {
            self.0.freed.notified().await;
        }
    }

    /// Asks so many to leave.
    fn make_room(&self, number: usize) {
        let held = self.held();
        let doing = |which: fn(Doing) -> bool| {
            let all = held.by_age.values();
            all.filter(move |(activity, _)| which(activity.doing()))
        };
        let unfinished = doing(|doing| matches!(doing, Doing::Connected | Doing::Asking));
        let idle = doing(|doing| doing == Doing::Idle);
        for (_, leave) in unfinished.chain(idle).take(number) {
            leave.notify_one();
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the place is needed by somebody else.
    pub(crate) async fn is_needed(&self) {
        self.leave.notified().await;
    }

    /// The places that this is one of.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        held.by_age.remove(&self.number);
        let shared = &self.places.0;
        shared.taken.store(held.by_age.len(), Ordering::Relaxed);
        drop(held);
        shared.freed.notify_one();
    }
}

//! Tasks of one thread that wait for the same event. A task has a slot only while it waits;
//! dropping its future releases it.

use std::cell::RefCell;
use std::task::Waker;

/// The waiting tasks.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    slots: RefCell<WakerSlots>,
}

#[derive(Debug, Default)]
struct WakerSlots {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl WakerSlots {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        })
    }
}

impl Wakers {
    /// Stores `waker` in the slot `key`, or in a new one.
    pub(super) fn register(&self, key: &mut Option<usize>, waker: &Waker) {
        let mut slots = self.slots.borrow_mut();
        let place = *key.get_or_insert_with(|| slots.take());
        let slot = slots.wakers.get_mut(place);
        let before = slot.and_then(|slot| slot.replace(waker.clone()));
        // Released first: dropping a waker may drop a task that waits here.
        drop(slots);
        drop(before);
    }

    /// Releases the slot.
    pub(super) fn remove(&self, key: &mut Option<usize>) {
        let Some(place) = key.take() else { return };
        let mut slots = self.slots.borrow_mut();
        let before = slots.wakers.get_mut(place).and_then(Option::take);
        slots.free.push(place);
        drop(slots);
        drop(before);
    }

    /// Wakes all tasks; they keep their slots until they are dropped.
    pub(super) fn wake_all(&self) {
        // Cloned first: a waker may run code that registers another.
        let waiting: Vec<Waker> = self
            .slots
            .borrow()
            .wakers
            .iter()
            .flatten()
            .cloned()
            .collect();
        for waker in waiting {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.slots.borrow().wakers.iter().flatten().count()
    }
}

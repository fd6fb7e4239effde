//! The values that one request has given to the configuration's own
//! variables.

use std::cell::{Cell, RefCell};

use bytes::Bytes;

/// Variables that lead to each other, at most (nginx has the same bound).
const DEEPEST: u32 = 100;

/// One place for each variable.
#[derive(Debug)]
pub(crate) struct Slots {
    /// None has not been asked for yet; then it may still be none. Empty until
    /// the first value: most requests ask for none.
    values: RefCell<Box<[Option<Option<Bytes>>]>>,
    count: usize,
    depth: Cell<u32>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            values: RefCell::default(),
            count,
            depth: Cell::new(0),
        }
    }

    pub(crate) fn value(&self, slot: usize) -> Option<Option<Bytes>> {
        self.values.borrow().get(slot).cloned().flatten()
    }

    pub(crate) fn set(&self, slot: usize, value: Bytes) {
        self.settle(slot, Some(value));
    }

    /// Keeps a value, or that there is none, for the rest of the request.
    pub(crate) fn settle(&self, slot: usize, value: Option<Bytes>) {
        let mut values = self.values.borrow_mut();
        if values.is_empty() {
            *values = vec![None; self.count].into();
        }
        if let Some(place) = values.get_mut(slot) {
            *place = Some(value);
        }
    }

    /// Computes a value that may ask for others; none where they go round in
    /// a circle.
    pub(crate) fn deeper<T>(&self, compute: impl FnOnce() -> T) -> Option<T> {
        if self.depth.get() >= DEEPEST {
            return None;
        }
        self.depth.set(self.depth.get() + 1);
        let value = compute();
        self.depth.set(self.depth.get() - 1);
        Some(value)
    }
}

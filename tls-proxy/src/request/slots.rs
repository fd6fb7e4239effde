//! The values that one request has given to the configuration's own
//! variables.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

/// Variables that lead to each other, at most (nginx has the same bound).
const DEEPEST: u32 = 100;

/// One place for each variable; requests on behalf of another one share its.
/// Most configurations have no variables of their own, and need no memory here.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Option<Rc<Shared>>);

#[derive(Debug)]
struct Shared {
    /// None has not been asked for yet; then it may still be none. Empty until
    /// the first value: most requests ask for none.
    values: RefCell<Box<[Option<Option<Bytes>>]>>,
    count: usize,
    depth: Cell<u32>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        let shared = || {
            Rc::new(Shared {
                values: RefCell::default(),
                count,
                depth: Cell::new(0),
            })
        };
        Self((count > 0).then(shared))
    }

    pub(crate) fn value(&self, slot: usize) -> Option<Option<Bytes>> {
        let shared = self.0.as_ref()?;
        shared.values.borrow().get(slot).cloned().flatten()
    }

    pub(crate) fn set(&self, slot: usize, value: Bytes) {
        self.settle(slot, Some(value));
    }

    /// Keeps a value, or that there is none, for the rest of the request.
    pub(crate) fn settle(&self, slot: usize, value: Option<Bytes>) {
        let Some(shared) = &self.0 else {
            return;
        };
        let mut values = shared.values.borrow_mut();
        if values.is_empty() {
            *values = vec![None; shared.count].into();
        }
        if let Some(place) = values.get_mut(slot) {
            *place = Some(value);
        }
    }

    /// Computes a value that may ask for others; none where they go round in
    /// a circle.
    pub(crate) fn deeper<T>(&self, compute: impl FnOnce() -> T) -> Option<T> {
        // Without variables there is nothing to ask for.
        let depth = self.0.as_ref().map(|shared| &shared.depth)?;
        if depth.get() >= DEEPEST {
            return None;
        }
        depth.set(depth.get() + 1);
        let value = compute();
        depth.set(depth.get() - 1);
        Some(value)
    }
}

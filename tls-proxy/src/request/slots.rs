//! The values of the configuration's own variables in one request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

/// Depth of variables that refer to each other, at most (nginx has the same limit).
const DEEPEST: u32 = 100;

/// One slot for each variable; a subrequest shares those of its request. A configuration
/// without variables of its own needs no memory here.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Option<Rc<Shared>>);

#[derive(Debug)]
struct Shared {
    /// The outer `None` is not evaluated yet, the inner one is a variable without a value.
    /// Empty until the first value is kept: most requests use none.
    values: RefCell<Box<[Option<Option<Bytes>>]>>,
    /// Bytes of all values.
    size: Cell<usize>,
    count: usize,
    depth: Cell<u32>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        let shared = || {
            Rc::new(Shared {
                values: RefCell::default(),
                size: Cell::new(0),
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
        self.keep(slot, Some(value));
    }

    /// Keeps a value, or its absence, for the rest of the request.
    pub(crate) fn keep(&self, slot: usize, value: Option<Bytes>) {
        let Some(shared) = &self.0 else {
            return;
        };
        let mut values = shared.values.borrow_mut();
        if values.is_empty() {
            *values = vec![None; shared.count].into();
        }
        if let Some(place) = values.get_mut(slot) {
            let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
            let before = place.as_ref().map_or(0, size);
            shared.size.set(shared.size.get() - before + size(&value));
            *place = Some(value);
        }
    }

    /// Bytes of all values.
    pub(super) fn size(&self) -> usize {
        self.0.as_ref().map_or(0, |shared| shared.size.get())
    }

    /// Evaluates a variable that may refer to others; `None` if they refer to each other in
    /// a cycle.
    pub(crate) fn deeper<T>(&self, compute: impl FnOnce() -> T) -> Option<T> {
        // Without slots there are no variables to evaluate.
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

//! Memory that a worker's tasks use between two waits, one after the other.

use std::cell::Cell;

/// More than this is not kept, bytes.
const MOST: usize = 16 * 1024;

/// An empty piece of memory, where nobody has it just now.
#[derive(Default)]
pub(crate) struct Scratch(Cell<Vec<u8>>);

impl Scratch {
    /// Takes it; nobody else has it until it is given back.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.take()
    }

    /// Gives it back, with whatever is in it.
    pub(crate) fn give(&self, mut memory: Vec<u8>) {
        memory.clear();
        if memory.capacity() <= MOST {
            self.0.set(memory);
        }
    }
}

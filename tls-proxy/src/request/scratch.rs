//! Memory that the tasks of a worker use in turn, never across an await.

use std::cell::Cell;

/// Larger buffers are freed, bytes.
const MAX: usize = 16 * 1024;

/// An empty buffer, unless a task has it.
#[derive(Default)]
pub(crate) struct Scratch(Cell<Vec<u8>>);

impl Scratch {
    /// Takes the buffer; others get a new one until it is returned.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.take()
    }

    /// Returns the buffer; its content is discarded.
    pub(crate) fn give(&self, mut memory: Vec<u8>) {
        memory.clear();
        if memory.capacity() <= MAX {
            self.0.set(memory);
        }
    }
}

//! What a request holds of values that were computed for it, and the memory for them.
//!
//! A configuration can make much of what a client sends: `set $b "$args$args"`. So a value is
//! counted when it is kept. A small one may wait for its memory, when the request next waits for
//! something; a large one needs it at once.

use super::Request;
use super::error_log;
use super::response::Refusal;
use crate::admission::{REJECTED, SMALL_HEAD, SMALL_VALUES};
use crate::log::level::Level;

impl Request {
    /// Bytes of the values, and of `more`, for which there is no memory yet.
    #[inline]
    fn lacks(&self, more: usize) -> u64 {
        let path = match self.rewritten || self.args_set {
            true => self.path.len() + self.args.len(),
            false => 0,
        };
        let held = (self.slots.size() + self.captured.size() + path + self.kept_values.get() + more)
            as u64;
        // The head for an upstream is counted with the client's.
        let counted = SMALL_HEAD + self.head.length + self.value_memory.get();
        held.saturating_sub(counted)
    }

    /// Counts the values, and `more` bytes; `false` if there is no memory for them now.
    #[inline]
    pub(crate) fn try_count_values(&self, more: usize) -> bool {
        let lacks = self.lacks(more);
        let there = lacks == 0 || self.try_reserve(lacks);
        if there {
            self.value_memory.set(self.value_memory.get() + lacks);
        }
        there
    }

    /// The same for values that have been computed, and `more` that are to be kept: an error if
    /// there is no memory for them and they are large.
    pub(crate) fn count_values(&self, more: usize) -> Result<(), Refusal> {
        if self.try_count_values(more) || self.lacks(more) <= SMALL_VALUES {
            return Ok(());
        }
        error_log::request(self, Level::Error, REJECTED);
        Err(Refusal::new(503))
    }

    /// The same for a value of so many bytes that the request keeps to its end.
    pub(crate) fn keep_value(&self, size: usize) -> Result<(), Refusal> {
        let before = self.kept_values.get();
        self.kept_values.set(before + size);
        self.count_values(0)
            .inspect_err(|_| self.kept_values.set(before))
    }

    /// Waits for the memory of the values and of `more` bytes.
    pub(crate) async fn reserve_values(&self, more: usize) {
        let lacks = self.take_lacking(more);
        if let (Some(permit), 1..) = (&self.permit, lacks) {
            permit.grow_alone(lacks).await;
        }
    }

    /// What the values lack, to be reserved with other memory, bytes.
    pub(super) fn take_lacking(&self, more: usize) -> u64 {
        let lacks = self.lacks(more);
        self.value_memory.set(self.value_memory.get() + lacks);
        lacks
    }
}

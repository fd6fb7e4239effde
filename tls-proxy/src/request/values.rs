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
        let target = self.own_target();
        let held =
            (self.slots.size() + self.captured.size() + target + self.kept_values.get() + more)
                as u64;
        // The head for an upstream is counted with the client's.
        let counted = SMALL_HEAD + self.head.length + self.value_memory.get();
        held.saturating_sub(counted)
    }

    /// Bytes of path and arguments, unless they are the client's.
    #[inline]
    pub(super) fn own_target(&self) -> usize {
        match self.rewritten || self.args_set {
            true => self.path.len() + self.args.len(),
            false => 0,
        }
    }

    /// Whether values wait for their memory.
    #[inline]
    pub(crate) fn lacks_memory(&self) -> bool {
        self.lacks(0) > 0
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

    /// The same for values that have been computed, and `more` that become values of variables or
    /// the target: an error if there is no memory for them and they are large.
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

    /// The same for one that is kept until [`Self::release_value`]; `false` if there is no memory for
    /// it now.
    #[inline]
    pub(crate) fn try_keep_value(&self, size: usize) -> bool {
        let there = self.try_count_values(size);
        if there {
            self.kept_values.set(self.kept_values.get() + size);
        }
        there
    }

    /// A value of so many bytes is not kept any more. Its memory is for other values then.
    #[inline]
    pub(crate) fn release_value(&self, size: usize) {
        let kept = self.kept_values.get();
        self.kept_values.set(kept.saturating_sub(size));
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

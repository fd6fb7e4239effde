//! The memory of a response's head, which is reserved before it is held.

use std::task::{Context, Poll, ready};

use crate::admission::{HEAD_FIELD, Need, Permit, SMALL_FIELDS, SMALL_HEAD};
use crate::http1::response_head::{HeadSize, MOST_FIELDS};

/// The largest head for which there is memory.
#[derive(Debug)]
pub(super) struct HeadRoom {
    size: HeadSize,
    /// The same once what it needs is there.
    next: HeadSize,
    need: Need,
}

impl Default for HeadRoom {
    fn default() -> Self {
        let small = HeadSize {
            text: SMALL_HEAD as usize,
            fields: SMALL_FIELDS,
        };
        Self {
            size: small,
            next: small,
            need: Need::default(),
        }
    }
}

impl HeadRoom {
    /// How large a head may be, up to `limit` bytes (`proxy_buffer_size`).
    pub(super) fn size(&self, limit: usize) -> HeadSize {
        HeadSize {
            text: self.size.text.min(limit),
            ..self.size
        }
    }

    /// Waits for the memory of the head in `input` as far as it has come, and of its next part;
    /// `false` if it has all that a head may have.
    pub(super) fn poll_grow(
        &mut self,
        input: &[u8],
        limit: usize,
        permit: Option<&Permit>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        if self.next == self.size {
            let come = HeadSize::of(input, limit);
            self.next = HeadSize {
                text: (come.text + SMALL_HEAD as usize)
                    .min(limit)
                    .max(self.size.text),
                fields: (come.fields + SMALL_FIELDS)
                    .min(MOST_FIELDS)
                    .max(self.size.fields),
            };
            if self.next == self.size {
                return Poll::Ready(false);
            }
            // As received, and as sent.
            let text = 2 * (self.next.text - self.size.text) as u64;
            let fields = (self.next.fields - self.size.fields) as u64;
            self.need.add(text + fields * HEAD_FIELD);
        }
        if let Some(permit) = permit {
            ready!(permit.poll_grow(&mut self.need, cx));
        }
        self.size = self.next;
        Poll::Ready(true)
    }
}

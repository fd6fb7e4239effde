//! The captured groups of a request's last match: `$1` to `$9`.

use std::cell::RefCell;

use bytes::Bytes;

use super::Groups;

/// The groups of the last match.
#[derive(Debug, Default)]
pub(crate) struct Captured(RefCell<(Bytes, Groups)>);

impl Captured {
    /// Writes a group's text; `false` if there is no such group.
    pub(crate) fn write(&self, group: usize, out: &mut Vec<u8>) -> bool {
        let own = self.0.borrow();
        let (subject, groups) = &*own;
        let text = groups
            .get(group)
            .and_then(|range| subject.get(range.clone()));
        out.extend_from_slice(text.unwrap_or_default());
        text.is_some()
    }

    /// Bytes that are kept for them.
    pub(crate) fn size(&self) -> usize {
        self.0.borrow().0.len()
    }

    /// Forgets them.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().1.clear();
    }

    /// Keeps the groups of a match of `subject`.
    pub(crate) fn keep(&self, subject: &[u8], groups: Groups) {
        let subject = if groups.len() > 1 {
            Bytes::copy_from_slice(subject)
        } else {
            Bytes::new()
        };
        *self.0.borrow_mut() = (subject, groups);
    }
}

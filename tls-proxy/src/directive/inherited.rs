//! A list of one block and that of the block around it, and which of the two applies
//! (`add_header_inherit`, `add_trailer_inherit` of nginx 1.29.3).

use std::sync::Arc;

use super::arguments;
use crate::conf::{Directive, Problem};

/// How the outer block's list is inherited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// It applies if the block has no list of its own.
    #[default]
    On,
    /// It never applies.
    Off,
    /// It applies besides the block's own.
    Merge,
}

/// A block's list.
#[derive(Clone, Debug)]
pub(crate) struct Inherited<T> {
    own: Arc<[T]>,
    outer: Arc<[T]>,
    mode: Mode,
}

impl<T> Default for Inherited<T> {
    fn default() -> Self {
        Self {
            own: Arc::new([]),
            outer: Arc::new([]),
            mode: Mode::On,
        }
    }
}

impl<T: Clone> Inherited<T> {
    /// What a nested block starts with.
    pub(crate) fn inherited(&self) -> Self {
        Self {
            own: Arc::new([]),
            outer: self.iter().cloned().collect(),
            mode: self.mode,
        }
    }

    /// Adds to the block's own list.
    pub(crate) fn add(&mut self, item: T) {
        self.own = self.own.iter().cloned().chain([item]).collect();
    }

    /// All items that apply.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let outer = match self.mode {
            Mode::On => self.own.is_empty(),
            Mode::Off => false,
            Mode::Merge => true,
        };
        let outer = if outer { &self.outer[..] } else { &[] };
        self.own.iter().chain(outer)
    }

    /// Reads `on`, `off` or `merge`.
    pub(crate) fn set_mode(&mut self, directive: &Directive) -> Result<(), Problem> {
        let word = arguments::first(directive);
        let known = [("on", Mode::On), ("off", Mode::Off), ("merge", Mode::Merge)];
        self.mode = arguments::choice(word, &known)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_says_which_list_counts() {
        let mut outer = Inherited::default();
        outer.add(1);
        for (mode, empty, filled) in [
            (Mode::On, &[1][..], &[2][..]),
            (Mode::Off, &[], &[2]),
            (Mode::Merge, &[1], &[2, 1]),
        ] {
            let mut inner = outer.inherited();
            inner.mode = mode;
            assert_eq!(inner.iter().copied().collect::<Vec<_>>(), empty);
            inner.add(2);
            assert_eq!(inner.iter().copied().collect::<Vec<_>>(), filled);
        }
    }
}

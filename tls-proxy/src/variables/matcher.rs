//! Groups of regular expressions as variables: `$1` to `$9` of the last one
//! that matched, and named ones for as long as the request lasts.

use super::registry::Registry;
use crate::conf::{Problem, Word};
use crate::pattern::Pattern;

/// A pattern whose groups become variables.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    pattern: Pattern,
    named: Box<[(usize, usize)]>,
}

impl Matcher {
    /// Compiles a pattern and defines its named groups as variables.
    pub(crate) fn compile(
        text: &str,
        caseless: bool,
        word: &Word,
        registry: &mut Registry,
    ) -> Result<Self, Problem> {
        let pattern = Pattern::compile(text, caseless, word)?;
        let slots = pattern.names().iter();
        let named = slots
            .map(|(name, group)| Ok((registry.capture(name, &word.at)?, *group)))
            .collect::<Result<_, Problem>>()?;
        Ok(Self { pattern, named })
    }

    /// The pattern alone.
    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The slots of its named groups, each with the group's number.
    pub(crate) fn named(&self) -> &[(usize, usize)] {
        &self.named
    }
}

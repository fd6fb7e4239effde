//! Regular expressions as nginx's users write them: PCRE2 itself, over bytes, with bounds on what a
//! hostile subject can cost.
//!
//! Without JIT: a hardened pod may forbid executable memory.

pub(crate) mod captured;
mod limits;
mod scratch;

use std::ops::Range;
use std::sync::Arc;

use pcre2::bytes::{Regex, RegexBuilder};

use crate::conf::{Problem, Word};

/// A compiled pattern; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: Box<str>,
    names: Vec<(String, usize)>,
    regex: Regex,
    /// Including the whole match.
    groups: usize,
}

/// The ranges of a match's groups, the whole match first; empty at 0 for a group that took no part.
/// Empty if the pattern has no groups.
pub(crate) type Groups = Vec<Range<usize>>;

/// PCRE2 gave up: the match exceeded the [limits], or the subject is not UTF-8 and the pattern
/// begins with `(*UTF)`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} ({})", .0.code(), reason(.0))]
pub(crate) struct Error(pcre2::Error);

impl Pattern {
    /// Compiles `text`; `word` is where it stands.
    ///
    /// # Errors
    ///
    /// The pattern is invalid: PCRE2's message in nginx's form.
    pub(crate) fn compile(text: &str, caseless: bool, word: &Word) -> Result<Self, Problem> {
        let limited = limits::insert(text);
        let built = RegexBuilder::new().caseless(caseless).build(&limited.text);
        let regex = built.map_err(|error| {
            let at = limited.offset_in_original(error.offset().unwrap_or_default());
            Problem::emerg(&word.at, describe(&error, text, at))
                .with_help("patterns are PCRE2's: man 3 pcre2pattern tells its syntax")
        })?;
        let names = regex.capture_names().iter().enumerate();
        let names = names.filter_map(|(group, name)| Some((name.clone()?, group)));
        Ok(Self(Arc::new(Inner {
            text: text.into(),
            names: names.collect(),
            groups: regex.captures_len(),
            regex,
        })))
    }

    /// The pattern as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// The named groups and their numbers.
    pub(crate) fn names(&self) -> &[(String, usize)] {
        &self.0.names
    }

    /// Whether `subject` matches.
    pub(crate) fn is_match(&self, subject: &[u8]) -> Result<bool, Error> {
        let found = scratch::lend(&self.0.regex, self.0.groups, subject, |_| ());
        Ok(found.map_err(Error)?.is_some())
    }

    /// The groups of the first match.
    pub(crate) fn groups(&self, subject: &[u8]) -> Result<Option<Groups>, Error> {
        let inner = &*self.0;
        let found = scratch::lend(&inner.regex, inner.groups, subject, |locations| {
            if inner.groups == 1 {
                return Groups::new();
            }
            let range = |group| locations.get(group).map_or(0..0, |(from, to)| from..to);
            (0..inner.groups).map(range).collect()
        });
        found.map_err(Error)
    }
}

/// What nginx says of a pattern that cannot be compiled; `at` is where.
fn describe(error: &pcre2::Error, text: &str, at: usize) -> String {
    let reason = reason(error);
    let place = match text.as_bytes().get(at..) {
        None | Some([]) => String::new(),
        Some(rest) => format!(" at \"{}\"", String::from_utf8_lossy(rest)),
    };
    format!("pcre2_compile() failed: {reason} in \"{text}\"{place}")
}

/// PCRE2's message, without the crate's prefix `PCRE2: error …: `.
fn reason(error: &pcre2::Error) -> String {
    let said = error.to_string();
    said.splitn(3, ": ").last().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;

//! Regular expressions as nginx's users write them: PCRE2 itself, over bytes, with bounds on what a
//! hostile subject can cost.
//!
//! Without JIT: a hardened pod may forbid executable memory.

pub(crate) mod budget;
pub(crate) mod captured;
mod limits;
mod scratch;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};

use self::budget::Budget;
use crate::conf::{Problem, Word};

/// A compiled pattern; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: Box<str>,
    names: Vec<(String, usize)>,
    caseless: bool,
    /// For a first search, which gives up soon.
    regex: Regex,
    /// For a search that has given up: compiled anew when it is needed, which is rare. `None` if
    /// the pattern has no such form.
    whole: OnceLock<Option<Regex>>,
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

impl Error {
    /// Whether a limit was exceeded.
    pub(crate) fn is_of_limits(&self) -> bool {
        // PCRE2_ERROR_MATCHLIMIT, _DEPTHLIMIT and _HEAPLIMIT.
        matches!(self.0.code(), MATCH_LIMIT | -53 | -63)
    }
}

const MATCH_LIMIT: i32 = -47;

impl Pattern {
    /// Compiles `text`; `word` is where it stands.
    ///
    /// # Errors
    ///
    /// The pattern is invalid: PCRE2's message in nginx's form.
    pub(crate) fn compile(text: &str, caseless: bool, word: &Word) -> Result<Self, Problem> {
        let is_only = whole(text, caseless).is_none();
        let limited = limits::insert(text, is_only);
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
            caseless,
            regex,
            whole: OnceLock::new(),
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
        let found = self.search(subject, &Budget::default(), |_| ());
        Ok(found?.is_some())
    }

    /// The groups of the first match. A search that takes long is paid from the budget.
    pub(crate) fn groups(&self, subject: &[u8], budget: &Budget) -> Result<Option<Groups>, Error> {
        let groups = self.0.groups;
        self.search(subject, budget, |locations| {
            if groups == 1 {
                return Groups::new();
            }
            let range = |group| locations.get(group).map_or(0..0, |(from, to)| from..to);
            (0..groups).map(range).collect()
        })
    }

    fn search<T>(
        &self,
        subject: &[u8],
        budget: &Budget,
        read: impl Fn(&CaptureLocations) -> T,
    ) -> Result<Option<T>, Error> {
        let inner = &*self.0;
        let found = scratch::lend(&inner.regex, inner.groups, subject, &read);
        match found {
            Err(error) if error.code() == MATCH_LIMIT => {
                let Some(whole) = inner.whole().filter(|_| !budget.is_spent()) else {
                    return Err(Error(error));
                };
                budget
                    .spend(|| scratch::lend(whole, inner.groups, subject, &read))
                    .map_err(Error)
            }
            found => found.map_err(Error),
        }
    }
}

impl Inner {
    #[cold]
    fn whole(&self) -> Option<&Regex> {
        let compile = || whole(&self.text, self.caseless);
        self.whole.get_or_init(compile).as_ref()
    }
}

/// The pattern for a search that has given up.
fn whole(text: &str, caseless: bool) -> Option<Regex> {
    let forms = limits::of_whole_search(text)?;
    let compile = |form: &String| RegexBuilder::new().caseless(caseless).build(form).ok();
    forms.iter().find_map(compile)
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

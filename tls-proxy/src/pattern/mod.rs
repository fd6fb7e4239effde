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

use self::budget::{Allowed, Budget};
use self::limits::First;
use crate::conf::{Problem, Word};

/// A compiled pattern; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: Box<str>,
    names: Vec<(String, usize)>,
    caseless: bool,
    /// For a first search in a short subject.
    regex: Regex,
    /// The same for a long one, and for one that is too long for `whole`: compiled anew when they are
    /// needed, as that is.
    long: OnceLock<Option<Regex>>,
    huge: OnceLock<Option<Regex>>,
    /// And for a brief one.
    brief: OnceLock<Option<Regex>>,
    /// For a search that has given up: compiled anew when it is needed, which is rare. `None` if
    /// the pattern has no such form.
    whole: OnceLock<Option<Regex>>,
    has_whole: bool,
    /// Including the whole match.
    groups: usize,
}

/// The ranges of a match's groups, the whole match first; empty at 0 for a group that took no part.
/// Empty if the pattern has no groups.
pub(crate) type Groups = Vec<Range<usize>>;

/// Why it is not known whether a pattern matches.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// PCRE2 gave up: the search exceeded the [limits], or the subject is not UTF-8 and the pattern
    /// begins with `(*UTF)`.
    #[error("{} ({})", .0.code(), reason(.0))]
    Search(pcre2::Error),
    /// The request's budget is spent, or the worker's is and the search is not brief.
    #[error("the patterns take too long")]
    Spent,
}

impl Error {
    /// Whether a limit was exceeded.
    pub(crate) fn is_of_limits(&self) -> bool {
        match self {
            // PCRE2_ERROR_DEPTHLIMIT and _HEAPLIMIT, too.
            Self::Search(error) => matches!(error.code(), MATCH_LIMIT | -53 | -63),
            Self::Spent => true,
        }
    }
}

/// PCRE2_ERROR_MATCHLIMIT.
const MATCH_LIMIT: i32 = -47;

/// The longest subject, bytes, in which a search is not paid from the budget.
const FREE: usize = 512;
/// The longest short subject, bytes.
const SHORT: usize = 2 << 10;
/// The longest subject, bytes, for a search as a whole: heads, not bodies.
const LONG: usize = 32 << 10;

impl Pattern {
    /// Compiles `text`; `word` is where it stands.
    ///
    /// # Errors
    ///
    /// The pattern is invalid: PCRE2's message in nginx's form.
    pub(crate) fn compile(text: &str, caseless: bool, word: &Word) -> Result<Self, Problem> {
        let has_whole = whole(text, caseless, limits::WHOLE).is_some();
        let limited = limits::insert(text, First::of(true, has_whole));
        let regex = build(&limited.text, caseless).map_err(|error| {
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
            long: OnceLock::new(),
            huge: OnceLock::new(),
            brief: OnceLock::new(),
            has_whole,
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

    /// Whether a short `subject` matches.
    pub(crate) fn is_match(&self, subject: &[u8]) -> Result<bool, Error> {
        self.is_match_within(subject, &Budget::default())
    }

    /// Whether `subject` matches. A search that may take long is paid from the budget.
    pub(crate) fn is_match_within(&self, subject: &[u8], budget: &Budget) -> Result<bool, Error> {
        Ok(self.search(subject, budget, |_| ())?.is_some())
    }

    /// The groups of the first match. A search that may take long is paid from the budget.
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
        if subject.len() > FREE {
            return budget.spend(|allowed| match allowed {
                Allowed::Usual => inner.search_long(subject, &read),
                Allowed::Brief => inner.search_briefly(subject, &read),
            });
        }
        match scratch::lend(&inner.regex, inner.groups, subject, &read) {
            Err(error) if error.code() == MATCH_LIMIT && inner.has_whole => {
                budget.spend(|allowed| match allowed {
                    Allowed::Usual => inner.search_whole(subject, &read),
                    Allowed::Brief => inner.search_briefly(subject, &read),
                })
            }
            found => found.map_err(Error::Search),
        }
    }
}

impl Inner {
    /// A search in a subject that is not so short.
    fn search_long<T>(
        &self,
        subject: &[u8],
        read: &impl Fn(&CaptureLocations) -> T,
    ) -> Result<Option<T>, Error> {
        let regex = match subject.len() <= SHORT {
            true => Some(&self.regex),
            false => self.compiled(&self.long, First::of(false, self.has_whole)),
        };
        let regex = regex.ok_or(Error::Spent)?;
        match scratch::lend(regex, self.groups, subject, read) {
            Err(error) if error.code() == MATCH_LIMIT && self.has_whole => {
                if subject.len() <= LONG {
                    return self.search_whole(subject, read);
                }
                let regex = self.compiled(&self.huge, First::Huge).ok_or(Error::Spent)?;
                scratch::lend(regex, self.groups, subject, read).map_err(Error::Search)
            }
            found => found.map_err(Error::Search),
        }
    }

    /// A search that takes little, or gives up.
    fn search_briefly<T>(
        &self,
        subject: &[u8],
        read: &impl Fn(&CaptureLocations) -> T,
    ) -> Result<Option<T>, Error> {
        let compile = || match self.has_whole {
            true => whole(&self.text, self.caseless, limits::BRIEF),
            false => build(&limits::insert(&self.text, First::Long).text, self.caseless).ok(),
        };
        let regex = self.brief.get_or_init(compile).as_ref();
        let regex = regex.ok_or(Error::Spent)?;
        match scratch::lend(regex, self.groups, subject, read) {
            Err(error) if error.code() == MATCH_LIMIT => Err(Error::Spent),
            found => found.map_err(Error::Search),
        }
    }

    /// The pattern with other limits.
    fn compiled<'a>(&self, one: &'a OnceLock<Option<Regex>>, first: First) -> Option<&'a Regex> {
        let compile = || build(&limits::insert(&self.text, first).text, self.caseless).ok();
        one.get_or_init(compile).as_ref()
    }

    /// A search that is bounded as a whole.
    fn search_whole<T>(
        &self,
        subject: &[u8],
        read: &impl Fn(&CaptureLocations) -> T,
    ) -> Result<Option<T>, Error> {
        let compile = || whole(&self.text, self.caseless, limits::WHOLE);
        let Some(regex) = self.whole.get_or_init(compile) else {
            return Err(Error::Spent);
        };
        scratch::lend(regex, self.groups, subject, read).map_err(Error::Search)
    }
}

/// The pattern for a search that has given up.
fn whole(text: &str, caseless: bool, steps: &str) -> Option<Regex> {
    let forms = limits::of_whole_search(text, steps)?;
    forms.iter().find_map(|form| build(form, caseless).ok())
}

fn build(text: &str, caseless: bool) -> Result<Regex, pcre2::Error> {
    RegexBuilder::new().caseless(caseless).build(text)
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

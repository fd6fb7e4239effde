//! Groups of regular expressions as variables: `$1` to `$9` of the last one
//! that matched, and named ones for as long as the request lasts.

use bytes::Bytes;

use super::registry::Registry;
use crate::conf::{Problem, Word};
use crate::log::level;
use crate::log::level::Level;
use crate::pattern::Pattern;
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::Refusal;

/// A pattern whose groups become variables.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    pattern: Pattern,
    /// Slots of variables, each with its group.
    named: Box<[(usize, usize)]>,
}

impl Matcher {
    /// Compiles a pattern; its named groups are variables from now on.
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

    /// Whether `subject` matches; then its groups are the request's. A match
    /// that runs away is logged and answered with 500, as in nginx.
    pub(crate) fn matches(&self, request: &Request, subject: &[u8]) -> Result<bool, Refusal> {
        let groups = self.pattern.groups(subject).map_err(|runaway| {
            let (subject, text) = (level::shown(subject), self.pattern.text());
            let what = format!("pcre2_match() failed: {runaway} on \"{subject}\" using \"{text}\"");
            error_log::request(request, Level::Alert, what);
            Refusal::new(500)
        })?;
        let Some(groups) = groups else {
            return Ok(false);
        };
        for (slot, group) in &self.named {
            let text = groups
                .get(*group)
                .and_then(|range| subject.get(range.clone()));
            let text = Bytes::copy_from_slice(text.unwrap_or_default());
            request.slots.set(*slot, text);
        }
        request.captured.keep(subject, groups);
        Ok(true)
    }
}

//! The rules of `proxy_redirect`, and the patterns of `proxy_cookie_*`.

use std::sync::Arc;

use crate::conf::{Problem, Word};
use crate::request::Request;
use crate::variables::matcher::Matcher;
use crate::variables::registry::Registry;
use crate::variables::template::Template;

/// `proxy_redirect`.
#[derive(Clone, Debug, Default)]
pub(crate) enum Redirect {
    /// `default`: from the address of `proxy_pass` to the location.
    #[default]
    Default,
    /// `off`.
    Off,
    /// The lines, in order.
    Rules(Arc<[RedirectRule]>),
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) enum RedirectRule {
    /// `default`.
    Default,
    /// A pattern and its replacement.
    Replace(RewritePattern, Template),
}

/// What a rule compares with the beginning of a value.
#[derive(Clone, Debug)]
pub(crate) enum RewritePattern {
    /// This text; only it is replaced.
    Prefix(Template),
    /// `~`, `~*`: a match replaces the whole value.
    Pattern(Matcher),
}

impl RewritePattern {
    /// Parses the first argument; `caseless` where nginx's regular expressions always ignore case.
    pub(super) fn parse(
        word: &Word,
        caseless: bool,
        variables: &mut Registry,
    ) -> Result<Self, Problem> {
        match word.text.strip_prefix('~') {
            Some(pattern) => {
                let starred = pattern.strip_prefix('*').filter(|_| !caseless);
                let caseless = caseless || starred.is_some();
                let pattern = starred.unwrap_or(pattern);
                let matcher = Matcher::compile(pattern, caseless, word, variables)?;
                Ok(Self::Pattern(matcher))
            }
            None => Ok(Self::Prefix(Template::compile(word, variables)?)),
        }
    }

    /// `value` with the replacement; `None` if it does not match.
    pub(super) fn replace(
        &self,
        to: &Template,
        request: &Request,
        value: &[u8],
    ) -> Option<Vec<u8>> {
        match self {
            Self::Prefix(from) => {
                let rest = value.strip_prefix(&from.evaluate(request)[..])?;
                Some([&to.evaluate(request), rest].concat())
            }
            Self::Pattern(matcher) => {
                let matches = matcher.matches(request, value).unwrap_or(false);
                matches.then(|| to.evaluate(request).to_vec())
            }
        }
    }
}

//! Regular expressions as nginx's users write them: PCRE's syntax, over
//! bytes.
//!
//! A pattern is read into a tree. What `regex` can match, it matches, in time
//! linear in the subject. What needs look-around, back-references or
//! possessive repeats goes to a backtracking matcher with bounded steps, and
//! so does a subject that ends with a line feed, before which `$` matches.

mod backtrack;
mod class;
mod escape;
mod linear;
mod parse;
mod program;
mod set;
mod syntax;

use std::ops::Range;
use std::sync::Arc;

use regex::bytes::Regex;

pub(crate) use self::backtrack::Runaway;
use self::program::Program;
use self::syntax::{Assert, Node};
use crate::conf::{Problem, Word};

/// A compiled pattern; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: Box<str>,
    groups: usize,
    names: Vec<(String, usize)>,
    linear: Option<Regex>,
    /// None where `linear` can do it all.
    program: Option<Program>,
}

/// What a match's groups cover, the whole first; empty at 0 where a group
/// took no part.
pub(crate) type Groups = Vec<Range<usize>>;

impl Pattern {
    /// Compiles `text`; `word` is where it stands.
    pub(crate) fn compile(text: &str, caseless: bool, word: &Word) -> Result<Self, Problem> {
        let parsed = parse::parse(text.as_bytes(), caseless).map_err(|flaw| {
            let rest = text.get(flaw.at..).filter(|rest| !rest.is_empty());
            let place = rest
                .map(|rest| format!(" at \"{rest}\""))
                .unwrap_or_default();
            let message = format!("pcre_compile() failed: {flaw} in \"{text}\"{place}");
            let problem = Problem::emerg(&word.at, message);
            problem.with_help_if(flaw.unsupported.then(|| {
                "nginx knows it, tls-proxy does not; write the pattern without it".to_owned()
            }))
        })?;
        let linear = linear::compile(&parsed.node);
        let newline = |node: &Node| matches!(node, Node::Assert(Assert::EndOrNewline));
        let program = if linear.is_none() || parsed.node.any(&newline) {
            Program::compile(&parsed.node, parsed.groups)
        } else {
            None
        };
        if linear.is_none() && program.is_none() {
            let message = "pcre_compile() failed: regular expression is too large";
            return Err(Problem::emerg(&word.at, format!("{message} in \"{text}\"")));
        }
        Ok(Self(Arc::new(Inner {
            text: text.into(),
            groups: parsed.groups,
            names: parsed.names,
            linear,
            program,
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
    pub(crate) fn is_match(&self, subject: &[u8]) -> Result<bool, Runaway> {
        match self.linear_for(subject) {
            Some(regex) => Ok(regex.is_match(subject)),
            None => Ok(self.groups(subject)?.is_some()),
        }
    }

    /// The groups of the first match.
    pub(crate) fn groups(&self, subject: &[u8]) -> Result<Option<Groups>, Runaway> {
        let Some(regex) = self.linear_for(subject) else {
            return self.backtrack(subject);
        };
        if self.0.groups == 0 {
            return Ok(regex.is_match(subject).then(Groups::new));
        }
        let groups = regex.captures(subject).map(|groups| {
            let ranges = groups.iter();
            ranges
                .map(|group| group.map_or(0..0, |group| group.range()))
                .collect()
        });
        Ok(groups)
    }

    fn linear_for(&self, subject: &[u8]) -> Option<&Regex> {
        let newline = self.0.program.is_some() && subject.ends_with(b"\n");
        self.0.linear.as_ref().filter(|_| !newline)
    }

    fn backtrack(&self, subject: &[u8]) -> Result<Option<Groups>, Runaway> {
        let Some(program) = &self.0.program else {
            return Ok(None);
        };
        let Some(slots) = backtrack::find(program, subject)? else {
            return Ok(None);
        };
        let (pairs, _) = slots.as_chunks::<2>();
        let range = |pair: &[Option<u32>; 2]| match pair {
            [Some(from), Some(to)] => *from as usize..*to as usize,
            _ => 0..0,
        };
        let groups = pairs.iter().take(self.0.groups + 1).map(range);
        Ok(Some(groups.collect()))
    }
}

#[cfg(test)]
mod tests;

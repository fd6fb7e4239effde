//! What `-t` says of lines that are accepted and have another effect than in nginx. Directives say
//! it in their own entry, variables in the table here.

use crate::conf::{Directive, Problem, Word};

/// A difference from nginx.
#[derive(Clone, Copy)]
pub(crate) struct Differs {
    /// Whether it applies to a line.
    pub(crate) when: fn(&Directive) -> bool,
    /// The effect; empty if the reason of an accepted directive says it.
    pub(crate) words: &'static str,
    /// The heading of `docs/differences.md` to read, as an anchor.
    pub(crate) read: &'static str,
}

/// A variable with another value than in nginx: its name, what the value is, and the
/// heading to read.
pub(crate) const VARIABLES: &[(&str, &str, &str)] =
    &[("ssl_session_id", "it is empty", "ssl_session_id")];

/// The notice for a line; `reason` is that of an accepted directive.
pub(crate) fn of(
    directive: &Directive,
    differs: Option<Differs>,
    reason: &'static str,
) -> impl Iterator<Item = Problem> {
    let own = differs.filter(|own| (own.when)(directive));
    let own = own.map(|own| {
        let words = if own.words.is_empty() {
            reason
        } else {
            own.words
        };
        let name = &directive.name;
        notice(name, &format!("\"{}\"", name.text), words, own.read)
    });
    let used = directive.args.iter().flat_map(|word| {
        let used = VARIABLES.iter().filter(|(name, ..)| uses(word, name));
        used.map(|(name, words, read)| notice(word, &format!("${name}"), words, read))
    });
    own.into_iter().chain(used)
}

fn notice(at: &Word, what: &str, words: &str, read: &str) -> Problem {
    let message = format!("{what} differs from nginx: {words}; see docs/differences.md#{read}");
    Problem::notice(&at.at, message)
}

/// Whether a word contains a variable.
pub(crate) fn uses(word: &Word, variable: &str) -> bool {
    let text = word.text.as_str();
    let continues_name = |rest: &str| {
        let next = rest.bytes().next();
        next.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.match_indices('$').any(|(at, _)| {
        let name = &text[at + 1..];
        let (name, braced) = match name.strip_prefix('{') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let rest = name.strip_prefix(variable);
        rest.is_some_and(|rest| match braced {
            true => rest.starts_with('}'),
            false => !continues_name(rest),
        })
    })
}

/// Lines with any value.
pub(crate) fn always(_: &Directive) -> bool {
    true
}

/// Lines whose first value is `on`.
pub(crate) fn on(directive: &Directive) -> bool {
    first(directive).eq_ignore_ascii_case("on")
}

/// Lines whose first value is neither `off` nor 0.
pub(crate) fn not_off(directive: &Directive) -> bool {
    !matches!(first(directive), "off" | "0")
}

/// The first value.
pub(crate) fn first(directive: &Directive) -> &str {
    directive.args.first().map_or("", |word| &word.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Position;

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let word = |text: &str| Word {
            text: text.to_owned(),
            quoted: false,
            at: Position::in_a_test(),
        };
        for (text, found) in [
            ("$a", true),
            ("x$a/", true),
            ("${a}b", true),
            ("$ab", false),
            ("$a_b", false),
            ("a", false),
            ("$$a", true),
        ] {
            assert_eq!(uses(&word(text), "a"), found, "{text}");
        }
    }
}

//! Reading a directive's arguments, with nginx's words for what is wrong.

use std::time::Duration;

use crate::conf::{Directive, Problem, Word, units};

/// The first argument; the table has checked that it is there.
pub(crate) fn first(directive: &Directive) -> &Word {
    directive.args.first().unwrap_or(&directive.name)
}

/// `on` or `off`.
pub(crate) fn flag(directive: &Directive) -> Result<bool, Problem> {
    let word = first(directive);
    units::parse_flag(&word.text).ok_or_else(|| {
        Problem::emerg(
            &word.at,
            format!(
                "invalid value \"{}\" in \"{}\" directive, it must be \"on\" or \"off\"",
                word.text, directive.name.text
            ),
        )
    })
}

/// The directive's value is not what it should be.
pub(crate) fn invalid(directive: &Directive, word: &Word, help: &str) -> Problem {
    let message = format!("\"{}\" directive invalid value", directive.name.text);
    Problem::emerg(&word.at, message).with_help(help)
}

/// A size in bytes, as `8k`.
pub(crate) fn size(directive: &Directive, word: &Word) -> Result<usize, Problem> {
    units::parse_size(&word.text)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| invalid(directive, word, "write a size such as 4096, 8k or 1m"))
}

/// A size in bytes of something that may be larger than memory, as `10g`.
pub(crate) fn offset(directive: &Directive) -> Result<u64, Problem> {
    let word = first(directive);
    units::parse_offset(&word.text)
        .ok_or_else(|| invalid(directive, word, "write a size such as 8k, 10m or 1g"))
}

/// A time, as `30`, `75s` or `1h30m`.
pub(crate) fn time(directive: &Directive, word: &Word) -> Result<Duration, Problem> {
    units::parse_time_ms(&word.text)
        .map(Duration::from_millis)
        .ok_or_else(|| invalid(directive, word, "write a time such as 500ms, 30s or 1m30s"))
}

/// A plain number.
pub(crate) fn number(directive: &Directive) -> Result<usize, Problem> {
    let word = first(directive);
    units::parse_number(&word.text)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Problem::emerg(&word.at, format!("invalid number \"{}\"", word.text)))
}

/// A parameter nobody knows.
pub(crate) fn invalid_parameter(word: &Word) -> Problem {
    Problem::emerg(&word.at, format!("invalid parameter \"{}\"", word.text))
}

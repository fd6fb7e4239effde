//! Reading a directive's arguments, with nginx's words for what is wrong.

use std::time::Duration;

use crate::conf::{Directive, Problem, Word, did_you_mean, units};

/// The first argument; the number of arguments has been checked.
pub(crate) fn first(directive: &Directive) -> &Word {
    directive.args.first().unwrap_or(&directive.name)
}

/// Whether the third word, `always`, is there (`add_header`, `add_trailer`).
pub(crate) fn always(directive: &Directive) -> Result<bool, Problem> {
    match directive.args.get(2) {
        None => Ok(false),
        Some(word) if word.text == "always" => Ok(true),
        Some(word) => Err(unknown_parameter(word, &["always"])),
    }
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

/// The directive's value is invalid.
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

/// A time of whole seconds, as `30`, `5m` or `1y`.
pub(crate) fn seconds(directive: &Directive, word: &Word) -> Result<Duration, Problem> {
    units::parse_time_s(&word.text)
        .map(Duration::from_secs)
        .ok_or_else(|| invalid(directive, word, "write a time such as 30s, 5m or 1d"))
}

/// A plain number.
pub(crate) fn number(directive: &Directive) -> Result<usize, Problem> {
    let word = first(directive);
    units::parse_number(&word.text)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Problem::emerg(&word.at, format!("invalid number \"{}\"", word.text)))
}

/// How many buffers, and their size in bytes, as `4 8k`.
pub(crate) fn buffers(directive: &Directive) -> Result<(usize, usize), Problem> {
    let help = "write a number and a size, such as 4 8k";
    let count = units::parse_number(&first(directive).text);
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0);
    let count = count.ok_or_else(|| invalid(directive, first(directive), help))?;
    let word = directive.args.get(1).unwrap_or(&directive.name);
    match size(directive, word)? {
        0 => Err(invalid(directive, word, help)),
        size => Ok((count, size)),
    }
}

/// One of several words, in either case.
pub(crate) fn choice<T: Copy>(word: &Word, choices: &[(&str, T)]) -> Result<T, Problem> {
    let mut found = choices.iter();
    let found = found.find(|(name, _)| name.eq_ignore_ascii_case(&word.text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        unknown_value(word, &names)
    })
}

/// A line that may not stand behind another one of its name.
pub(crate) fn duplicate(directive: &Directive) -> Problem {
    let message = format!("\"{}\" directive is duplicate", directive.name.text);
    Problem::emerg(&directive.name.at, message)
}

/// An unknown parameter.
pub(crate) fn invalid_parameter(word: &Word) -> Problem {
    Problem::emerg(&word.at, format!("invalid parameter \"{}\"", word.text))
}

/// A parameter that is none of these, perhaps misspelt; a value after `=` is not compared.
pub(crate) fn unknown_parameter(word: &Word, known: &[&str]) -> Problem {
    let name = word.text.split('=').next().unwrap_or_default();
    let is_known = |own: &&str| own.trim_end_matches('=') == name;
    // The name is known, so its value is wrong.
    let near = match known.iter().any(is_known) {
        true => None,
        false => did_you_mean(name, known.iter().copied()),
    };
    invalid_parameter(word).with_help_if(near)
}

/// A value that is none of these.
pub(crate) fn unknown_value(word: &Word, known: &[&str]) -> Problem {
    Problem::emerg(&word.at, format!("invalid value \"{}\"", word.text))
        .with_help(one_of(&word.text, known))
}

/// What may be written: the nearest word, or all of them.
pub(crate) fn one_of(wrong: &str, known: &[&str]) -> String {
    did_you_mean(wrong, known.iter().copied())
        .unwrap_or_else(|| format!("write {}", known.join(" or ")))
}

/// A directive or value that nginx supports and this program does not; `instead` says what to do.
pub(crate) fn unsupported(directive: &Directive, instead: &str) -> Problem {
    let message = format!("the \"{}\" directive is not supported", directive.name.text);
    Problem::emerg(&directive.name.at, message).with_help(instead)
}

/// A parameter that nginx supports and this program does not.
pub(crate) fn unsupported_parameter(word: &Word, instead: &str) -> Problem {
    let message = format!("the \"{}\" parameter is not supported", word.text);
    Problem::emerg(&word.at, message).with_help(instead)
}

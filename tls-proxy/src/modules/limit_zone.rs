//! What `limit_req` and `limit_conn` have in common: zones and answers.

use super::arguments;
use crate::conf::{Directive, Problem, Word, units};
use crate::error_log::Level;
use crate::server::response::Refusal;

/// Smallest zone, bytes (nginx: eight pages).
const SMALLEST: u64 = 8 * 4096;

/// What a request beyond a limit gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers {
    pub(crate) status: u16,
    pub(crate) level: Level,
    pub(crate) dry_run: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            status: 503,
            level: Level::Error,
            dry_run: false,
        }
    }
}

impl Answers {
    /// The refusal, or none in a dry run.
    pub(crate) fn refuse(self) -> Result<(), Refusal> {
        if self.dry_run {
            Ok(())
        } else {
            Err(Refusal::new(self.status))
        }
    }
}

/// `NAME:SIZE` of a `zone=` parameter.
pub(crate) fn zone_size(word: &Word, value: &str) -> Result<(String, usize), Problem> {
    let invalid = || Problem::emerg(&word.at, format!("invalid zone size \"{}\"", word.text));
    let (name, size) = value.split_once(':').ok_or_else(invalid)?;
    if name.is_empty() {
        let message = format!("invalid zone name \"{}\"", word.text);
        return Err(Problem::emerg(&word.at, message));
    }
    let size = units::parse_size(size).ok_or_else(invalid)?;
    if size < SMALLEST {
        let message = format!("zone \"{}\" is too small", word.text);
        return Err(Problem::emerg(&word.at, message));
    }
    Ok((
        name.to_owned(),
        usize::try_from(size).map_err(|_| invalid())?,
    ))
}

/// A status from 400 to 599.
pub(crate) fn status(directive: &Directive) -> Result<u16, Problem> {
    let word = arguments::first(directive);
    let status = arguments::number(directive)?;
    u16::try_from(status)
        .ok()
        .filter(|status| (400..=599).contains(status))
        .ok_or_else(|| Problem::emerg(&word.at, "value must be between 400 and 599"))
}

/// `info`, `notice`, `warn` or `error`.
pub(crate) fn level(directive: &Directive) -> Result<Level, Problem> {
    let word = arguments::first(directive);
    match word.text.as_str() {
        "info" => Ok(Level::Info),
        "notice" => Ok(Level::Notice),
        "warn" => Ok(Level::Warn),
        "error" => Ok(Level::Error),
        other => Err(Problem::emerg(
            &word.at,
            format!("invalid value \"{other}\""),
        )),
    }
}

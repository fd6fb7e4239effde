//! Checks the values of directives that are accepted without effect: a value that nginx rejects is
//! an error here, too.

use super::arguments;
use crate::conf::hosts::Hosts;
use crate::conf::{Directive, Problem, Word, units};

/// The kinds of value; nginx's own slots.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    /// Anything.
    Any,
    /// `on` or `off`.
    Flag,
    /// A number.
    Number,
    /// A size, as `8k`.
    Size,
    /// A size that may be larger than memory, as `1g`.
    Offset,
    /// A time of whole seconds.
    Seconds,
    /// A time, as `500ms`.
    Time,
    /// How many buffers, and of which size.
    Buffers,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Words that are each one of these, in either case.
    EachOf(&'static [&'static str]),
    /// `off` or `0`; anything else is rejected, and the text says what to do instead.
    Off(&'static str),
    /// `off`, or `NAME=VALUE` with one of these names, `max` among them.
    Cache(&'static [(&'static str, Parameter)]),
    /// Checked by the function.
    Checked(fn(&Directive) -> Result<(), Problem>),
    /// A host, looked up by the function.
    Host(fn(&Directive, &mut Hosts) -> Result<(), Problem>),
}

/// A parameter's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Count,
    Seconds,
}

impl Value {
    /// The same as [`Value::check`], with the hosts of the configuration.
    pub(crate) fn check_with(
        self,
        directive: &Directive,
        hosts: &mut Hosts,
    ) -> Result<(), Problem> {
        match self {
            Self::Host(check) => check(directive, hosts),
            other => other.check(directive),
        }
    }

    /// Checks that nginx would accept the directive's arguments.
    pub(crate) fn check(self, directive: &Directive) -> Result<(), Problem> {
        let word = arguments::first(directive);
        let valid = match self {
            Self::Any => true,
            Self::Flag => return arguments::flag(directive).map(drop),
            Self::Number => units::parse_number(&word.text).is_some(),
            Self::Size => units::parse_size(&word.text).is_some(),
            Self::Offset => units::parse_offset(&word.text).is_some(),
            Self::Seconds => units::parse_time_s(&word.text).is_some(),
            Self::Time => units::parse_time_ms(&word.text).is_some(),
            Self::Buffers => return arguments::buffers(directive).map(drop),
            Self::OneOf(known) => known.contains(&word.text.as_str()),
            Self::EachOf(known) => return check_each(directive, known),
            Self::Off(instead) => return check_off(directive, instead),
            Self::Cache(known) => return check_cache(directive, known),
            Self::Checked(check) => return check(directive),
            Self::Host(check) => return check(directive, &mut Hosts::default()),
        };
        if valid {
            return Ok(());
        }
        let help = match self {
            Self::OneOf(known) => arguments::one_of(&word.text, known),
            Self::Number => "write a number".to_owned(),
            Self::Seconds | Self::Time => "write a time such as 30s or 1m30s".to_owned(),
            _ => "write a size such as 4096, 8k or 1m".to_owned(),
        };
        Err(arguments::invalid(directive, word, &help))
    }
}

fn check_each(directive: &Directive, known: &[&str]) -> Result<(), Problem> {
    let is_known = |word: &Word| known.iter().any(|own| own.eq_ignore_ascii_case(&word.text));
    match directive.args.iter().find(|word| !is_known(word)) {
        None => Ok(()),
        Some(word) => Err(arguments::unknown_value(word, known)),
    }
}

fn check_off(directive: &Directive, instead: &'static str) -> Result<(), Problem> {
    match &directive.args[..] {
        [only] if matches!(only.text.as_str(), "off" | "0") => Ok(()),
        _ => Err(arguments::unsupported(directive, instead)),
    }
}

fn check_cache(directive: &Directive, known: &[(&str, Parameter)]) -> Result<(), Problem> {
    let mut bounded = false;
    for word in &directive.args {
        if word.text == "off" {
            bounded = true;
            continue;
        }
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let invalid = || arguments::unknown_parameter(word, &names);
        let (name, value) = word.text.split_once('=').ok_or_else(invalid)?;
        let (_, kind) = known
            .iter()
            .find(|(own, _)| *own == name)
            .ok_or_else(invalid)?;
        let valid = match kind {
            Parameter::Count => units::parse_number(value).is_some_and(|count| count > 0),
            Parameter::Seconds => units::parse_time_s(value).is_some(),
        };
        if !valid {
            return Err(invalid());
        }
        bounded |= name == "max";
    }
    if bounded {
        return Ok(());
    }
    let name = &directive.name.text;
    let message = format!("\"{name}\" must have the \"max\" parameter");
    Err(Problem::emerg(&directive.name.at, message))
}

/// `connection_pool_size`, `request_pool_size`.
pub(crate) fn check_pool_size(directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let refuse = |what: &str| {
        Err(Problem::emerg(
            &word.at,
            format!("the pool size must be {what}"),
        ))
    };
    match arguments::size(directive, word)? {
        ..112 => refuse("no less than 112"),
        size if size % 16 != 0 => refuse("a multiple of 16"),
        _ => Ok(()),
    }
}

/// A power of two from 512 to `most`, as `gzip_window`.
pub(crate) fn check_power(directive: &Directive, most: usize) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let size = arguments::size(directive, word)?;
    if size.is_power_of_two() && (512..=most).contains(&size) {
        return Ok(());
    }
    let name = &directive.name.text;
    let message = format!(
        "\"{name}\" directive must be 512, 1k, 2k, … or {}k",
        most >> 10
    );
    Err(Problem::emerg(&word.at, message))
}

/// The folders below a `*_temp_path`: up to three levels of names.
pub(crate) fn check_levels(directive: &Directive) -> Result<(), Problem> {
    let levels = directive.args.get(1..).unwrap_or_default();
    let wrong = |word: &&Word| units::parse_number(&word.text).is_none_or(|level| level == 0);
    match levels.iter().find(wrong) {
        Some(word) => Err(arguments::invalid(
            directive,
            word,
            "write a number of digits",
        )),
        None => Ok(()),
    }
}

/// `*_cache_valid`: statuses or `any`, and a time in seconds.
pub(crate) fn check_valid(directive: &Directive) -> Result<(), Problem> {
    let Some((time, statuses)) = directive.args.split_last() else {
        return Ok(());
    };
    if units::parse_time_s(&time.text).is_none() {
        let message = format!("invalid time value \"{}\"", time.text);
        return Err(Problem::emerg(&time.at, message));
    }
    for word in statuses.iter().filter(|word| word.text != "any") {
        let status = units::parse_number(&word.text);
        if !status.is_some_and(|status| (100..=599).contains(&status)) {
            let message = format!("invalid status \"{}\"", word.text);
            return Err(Problem::emerg(&word.at, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{Entry, Main, load};

    fn accepts(value: Value, arguments: &str) -> bool {
        let loaded = load(&Entry {
            main: Main::BuiltIn {
                name: "t".to_owned(),
                text: format!("name {arguments};"),
                folder: "/nonexistent".into(),
            },
            globals: None,
        });
        value.check(&loaded.tree[0]).is_ok()
    }

    #[test]
    fn values_are_what_nginx_takes() {
        const CACHE: Value =
            Value::Cache(&[("max", Parameter::Count), ("inactive", Parameter::Seconds)]);
        for (value, right, wrong) in [
            (Value::Flag, "ON", "yes"),
            (Value::Number, "8", "-1"),
            (Value::Size, "8k", "1g"),
            (Value::Offset, "1g", "1t"),
            (Value::Seconds, "1y", "5ms"),
            (Value::Time, "5ms", "1y"),
            (Value::Buffers, "4 8k", "0 8k"),
            (Value::OneOf(&["epoll"]), "epoll", "poll"),
            (CACHE, "max=2 inactive=1m", "inactive=1m"),
            (CACHE, "off", "max=0"),
            (Value::EachOf(&["error", "off"]), "error OFF", "error x"),
            (Value::Off("use gzip"), "off", "on"),
            (Value::Off("use gzip"), "0", "off on"),
            (Value::Checked(check_valid), "any 200 1m", "1000 1m"),
            (Value::Checked(check_pool_size), "128", "120"),
            (Value::Checked(check_levels), "x 1 2", "x 0"),
        ] {
            assert!(accepts(value, right), "{right}");
            assert!(!accepts(value, wrong), "{wrong}");
        }
    }
}

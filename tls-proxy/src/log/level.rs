//! Severities, and how a line shows what somebody else wrote.

use std::fmt::Write as _;

/// nginx's severities, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not written by this program.
    Debug,
    /// What a client does wrong.
    Info,
    /// The course of the process.
    Notice,
    /// Something to look at.
    Warn,
    /// A request could not be served.
    Error,
    /// TLS or resources fail.
    Crit,
    /// A defect.
    Alert,
    /// The process cannot go on.
    Emerg,
}

const NAMES: [(&str, Level); 8] = [
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("notice", Level::Notice),
    ("warn", Level::Warn),
    ("error", Level::Error),
    ("crit", Level::Crit),
    ("alert", Level::Alert),
    ("emerg", Level::Emerg),
];

impl Level {
    /// nginx's word for it.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, level)| *level == self)
            .map_or("", |(name, _)| name)
    }

    /// What nginx calls them.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The severity that nginx calls so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(own, _)| *own == name);
        found.map(|(_, level)| *level)
    }
}

/// A client's words, fit for a line of their own.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            _ => out.push(char::from(*byte)),
        }
    }
    out
}

//! Severities, and escaping of untrusted text.

use std::fmt::Write as _;

/// nginx's severities, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not used by this program.
    Debug,
    /// Errors of clients.
    Info,
    /// Events of the process.
    Notice,
    /// Conditions that need attention.
    Warn,
    /// A request could not be served.
    Error,
    /// TLS or system resources failed.
    Crit,
    /// A bug.
    Alert,
    /// The process cannot continue.
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
    /// nginx's name for it.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, level)| *level == self)
            .map_or("", |(name, _)| name)
    }

    /// nginx's names.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The severity with this name in nginx.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(own, _)| *own == name);
        found.map(|(_, level)| *level)
    }
}

/// A client's bytes, escaped for a log line.
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

//! Severities, and escaping of untrusted text.

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

/// Most bytes of a line of the error log, as in nginx (`NGX_MAX_ERROR_STR`).
pub(crate) const LONGEST: usize = 2048;

/// A client's bytes, escaped for a line of the error log: no more of them than it can have.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let mut out = String::with_capacity(bytes.len().min(LONGEST));
    for byte in bytes {
        if out.len() >= LONGEST {
            break;
        }
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                out.push_str("\\x");
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
            _ => out.push(char::from(*byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_part_of_a_line_is_escaped() {
        assert_eq!(shown(b"a\"\\\n\x7f\xaf~ "), "a\\x22\\x5C\\x0A\\x7F\\xAF~ ");
    }

    #[test]
    fn no_more_is_shown_than_a_line_can_have() {
        assert_eq!(shown(&[b'a'; 3000]).len(), LONGEST);
        let escaped = shown(&[0x80; 3000]);
        assert!(escaped.len() == LONGEST && escaped.ends_with("\\x80"));
    }
}

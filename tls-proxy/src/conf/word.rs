//! Where a word ends and what its backslashes mean, byte by byte as nginx
//! reads it.

use super::Position;

/// The word being read.
pub(super) struct Reading {
    /// Its first byte, after the quote if there is one.
    pub(super) from: usize,
    pub(super) quote: Option<u8>,
    pub(super) at: Position,
    /// The byte before was a backslash: this one ends nothing.
    escaped: bool,
    /// The byte before was `$`: a `{` belongs to the word.
    dollar: bool,
}

impl Reading {
    pub(super) fn begin(byte: u8, from: usize, at: Position) -> Self {
        let quote = matches!(byte, b'"' | b'\'').then_some(byte);
        let from = from + usize::from(quote.is_some());
        Self {
            from,
            quote,
            at,
            escaped: byte == b'\\',
            dollar: byte == b'$',
        }
    }

    pub(super) fn ends_at(&self, byte: u8) -> bool {
        match self.quote {
            _ if self.escaped => false,
            Some(quote) => byte == quote,
            None if byte == b'{' => !self.dollar,
            None => is_space(byte) || byte == b';',
        }
    }

    pub(super) fn with(mut self, byte: u8) -> Self {
        if self.escaped {
            self.escaped = false;
        } else if byte != b'{' || !self.dollar {
            // Any number of `{` after `$` belongs to the word: nginx reads `${{` so.
            self.escaped = byte == b'\\';
            self.dollar = byte == b'$';
        }
        self
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Replaces the six escapes nginx knows; any other backslash stays.
pub(super) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        let known = match after.first() {
            _ if byte != b'\\' => None,
            Some(&itself @ (b'"' | b'\'' | b'\\')) => Some(itself),
            Some(b't') => Some(b'\t'),
            Some(b'r') => Some(b'\r'),
            Some(b'n') => Some(b'\n'),
            _ => None,
        };
        out.push(known.unwrap_or(byte));
        rest = after
            .get(usize::from(known.is_some())..)
            .unwrap_or_default();
    }
    out
}

//! Sets of bytes, which is what one character of a pattern matches.

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    /// The bytes for which `holds` is true.
    pub(super) fn of(holds: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        (0..=u8::MAX)
            .filter(|byte| holds(*byte))
            .for_each(|byte| set.add(byte));
        set
    }

    pub(super) fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own |= other;
        }
    }

    pub(super) fn inverted(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    /// With the other case of every letter in it.
    pub(super) fn caseless(self) -> Self {
        Self::of(|byte| {
            self.has(byte)
                || self.has(byte.to_ascii_lowercase())
                || self.has(byte.to_ascii_uppercase())
        })
    }

    /// Its runs of neighbours, from and to.
    pub(super) fn ranges(&self) -> Vec<(u8, u8)> {
        let mut runs: Vec<(u8, u8)> = Vec::new();
        for byte in (0..=u8::MAX).filter(|byte| self.has(*byte)) {
            match runs.last_mut() {
                Some((_, to)) if byte - *to == 1 => *to = byte,
                _ => runs.push((byte, byte)),
            }
        }
        runs
    }
}

/// What `\d`, `\H` and their like stand for.
pub(super) fn of_escape(letter: u8) -> Option<ByteSet> {
    let set = match letter.to_ascii_lowercase() {
        b'd' => ByteSet::of(|byte| byte.is_ascii_digit()),
        b'w' => ByteSet::of(is_word),
        b's' => ByteSet::of(is_space),
        // Beyond ASCII PCRE knows the no-break space and the next line.
        b'h' => ByteSet::of(|byte| matches!(byte, b'\t' | b' ' | 0xa0)),
        b'v' => ByteSet::of(|byte| matches!(byte, b'\n'..=b'\r' | 0x85)),
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() {
        set.inverted()
    } else {
        set
    })
}

/// What `[:alpha:]` and its like stand for.
pub(super) fn of_class(name: &[u8]) -> Option<ByteSet> {
    Some(match name {
        b"alpha" => ByteSet::of(|byte| byte.is_ascii_alphabetic()),
        b"lower" => ByteSet::of(|byte| byte.is_ascii_lowercase()),
        b"upper" => ByteSet::of(|byte| byte.is_ascii_uppercase()),
        b"alnum" => ByteSet::of(|byte| byte.is_ascii_alphanumeric()),
        b"ascii" => ByteSet::of(|byte| byte.is_ascii()),
        b"blank" => ByteSet::of(|byte| matches!(byte, b' ' | b'\t')),
        b"cntrl" => ByteSet::of(|byte| byte.is_ascii_control()),
        b"digit" => ByteSet::of(|byte| byte.is_ascii_digit()),
        b"graph" => ByteSet::of(|byte| byte.is_ascii_graphic()),
        b"print" => ByteSet::of(|byte| byte == b' ' || byte.is_ascii_graphic()),
        b"punct" => ByteSet::of(|byte| byte.is_ascii_punctuation()),
        b"space" => ByteSet::of(is_space),
        b"word" => ByteSet::of(is_word),
        b"xdigit" => ByteSet::of(|byte| byte.is_ascii_hexdigit()),
        _ => return None,
    })
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_as_long_as_they_can_be() {
        let set = of_escape(b'w').expect("known");
        assert_eq!(
            set.ranges(),
            [(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')]
        );
        assert_eq!(ByteSet::default().inverted().ranges(), [(0, 255)]);
    }
}

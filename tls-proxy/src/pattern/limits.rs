//! Bounds on a match, since clients choose its subject: written into the pattern, see
//! pcre2pattern(3), "Setting match resource limits".

/// Steps of PCRE2 in one match, some tens of milliseconds; and the memory for backtracking, in KiB:
/// a pod may have 10 MiB.
///
/// The limit on memory bounds the depth, too.
const LIMITS: &str = "(*LIMIT_MATCH=1000000)(*LIMIT_HEAP=1024)";

/// A pattern with our limits in it.
pub(super) struct Limited {
    pub(super) text: String,
    at: usize,
}

/// Writes our limits into a pattern: in front, but behind limits of its own,
/// of which PCRE2 takes the last.
pub(super) fn insert(pattern: &str) -> Limited {
    let mut at = 0;
    let mut end = 0;
    while let Some(item) = first_setting(&pattern[end..]) {
        end += item.len();
        if item.starts_with("(*LIMIT_") {
            at = end;
        }
    }
    let (before, behind) = pattern.split_at(at);
    let text = [before, LIMITS, behind].concat();
    Limited { text, at }
}

/// What looks like `(*UTF)` or `(*LIMIT_HEAP=1)` at the beginning.
fn first_setting(pattern: &str) -> Option<&str> {
    let body = pattern.strip_prefix("(*")?;
    let other = |byte: u8| !matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'=');
    let length = body.bytes().position(other)?;
    let whole = "(*".len() + length + ")".len();
    body[length..].starts_with(')').then(|| &pattern[..whole])
}

impl Limited {
    /// The offset in the pattern as it was written.
    pub(super) fn offset_in_original(&self, offset: usize) -> usize {
        match offset.checked_sub(self.at) {
            Some(behind) => self.at + behind.saturating_sub(LIMITS.len()),
            None => offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stand_behind_those_of_the_pattern() {
        for (pattern, before) in [
            ("a", ""),
            ("", ""),
            ("(*UTF)a", ""),
            ("(*UTF)(*LIMIT_MATCH=9)(*UCP)a", "(*UTF)(*LIMIT_MATCH=9)"),
            (
                "(*LIMIT_HEAP=1)(*LIMIT_HEAP=2)",
                "(*LIMIT_HEAP=1)(*LIMIT_HEAP=2)",
            ),
            ("(*LIMIT_HEAP=1", ""),
            ("a(*LIMIT_HEAP=1)", ""),
            ("(*é", ""),
        ] {
            let limited = insert(pattern);
            let (own, rest) = limited.text.split_once(LIMITS).expect("is in there");
            assert_eq!((own, [own, rest].concat().as_str()), (before, pattern));
            for at in 0..own.len() {
                assert_eq!(limited.offset_in_original(at), at);
            }
            let end = limited.offset_in_original(limited.text.len());
            assert_eq!(end, pattern.len());
        }
    }
}

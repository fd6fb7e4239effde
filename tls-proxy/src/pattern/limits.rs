//! Bounds on a match, since clients choose its subject: written into the pattern, see
//! pcre2pattern(3), "Setting match resource limits".

/// Steps of PCRE2 at each place of the subject where a match may begin: it counts them anew there.
/// Most searches take fewer.
const FIRST: &str = "(*LIMIT_MATCH=200)";

/// The same where there is no second search.
const ONLY: &str = "(*LIMIT_MATCH=5000)";

/// Steps of PCRE2 in a whole search, some tens of milliseconds.
const WHOLE: &str = "(*LIMIT_MATCH=1000000)";

/// The memory for backtracking, KiB: a pod may have 10 MiB. It bounds the depth, too.
const MEMORY: &str = "(*LIMIT_HEAP=1024)";

/// A pattern with our limits in it.
pub(super) struct Limited {
    pub(super) text: String,
    at: usize,
    length: usize,
}

/// Writes the limits of a first search, which may be the only one, into a pattern: in front, but
/// behind limits of its own, of which PCRE2 takes the last.
pub(super) fn insert(pattern: &str, is_only: bool) -> Limited {
    let mut at = 0;
    let mut end = 0;
    while let Some(item) = first_setting(&pattern[end..]) {
        end += item.len();
        if item.starts_with("(*LIMIT_") {
            at = end;
        }
    }
    let (before, behind) = pattern.split_at(at);
    let limits = [if is_only { ONLY } else { FIRST }, MEMORY].concat();
    Limited {
        text: [before, &limits, behind].concat(),
        at,
        length: limits.len(),
    }
}

/// The pattern as one match that begins at the subject's first byte and finds the place itself, so
/// that its limit is one for all places; and the same for one that ends in a comment. `None` if it
/// would not find the same: where it refers to itself as a whole, or says itself where a search
/// goes on.
pub(super) fn of_whole_search(pattern: &str) -> Option<[String; 2]> {
    const PLAIN: [&str; 5] = ["(*UTF)", "(*UTF8)", "(*UCP)", "(*LIMIT_", "(*NO_"];
    const OTHERS: [&str; 5] = ["(*", "(?R", "(?0", r"\g<0", r"\g'0"];
    let mut end = 0;
    while let Some(item) = first_setting(&pattern[end..]) {
        if !PLAIN.iter().any(|plain| item.starts_with(plain)) {
            return None;
        }
        end += item.len();
    }
    let (settings, rest) = pattern.split_at(end);
    if OTHERS.iter().any(|other| rest.contains(other)) {
        return None;
    }
    // `\E` ends a quotation that is still open, and is ignored else.
    let ending = |end: &str| {
        let begin = r"\A(?s:.*?)\K(?:";
        [settings, WHOLE, MEMORY, begin, rest, end].concat()
    };
    Some([ending(r"\E)"), ending("\n)")])
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
            Some(behind) => self.at + behind.saturating_sub(self.length),
            None => offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stand_behind_those_of_the_pattern() {
        let limits = [FIRST, MEMORY].concat();
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
            let limited = insert(pattern, false);
            let (own, rest) = limited
                .text
                .split_once(limits.as_str())
                .expect("is in there");
            assert_eq!((own, [own, rest].concat().as_str()), (before, pattern));
            for at in 0..own.len() {
                assert_eq!(limited.offset_in_original(at), at);
            }
            let end = limited.offset_in_original(limited.text.len());
            assert_eq!(end, pattern.len());
        }
    }
}

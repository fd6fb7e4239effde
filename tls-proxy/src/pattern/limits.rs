//! Bounds on a match, since clients choose its subject: written into the pattern, see
//! pcre2pattern(3), "Setting match resource limits".

/// How many steps of PCRE2 a search may take at each place of the subject where a match may begin: it
/// counts them anew there.
#[derive(Clone, Copy, Debug)]
pub(super) enum First {
    /// In a short subject.
    Short,
    /// In a long one.
    Long,
    /// In a short one, by a pattern for which there is no search as a whole.
    OnlyShort,
    /// In a long one, by such a pattern.
    OnlyLong,
    /// In one that is too long for a search as a whole.
    Huge,
}

impl First {
    /// For a short subject or a long one, where there is a search as a whole or not.
    pub(super) const fn of(is_short: bool, has_whole: bool) -> Self {
        match (is_short, has_whole) {
            (true, true) => Self::Short,
            (false, true) => Self::Long,
            (true, false) => Self::OnlyShort,
            (false, false) => Self::OnlyLong,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Short => "(*LIMIT_MATCH=2000)",
            Self::Long => "(*LIMIT_MATCH=200)",
            Self::OnlyShort => "(*LIMIT_MATCH=5000)",
            Self::OnlyLong => "(*LIMIT_MATCH=500)",
            Self::Huge => "(*LIMIT_MATCH=1000000)",
        }
    }
}

/// Steps of PCRE2 in a whole search: a hundred milliseconds or two.
pub(super) const WHOLE: &str = "(*LIMIT_MATCH=6000000)";
/// The same while the worker has no time for more: some milliseconds.
pub(super) const BRIEF: &str = "(*LIMIT_MATCH=100000)";

/// The memory for backtracking, KiB: a pod may have 10 MiB. It bounds the depth, too.
const MEMORY: &str = "(*LIMIT_HEAP=1024)";

/// A pattern with our limits in it.
pub(super) struct Limited {
    pub(super) text: String,
    at: usize,
    length: usize,
}

/// Writes the limits of a first search into a pattern: in front, but behind limits of its own, of
/// which PCRE2 takes the last.
pub(super) fn insert(pattern: &str, first: First) -> Limited {
    let mut at = 0;
    let mut end = 0;
    while let Some(item) = first_setting(&pattern[end..]) {
        end += item.len();
        if item.starts_with("(*LIMIT_") {
            at = end;
        }
    }
    let (before, behind) = pattern.split_at(at);
    let limits = [first.text(), MEMORY].concat();
    Limited {
        text: [before, &limits, behind].concat(),
        at,
        length: limits.len(),
    }
}

/// The pattern, with so many `steps`, as one match that begins at the subject's first byte and finds
/// the place itself, so that its limit is one for all places; and the same for one that ends in a
/// comment. `None` if it would not find the same: where it refers to itself as a whole, or says itself
/// where a search goes on.
pub(super) fn of_whole_search(pattern: &str, steps: &str) -> Option<[String; 2]> {
    const PLAIN: [&str; 5] = ["(*UTF)", "(*UTF8)", "(*UCP)", "(*LIMIT_", "(*NO_"];
    const OTHERS: [&str; 4] = ["(?R", "(?0", r"\g<0", r"\g'0"];
    let mut end = 0;
    while let Some(item) = first_setting(&pattern[end..]) {
        if !PLAIN.iter().any(|plain| item.starts_with(plain)) {
            return None;
        }
        end += item.len();
    }
    let (settings, rest) = pattern.split_at(end);
    let is_verb =
        |(_, behind): (&str, &str)| behind.starts_with(|it| matches!(it, 'A'..='Z' | ':'));
    let mut stars = rest
        .match_indices("(*")
        .map(|(at, _)| rest.split_at(at + "(*".len()));
    if stars.any(is_verb) || OTHERS.iter().any(|other| rest.contains(other)) {
        return None;
    }
    let places = match begins_with_anything(rest) {
        true => r"\A(?s:.*?)(?<![^\n])\K(?:",
        false => r"\A(?s:.*?)\K(?:",
    };
    let ending = |end: &str| [settings, steps, MEMORY, places, rest, end].concat();
    // `\E` ends a quotation that is still open, and is ignored else.
    Some([ending(r"\E)"), ending("\n)")])
}

/// Whether a match must begin at the beginning of a line, since the pattern begins with `.*`: what
/// PCRE2 knows, too. Only of plain patterns, for it must not be said of another.
fn begins_with_anything(pattern: &str) -> bool {
    let mut rest = pattern.strip_prefix("(?i)").unwrap_or(pattern);
    let mut depth = 0_usize;
    while let Some(inner) = rest.strip_prefix("(?:").or_else(|| rest.strip_prefix('(')) {
        rest = inner;
        depth += 1;
    }
    let Some(rest) = rest
        .strip_prefix(".*")
        .filter(|rest| !rest.starts_with('+'))
    else {
        return false;
    };
    let (mut outer, mut inner) = (depth, 0_usize);
    let mut bytes = rest.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            // No references, quotations and the like.
            b'\\' => match bytes.next() {
                Some(b'b' | b'd' | b's' | b'w' | b'D' | b'S' | b'W') => {}
                Some(next) if next.is_ascii_punctuation() => {}
                _ => return false,
            },
            b'[' => {
                if bytes.peek() == Some(&b'^') {
                    bytes.next();
                }
                let mut members = 0;
                for member in bytes.by_ref().take_while(|member| *member != b']') {
                    members += 1;
                    if b"[()\\|".contains(&member) {
                        return false;
                    }
                }
                if members == 0 {
                    return false;
                }
            }
            b'(' => {
                // No options, conditions and assertions.
                if matches!(bytes.peek(), Some(b'?' | b'*')) {
                    return false;
                }
                inner += 1;
            }
            b')' if inner > 0 => inner -= 1,
            b')' => {
                outer = outer.saturating_sub(1);
                // A group that may be left out is no beginning.
                if bytes.peek().is_some_and(|next| b"?*+{".contains(next)) {
                    return false;
                }
            }
            b'|' if inner == 0 => return false,
            b'#' => return false,
            _ => {}
        }
    }
    outer == 0 && inner == 0
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
    fn what_begins_with_anything_is_known() {
        for (pattern, expected) in [
            (".*bot", true),
            ("(?i)(.*)(session|sid)=([^;]+)", true),
            (r"((?:.*?)\.(php|asp)$)", true),
            (".*", true),
            (".*(a|b).*", true),
            ("(?i).*[[:space:](].*select|/etc", false),
            (".*select[^](]|/etc", false),
            (r".*[\](]a|b", false),
            (r".*\c(a|b", false),
            (r"(.*a)\E?b", false),
            (r".*\.(php[0-9]?|a(s)p)$", true),
            (".*(?i:a)", false),
            (".*a|b", false),
            ("(.*a|b)c", false),
            ("(.*a)?b", false),
            ("(.*a)*b", false),
            (".*+a", false),
            (".+a", false),
            ("a.*", false),
            (r"(.*)a\1", false),
            ("(?s).*a", false),
            (".*(?=a)", false),
            ("[.*]a", false),
            ("(.*[(|]a)b|c", false),
            (".*[]|]a|b", false),
            (r"\(.*a", false),
        ] {
            assert_eq!(begins_with_anything(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn limits_stand_behind_those_of_the_pattern() {
        let limits = [First::Short.text(), MEMORY].concat();
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
            let limited = insert(pattern, First::Short);
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

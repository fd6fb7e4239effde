//! Finds one of several texts in a body that comes in pieces, ignoring case: the first position of
//! any of them, and of those at the same position the first in the list, as nginx does.

use bytes::Bytes;

/// Texts that are searched for together.
#[derive(Debug)]
pub(super) struct Search {
    /// In lower case, none of them empty.
    texts: Box<[Bytes]>,
    shortest: usize,
    longest: usize,
    /// By the byte at `shortest` - 1 from a position: how far the search may skip; 0 if a text may
    /// begin there.
    skips: Box<[u8; 256]>,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SearchResult {
    /// A text was found.
    Whole { start: usize, which: usize },
    /// From here on, the rest may be the beginning of a text.
    Beginning(usize),
    /// No text begins before this position.
    Nothing(usize),
}

impl SearchResult {
    /// How many bytes before it belong to no text.
    pub(super) fn start(self) -> usize {
        match self {
            Self::Whole { start, .. } | Self::Beginning(start) | Self::Nothing(start) => start,
        }
    }
}

/// How a text compares with the bytes at a position.
enum Match {
    Whole,
    Beginning,
    None,
}

impl Search {
    /// A search for texts in lower case, one at least and none of them empty.
    pub(super) fn new(texts: Vec<Bytes>) -> Self {
        let lengths = || texts.iter().map(Bytes::len);
        let shortest = lengths().min().unwrap_or(1);
        let longest = lengths().max().unwrap_or(1);
        let farthest = u8::try_from(shortest).unwrap_or(u8::MAX);
        let mut skips = Box::new([farthest; 256]);
        for text in &texts {
            let window = text[..shortest].iter().rev();
            for (byte, distance) in window.zip(0..farthest) {
                let skip = &mut skips[usize::from(*byte)];
                *skip = distance.min(*skip);
            }
        }
        Self {
            texts: texts.into(),
            shortest,
            longest,
            skips,
        }
    }

    /// The length of the longest text, bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The length of all texts together, bytes.
    pub(super) fn size(&self) -> usize {
        self.texts.iter().map(Bytes::len).sum()
    }

    /// The length of one text, bytes.
    pub(super) fn length(&self, which: usize) -> usize {
        self.texts[which].len()
    }

    /// The first text in `held` followed by `data`, but for those that `passed` marks. While `held`
    /// is not empty, only texts that begin in it are searched for.
    pub(super) fn find(&self, held: &[u8], data: &[u8], passed: &[bool]) -> SearchResult {
        if held.is_empty() {
            return self.scan(data.len(), data.len(), passed, |at| data[at]);
        }
        let at = |at: usize| match at.checked_sub(held.len()) {
            None => held[at],
            Some(at) => data[at],
        };
        self.scan(held.len() + data.len(), held.len(), passed, at)
    }

    /// The first text that begins before `until`, in `length` bytes.
    fn scan(
        &self,
        length: usize,
        until: usize,
        passed: &[bool],
        at: impl Fn(usize) -> u8,
    ) -> SearchResult {
        let mut start = 0;
        while start < until {
            let last = start + self.shortest - 1;
            if last < length {
                let byte = at(last).to_ascii_lowercase();
                let skip = self.skips[usize::from(byte)];
                if skip > 0 {
                    start += usize::from(skip);
                    continue;
                }
            }
            let texts = self.texts.iter().zip(passed).enumerate();
            for (which, (text, _)) in texts.filter(|(_, (_, passed))| !**passed) {
                match compare(text, length - start, |offset| at(start + offset)) {
                    Match::Whole => return SearchResult::Whole { start, which },
                    Match::Beginning => return SearchResult::Beginning(start),
                    Match::None => {}
                }
            }
            start += 1;
        }
        SearchResult::Nothing(until)
    }
}

/// Compares a text with the bytes at a position, `length` bytes before the end.
fn compare(text: &[u8], length: usize, at: impl Fn(usize) -> u8) -> Match {
    let known = text.len().min(length);
    let is_same = |(offset, byte): (usize, &u8)| at(offset).to_ascii_lowercase() == *byte;
    if !text[..known].iter().enumerate().all(is_same) {
        Match::None
    } else if known < text.len() {
        Match::Beginning
    } else {
        Match::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(texts: &[&'static str]) -> Search {
        Search::new(texts.iter().map(|text| Bytes::from(*text)).collect())
    }

    #[test]
    fn the_first_place_counts_and_then_the_first_text() {
        let find = |texts: &[&'static str], data: &str| {
            search(texts).find(b"", data.as_bytes(), &vec![false; texts.len()])
        };
        let whole = |start, which| SearchResult::Whole { start, which };
        assert_eq!(find(&["bc", "abcd"], "xabcd"), whole(1, 1));
        assert_eq!(find(&["abcd", "abc"], "xABCe"), whole(1, 1));
        assert_eq!(find(&["abc", "abcd"], "abcd"), whole(0, 0));
        assert_eq!(find(&["abcd", "bc"], "xabc"), SearchResult::Beginning(1));
        assert_eq!(find(&["abcd", "xyz"], "xabe"), SearchResult::Nothing(4));
        assert_eq!(find(&["abcd"], "abca"), SearchResult::Beginning(3));
        assert_eq!(find(&["a"], ""), SearchResult::Nothing(0));
    }

    /// No position is skipped wrongly, whatever the lengths of the texts.
    #[test]
    fn what_is_skipped_holds_nothing() {
        let texts = ["aab", "baa", "abab"];
        for number in 0_u32..1 << 9 {
            let data: Vec<u8> = (0..9).map(|bit| b'a' + (number >> bit & 1) as u8).collect();
            let found = search(&texts).find(b"", &data, &[false; 3]);
            let plain = (0..9).find_map(|start| {
                texts.iter().enumerate().find_map(|(which, text)| {
                    let rest = &data[start..];
                    if rest.starts_with(text.as_bytes()) {
                        Some(SearchResult::Whole { start, which })
                    } else {
                        text.as_bytes()
                            .starts_with(rest)
                            .then_some(SearchResult::Beginning(start))
                    }
                })
            });
            assert_eq!(found, plain.unwrap_or(SearchResult::Nothing(9)), "{data:?}");
            for held in 1..8 {
                let split = search(&texts).find(&data[..held], &data[held..], &[false; 3]);
                let expected = match found.start() < held {
                    true => found,
                    false => SearchResult::Nothing(held),
                };
                assert_eq!(split, expected, "{data:?} {held}");
            }
        }
    }
}

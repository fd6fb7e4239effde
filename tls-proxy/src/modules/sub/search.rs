//! Finds one of several texts in a body that comes in pieces, ignoring case: the first position of
//! any of them, and of those at the same position the first in the list, as nginx does.
//!
//! What is known of the bytes of a text is kept, as in the algorithm of Knuth, Morris and Pratt: clients
//! may choose texts and bodies, and no byte is compared more than about twice with a long text.

use std::sync::OnceLock;

use bytes::Bytes;

/// If no more bytes of a text are known than these, they are compared again.
const SHORT: usize = 32;

/// Texts that are searched for together.
#[derive(Debug)]
pub(super) struct Search {
    texts: Box<[Text]>,
    shortest: usize,
    /// By the byte at `shortest` - 1 from a position: how far the search may skip; 0 if a text may
    /// begin there.
    skips: Box<[u8; 256]>,
}

/// A text that is searched for.
#[derive(Debug)]
struct Text {
    /// In lower case, not empty.
    text: Bytes,
    /// For each of its beginnings, from one byte on: the length of the longest shorter beginning that
    /// it ends with. Made when it is needed, which is rare: it takes four times the text's memory.
    borders: OnceLock<Box<[u32]>>,
}

/// How far a body has been searched.
#[derive(Debug)]
pub(super) struct Progress {
    /// By text.
    places: Box<[Place]>,
    /// How often bytes have been compared.
    compared: usize,
}

/// How far a body has been searched for one text.
#[derive(Clone, Debug, Default)]
struct Place {
    /// The text does not begin before this position.
    start: usize,
    /// How many bytes of the text are known to be there.
    known: usize,
    /// It is no longer searched for.
    passed: bool,
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

/// What is at the place of a text.
enum Match {
    Whole,
    Beginning,
    None,
}

impl Search {
    /// A search for texts in lower case, one at least and none of them empty.
    pub(super) fn new(texts: Vec<Bytes>) -> Self {
        let shortest = texts.iter().map(Bytes::len).min().unwrap_or(1);
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
            texts: texts.into_iter().map(Text::new).collect(),
            shortest,
            skips,
        }
    }

    /// The length of the longest text, bytes.
    pub(super) fn longest(&self) -> usize {
        let lengths = self.texts.iter().map(|text| text.text.len());
        lengths.max().unwrap_or(1)
    }

    /// The memory of all texts together, bytes.
    pub(super) fn size(&self) -> usize {
        let sizes = self.texts.iter();
        sizes
            .map(|text| text.text.len() * (1 + size_of::<u32>()))
            .sum()
    }

    /// The length of one text, bytes.
    pub(super) fn length(&self, which: usize) -> usize {
        self.texts[which].text.len()
    }

    /// The progress at the beginning of a body.
    pub(super) fn begin(&self) -> Progress {
        Progress {
            places: vec![Place::default(); self.texts.len()].into(),
            compared: 0,
        }
    }

    /// The first text in `held` followed by `data`. While `held` is not empty, only texts that begin
    /// in it are searched for.
    pub(super) fn find(&self, progress: &mut Progress, held: &[u8], data: &[u8]) -> SearchResult {
        let input = Input { held, data };
        let end = match held.is_empty() {
            true => data.len(),
            false => held.len(),
        };
        let Progress { places, compared } = progress;
        let mut start = self.skip(&input, 0);
        while start < end {
            let places = self.texts.iter().zip(places.iter_mut()).enumerate();
            for (which, (text, place)) in places.filter(|(_, (_, place))| !place.passed) {
                match text.compare(place, start, &input, compared) {
                    Match::Whole => return SearchResult::Whole { start, which },
                    Match::Beginning => return SearchResult::Beginning(start),
                    Match::None => {}
                }
            }
            start = self.skip(&input, start + 1);
        }
        SearchResult::Nothing(end)
    }

    /// The first position from `start` on where a text may begin.
    fn skip(&self, input: &Input<'_>, mut start: usize) -> usize {
        while let Some(byte) = input.at(start + self.shortest - 1) {
            match self.skips[usize::from(byte.to_ascii_lowercase())] {
                0 => break,
                skip => start += usize::from(skip),
            }
        }
        start
    }

    /// The first bytes are no longer part of the input.
    pub(super) fn advance(&self, progress: &mut Progress, size: usize) {
        for (text, place) in self.texts.iter().zip(&mut progress.places) {
            text.reach(place, size);
            place.start -= size;
        }
    }
}

impl Progress {
    /// One text is no longer searched for.
    pub(super) fn pass(&mut self, which: usize) {
        self.places[which].passed = true;
    }

    /// How often bytes have been compared since this was last asked.
    pub(super) fn take_compared(&mut self) -> usize {
        std::mem::take(&mut self.compared)
    }
}

impl Text {
    fn new(text: Bytes) -> Self {
        Self {
            text,
            borders: OnceLock::new(),
        }
    }

    #[cold]
    fn borders(&self) -> Box<[u32]> {
        let text = &self.text;
        let mut borders = vec![0; text.len()];
        let mut border = 0;
        for at in 1..text.len() {
            while border > 0 && text[at] != text[border] {
                border = borders[border - 1] as usize;
            }
            border += usize::from(text[at] == text[border]);
            borders[at] = border as u32;
        }
        borders.into()
    }

    /// Compares the text with the bytes at a position, which is not before that of the last time.
    fn compare(
        &self,
        place: &mut Place,
        start: usize,
        input: &Input<'_>,
        compared: &mut usize,
    ) -> Match {
        *compared += 1;
        self.reach(place, start);
        while place.start == start {
            let Some(own) = self.text.get(place.known) else {
                return Match::Whole;
            };
            let Some(byte) = input.at(start + place.known) else {
                return Match::Beginning;
            };
            *compared += 1;
            match byte.to_ascii_lowercase() == *own {
                true => place.known += 1,
                false => self.fall_back(place),
            }
        }
        Match::None
    }

    /// Goes on to a position, or to the first one behind it where the text may begin.
    fn reach(&self, place: &mut Place, start: usize) {
        while place.start < start {
            match place.known {
                0 => place.start = start,
                _ => self.fall_back(place),
            }
        }
    }

    /// Goes on to the next position where the text may begin, after what is known.
    fn fall_back(&self, place: &mut Place) {
        let border = match place.known {
            0 => return place.start += 1,
            1..=SHORT => {
                place.start += 1;
                return place.known = 0;
            }
            known => self.borders.get_or_init(|| self.borders())[known - 1] as usize,
        };
        place.start += place.known - border;
        place.known = border;
    }
}

/// What is searched, in two pieces.
struct Input<'a> {
    held: &'a [u8],
    data: &'a [u8],
}

impl Input<'_> {
    fn at(&self, at: usize) -> Option<u8> {
        match at.checked_sub(self.held.len()) {
            None => Some(self.held[at]),
            Some(at) => self.data.get(at).copied(),
        }
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
            let search = search(texts);
            search.find(&mut search.begin(), b"", data.as_bytes())
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

    /// All texts in a body: position and number; and how much is held at the end.
    type Found = (Vec<(usize, usize)>, usize);

    /// Searches a body that comes in such pieces, as a substitution does.
    fn all(search: &Search, pieces: &[&[u8]], once: bool) -> (Found, usize) {
        let (mut progress, mut found, mut held) = (search.begin(), Vec::new(), Vec::new());
        let mut position = 0;
        for piece in pieces {
            let mut data = *piece;
            while !data.is_empty() {
                let result = search.find(&mut progress, &held, data);
                let mut size = result.start();
                if let SearchResult::Whole { which, .. } = result {
                    found.push((position + size, which));
                    size += search.length(which);
                    if once {
                        progress.pass(which);
                    }
                }
                search.advance(&mut progress, size);
                position += size;
                let of_held = size.min(held.len());
                held.drain(..of_held);
                data = &data[size - of_held..];
                if let SearchResult::Beginning(_) = result {
                    held.extend_from_slice(data);
                    break;
                }
            }
        }
        ((found, held.len()), progress.compared)
    }

    /// The same for a whole body, by comparing every text at every position.
    fn plainly(texts: &[&str], data: &[u8], once: bool) -> Found {
        let (mut found, mut passed) = (Vec::new(), vec![false; texts.len()]);
        let mut start = 0;
        while start < data.len() {
            let rest = &data[start..];
            let is_here = |text: &&str| {
                let known = text.len().min(rest.len());
                text.as_bytes()[..known] == rest[..known]
            };
            let mut places = texts.iter().enumerate();
            match places.find(|(which, text)| !passed[*which] && is_here(text)) {
                Some((_, text)) if text.len() > rest.len() => return (found, rest.len()),
                Some((which, text)) => {
                    found.push((start, which));
                    passed[which] = once;
                    start += text.len();
                }
                None => start += 1,
            }
        }
        (found, 0)
    }

    #[test]
    fn every_text_is_found_however_the_body_comes() {
        const LENGTH: usize = 11;
        for texts in [
            &["aab", "baa", "abab"][..],
            &["aaab", "a", "ab"],
            &["abaababb", "ba", "b"],
            &["babab"],
        ] {
            let search = search(texts);
            for number in 0_u32..1 << LENGTH {
                let letters = (0..LENGTH).map(|bit| b'a' + (number >> bit & 1) as u8);
                let data: Vec<u8> = letters.collect();
                for once in [false, true] {
                    let expected = plainly(texts, &data, once);
                    for first in 0..LENGTH {
                        let pieces = [&data[..first], &data[first..]];
                        let found = all(&search, &pieces, once).0;
                        assert_eq!(found, expected, "{texts:?} {data:?} {first} {once}");
                    }
                    let bytes: Vec<&[u8]> = data.chunks(1).collect();
                    let found = all(&search, &bytes, once).0;
                    assert_eq!(found, expected, "{texts:?} {data:?} {once}");
                }
            }
        }
    }

    #[test]
    fn no_byte_is_compared_again_and_again() {
        let long = |end: &str| Bytes::from(format!("{}{end}", "a".repeat(790)));
        let data = vec![b'A'; 20_000];
        for texts in [
            vec![long("ba")],
            vec![long("b"), "a".into()],
            vec!["ab".into(), long("c"), long("ac"), long("aaab")],
        ] {
            let most = 4 * data.len() * texts.len();
            let search = Search::new(texts);
            for size in [data.len(), 1000, 1] {
                let pieces: Vec<&[u8]> = data.chunks(size).collect();
                let (found, compared) = all(&search, &pieces, false);
                assert!(compared <= most, "{compared} {found:?}");
            }
        }
    }
}

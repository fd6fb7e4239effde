//! Header fields in their original order and case.
//!
//! One buffer holds the text, a list of spans the fields; parsing a head copies nothing.

use bytes::Bytes;

/// The header or trailer fields of one message (RFC 9110, section 6.3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    text: Bytes,
    spans: Vec<Span>,
    /// Most lookups are for absent fields.
    names: FieldNameFilter,
    /// Two fields may have the same name; this is rare.
    repeats: bool,
}

/// The position of a field in the text: byte offsets of name and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) name: (u32, u32),
    pub(crate) value: (u32, u32),
}

/// The fields of a trailer section in HTTP/1 form: names and values.
pub(crate) fn of_lines(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// A computed value as that of a field, which it must not end: with blanks for CR, LF and NUL (RFC
/// 9110, section 5.5).
pub(crate) fn value_of(value: Bytes) -> Bytes {
    if memchr::memchr3(b'\r', b'\n', 0, &value).is_none() {
        return value;
    }
    let one_line = value.iter().map(|byte| match byte {
        b'\r' | b'\n' | 0 => b' ',
        byte => *byte,
    });
    one_line.collect()
}

impl Fields {
    /// The fields of a head that was parsed in place.
    pub(crate) fn new(text: Bytes, spans: Vec<Span>) -> Self {
        let (mut names, mut repeats) = (FieldNameFilter::default(), false);
        for span in &spans {
            let bit = FieldNameFilter::bit(slice_of(&text, span.name));
            repeats |= names.0 & bit != 0;
            names.0 |= bit;
        }
        Self {
            text,
            spans,
            names,
            repeats,
        }
    }

    /// Fields for tests.
    #[cfg(test)]
    pub(crate) fn collect<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut text = Vec::with_capacity(512);
        let mut spans = Vec::with_capacity(16);
        for (name, value) in fields {
            let name = append(&mut text, name);
            let value = append(&mut text, value);
            spans.push(Span { name, value });
        }
        Self::new(text.into(), spans)
    }

    /// The number of fields.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// `false` if certainly none has a name in the set.
    #[inline]
    pub(crate) fn may_have_any(&self, names: FieldNameFilter) -> bool {
        self.names.0 & names.0 != 0
    }

    /// Whether there are several of this name, in any case.
    #[inline]
    pub(crate) fn repeats(&self, name: &[u8]) -> bool {
        self.repeats && self.all(name).nth(1).is_some()
    }

    /// Drops all but the first fields.
    pub(crate) fn truncate(&mut self, fields: usize) {
        self.spans.truncate(fields);
    }

    /// The fields that repeat one of these names, whose set is `names`: index and name, in order.
    pub(crate) fn repeated<'a>(
        &'a self,
        of: &'a [&'a str],
        names: FieldNameFilter,
    ) -> impl Iterator<Item = (usize, &'a str)> {
        let spans = match self.repeats && self.may_repeat_any(names) {
            true => &self.spans[..],
            false => &[],
        };
        let mut repeated = repeated(of, names);
        spans
            .iter()
            .enumerate()
            .filter_map(move |(index, span)| Some((index, repeated(self.at(span.name))?)))
    }

    /// Keeps only the first field of each of these names, whose set is `names`; returns the
    /// others, in order.
    pub(crate) fn keep_first(&mut self, of: &[&str], names: FieldNameFilter) -> Self {
        if !self.repeats || !self.may_repeat_any(names) {
            return Self::default();
        }
        let mut repeated = repeated(of, names);
        let mut others = Vec::new();
        self.spans.retain(|span| {
            let is_first = repeated(slice_of(&self.text, span.name)).is_none();
            if !is_first {
                others.push(*span);
            }
            is_first
        });
        Self::new(self.text.clone(), others)
    }

    /// `false` if certainly none of these names occurs twice.
    fn may_repeat_any(&self, names: FieldNameFilter) -> bool {
        let mut seen = 0;
        self.spans.iter().any(|span| {
            let bit = FieldNameFilter::bit(self.at(span.name)) & names.0;
            let again = seen & bit != 0;
            seen |= bit;
            again
        })
    }

    /// All fields, in order, as (name, value).
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans
            .iter()
            .map(|span| (self.at(span.name), self.at(span.value)))
    }

    /// The first value of `name`, in any case.
    #[inline]
    pub(crate) fn first(&self, name: &[u8]) -> Option<&[u8]> {
        // After inlining this is a constant.
        match self.names.may_have(name) {
            true => self.find(name),
            false => None,
        }
    }

    /// The same as a shared slice of the text.
    pub(crate) fn first_slice(&self, name: &[u8]) -> Option<Bytes> {
        Some(self.text.slice_ref(self.first(name)?))
    }

    fn find(&self, name: &[u8]) -> Option<&[u8]> {
        let mut spans = self.spans.iter();
        let span = spans.find(|span| self.at(span.name).eq_ignore_ascii_case(name))?;
        Some(self.at(span.value))
    }

    /// Every value of `name`, in any case, in order.
    #[inline]
    pub(crate) fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let spans = match self.names.may_have(name) {
            true => &self.spans[..],
            false => &[],
        };
        spans
            .iter()
            .filter(move |span| self.at(span.name).eq_ignore_ascii_case(name))
            .map(|span| self.at(span.value))
    }

    /// Every field as shared slices of the text, in order.
    pub(crate) fn slices(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.spans
            .iter()
            .map(|span| (self.slice(span.name), self.slice(span.value)))
    }

    fn at(&self, place: (u32, u32)) -> &[u8] {
        slice_of(&self.text, place)
    }

    fn slice(&self, (start, end): (u32, u32)) -> Bytes {
        self.text.slice(start as usize..end as usize)
    }
}

/// Tells of the names of successive fields whether they repeat one of these, whose set is `names`,
/// and which.
fn repeated<'a>(of: &'a [&'a str], names: FieldNameFilter) -> impl FnMut(&[u8]) -> Option<&'a str> {
    let mut seen = 0_u32;
    move |name| {
        if !names.may_have(name) {
            return None;
        }
        let is = |own: &&str| own.as_bytes().eq_ignore_ascii_case(name);
        let known = of.iter().position(is)?;
        let again = seen & 1 << known != 0;
        seen |= 1 << known;
        again.then_some(of[known])
    }
}

fn slice_of(text: &[u8], (start, end): (u32, u32)) -> &[u8] {
    &text[start as usize..end as usize]
}

/// A set of field names that is very cheap to test but may have false positives: one bit
/// stands for all names with the same length, first and last letter, and for some others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FieldNameFilter(u64);

impl FieldNameFilter {
    /// The set of these names.
    pub(crate) const fn of(names: &[&str]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < names.len() {
            set |= Self::bit(names[at].as_bytes());
            at += 1;
        }
        Self(set)
    }

    /// `false` if the name, in any case, is certainly not in the set.
    #[inline]
    pub(crate) const fn may_have(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name) != 0
    }

    #[inline]
    const fn bit(name: &[u8]) -> u64 {
        /// Makes an upper-case letter lower case, and maps other characters to one each.
        const SMALL: u8 = 0x20;
        let [first, .., last] = name else {
            return 1;
        };
        let (first, last) = ((*first | SMALL) as usize, (*last | SMALL) as usize);
        1 << ((name.len() * 7 + first * 3 + last * 13) & 63)
    }
}

impl<'a> FromIterator<&'a [u8]> for FieldNameFilter {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(names: I) -> Self {
        Self(names.into_iter().fold(0, |set, name| set | Self::bit(name)))
    }
}

/// Appends a part to a text; returns its position.
pub(crate) fn append(text: &mut Vec<u8>, part: &[u8]) -> (u32, u32) {
    let start = text.len() as u32;
    text.extend_from_slice(part);
    (start, text.len() as u32)
}

/// The members of a comma-separated list value, without surrounding space
/// (RFC 9110, section 5.6.1).
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// Whether `value` contains `needle`, in any case, as nginx checks `Connection`.
pub(crate) fn contains(value: &[u8], needle: &[u8]) -> bool {
    value
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}

/// Whether the field concerns the connection and not the message: a proxy removes it (RFC
/// 9110, section 7.6.1).
#[inline]
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    const HOP_BY_HOP: [&str; 7] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    const NAMES: FieldNameFilter = FieldNameFilter::of(&HOP_BY_HOP);
    let is = |own: &&str| own.as_bytes().eq_ignore_ascii_case(name);
    NAMES.may_have(name) && HOP_BY_HOP.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computed_value_does_not_end_its_field() {
        let of = |value: &'static [u8]| value_of(Bytes::from_static(value));
        assert_eq!(of(b"/a b"), "/a b");
        assert_eq!(of(b"/\r\nX: a\0"), "/  X: a ");
    }

    #[test]
    fn names_are_found_in_any_case_and_keep_their_own() {
        let fields = Fields::collect([(&b"X-Foo"[..], &b"1"[..]), (b"x-foo", b"2")].into_iter());
        assert_eq!(fields.first(b"x-FOO"), Some(&b"1"[..]));
        assert_eq!(fields.all(b"X-Foo").count(), 2);
        assert_eq!(
            fields.iter().next().map(|(name, _)| name),
            Some(&b"X-Foo"[..])
        );
    }

    #[test]
    fn a_set_of_names_has_all_of_them_in_any_case() {
        const SOME: FieldNameFilter = FieldNameFilter::of(&["host", "x-a", "a"]);
        for name in ["host", "HOST", "X-a", "A"] {
            assert!(SOME.may_have(name.as_bytes()), "{name}");
        }
        assert!(!SOME.may_have(b"content-type") && !SOME.may_have(b"te"));
    }

    #[test]
    fn the_first_field_of_a_name_is_kept() {
        const SOME: [&str; 2] = ["expires", "etag"];
        let pairs = [
            ("ETag", "a"),
            ("X", "1"),
            ("etag", "b"),
            ("X", "2"),
            ("ETAG", ""),
        ];
        let bytes = pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut fields = Fields::collect(bytes.into_iter());
        let left_out = fields.keep_first(&SOME, FieldNameFilter::of(&SOME));
        let left_out: Vec<_> = left_out.iter().map(|(_, value)| value).collect();
        assert_eq!(left_out, [&b"b"[..], b""]);
        assert_eq!(fields.len(), 3);
        assert!(fields.repeats(b"x") && !fields.repeats(b"etag"));
    }

    #[test]
    fn list_members_lose_their_space() {
        let found: Vec<_> = members(b" a , ,b,\tc ").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"c"]);
    }
}

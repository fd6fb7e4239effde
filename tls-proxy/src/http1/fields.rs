//! Header fields as they came: in their order and in their case.
//!
//! One buffer holds the text, a list of spans names the fields; nothing is
//! copied while a head is parsed.

use bytes::Bytes;

/// The header or trailer fields of one message (RFC 9110, section 6.3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    text: Bytes,
    spans: Vec<Span>,
}

/// Where one field stands in the text: byte offsets of name and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) name: (u32, u32),
    pub(crate) value: (u32, u32),
}

impl Fields {
    /// Fields of a head that was parsed in place.
    pub(crate) fn new(text: Bytes, spans: Vec<Span>) -> Self {
        Self { text, spans }
    }

    /// Fields that did not come as HTTP/1 text: of HTTP/2, or of a test.
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

    /// All fields, in order, as (name, value).
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans
            .iter()
            .map(|span| (self.at(span.name), self.at(span.value)))
    }

    /// The first value of `name`, in any case.
    pub(crate) fn first(&self, name: &[u8]) -> Option<&[u8]> {
        let mut named = self
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }

    /// Every value of `name`, in any case, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Every field as shared slices of the text, in order.
    pub(crate) fn slices(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.spans
            .iter()
            .map(|span| (self.slice(span.name), self.slice(span.value)))
    }

    fn at(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.text[start as usize..end as usize]
    }

    fn slice(&self, (start, end): (u32, u32)) -> Bytes {
        self.text.slice(start as usize..end as usize)
    }
}

fn append(text: &mut Vec<u8>, part: &[u8]) -> (u32, u32) {
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

/// Whether `needle` stands anywhere in `value`, in any case, as nginx reads
/// `Connection`.
pub(crate) fn contains(value: &[u8], needle: &[u8]) -> bool {
    value
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}

/// The field is about the connection and not about the message: a proxy takes
/// it off (RFC 9110, section 7.6.1).
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    const HOP_BY_HOP: [&[u8]; 7] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ];
    HOP_BY_HOP.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn list_members_lose_their_space() {
        let found: Vec<_> = members(b" a , ,b,\tc ").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"c"]);
    }
}

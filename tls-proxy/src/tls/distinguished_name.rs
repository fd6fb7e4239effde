//! Distinguished names (X.501) in a comparable form.
//!
//! Names match as in RFC 5280, section 7.1, and OpenSSL: ASCII letters without case, runs
//! of white space as one space, whatever the string type.

use super::der::{self, OBJECT_ID, SEQUENCE, SET};

/// commonName (2.5.4.3).
pub(super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// emailAddress (RFC 2985, section 5.2.1).
pub(super) const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

/// Relative distinguished names in order, each in a form whose bytes are equal if the names
/// match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(Vec<Vec<u8>>);

/// An attribute of a name.
pub(super) struct Attribute<'a> {
    pub(super) id: &'a [u8],
    pub(super) tag: u8,
    pub(super) value: &'a [u8],
}

impl Name {
    /// Parses a Name; `None` if it is invalid.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let parts = der::all(der::only(der, SEQUENCE)?)?;
        let parts = parts.iter().map(|part| {
            let content = (part.tag == SET).then_some(part.content)?;
            canonical(content)
        });
        Some(Self(parts.collect::<Option<_>>()?))
    }

    /// This name with one more relative name, the elements of `set`.
    pub(super) fn with(&self, set: &[u8]) -> Option<Self> {
        let mut parts = self.0.clone();
        parts.push(canonical(set)?);
        Some(Self(parts))
    }

    /// Whether it is `base` or below it.
    pub(super) fn is_within(&self, base: &Self) -> bool {
        self.0.starts_with(&base.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The attributes of a Name, in order.
pub(super) fn attributes(der: &[u8]) -> Option<Vec<Attribute<'_>>> {
    let mut found = Vec::new();
    for part in der::all(der::only(der, SEQUENCE)?)? {
        for one in der::all(part.content)? {
            found.push(attribute(&one)?);
        }
    }
    Some(found)
}

fn attribute<'a>(one: &der::Element<'a>) -> Option<Attribute<'a>> {
    let mut rest = (one.tag == SEQUENCE).then_some(one.content)?;
    let id = der::next(&mut rest, OBJECT_ID)?;
    let (value, rest) = der::element(rest)?;
    rest.is_empty().then_some(Attribute {
        id,
        tag: value.tag,
        value: value.content,
    })
}

fn canonical(set: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    for one in der::all(set)? {
        let own = attribute(&one)?;
        let (tag, value) = match own.tag {
            UTF8 | PRINTABLE | TELETEX | IA5 | VISIBLE | UNIVERSAL | BMP => {
                (UTF8, fold(&text(own.tag, own.value)?))
            }
            other => (other, own.value.to_vec()),
        };
        let mut part = Vec::with_capacity(own.id.len() + value.len() + 9);
        // With lengths, so that different values cannot have the same form.
        part.push(u8::try_from(own.id.len()).ok()?);
        part.extend_from_slice(own.id);
        part.push(tag);
        part.extend_from_slice(&u32::try_from(value.len()).ok()?.to_be_bytes());
        part.extend_from_slice(&value);
        parts.push(part);
    }
    // The attributes of a relative name are unordered.
    parts.sort_unstable();
    (!parts.is_empty()).then(|| parts.concat())
}

fn fold(text: &str) -> Vec<u8> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let words = text.as_bytes().split(is_space);
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(&b' ').to_ascii_lowercase()
}

/// Tags of string types.
const UTF8: u8 = 0x0c;
const NUMERIC: u8 = 0x12;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
pub(super) const IA5: u8 = 0x16;
const VISIBLE: u8 = 0x1a;
const UNIVERSAL: u8 = 0x1c;
const BMP: u8 = 0x1e;

/// The text of a string. String types of one byte a character are decoded as Latin-1, as in
/// OpenSSL; `None` if it is no valid string.
pub(super) fn text(tag: u8, value: &[u8]) -> Option<String> {
    let code = |unit: &[u8]| {
        let code = unit
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
        char::from_u32(code)
    };
    let units = |size: usize| {
        let whole = value.len().is_multiple_of(size);
        let read = || value.chunks(size).map(code).collect();
        whole.then(read).flatten()
    };
    match tag {
        UTF8 => String::from_utf8(value.to_vec()).ok(),
        NUMERIC | PRINTABLE | TELETEX | IA5 | VISIBLE => units(1),
        BMP => units(2),
        UNIVERSAL => units(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, length], content].concat()
    }

    fn part(tag: u8, value: &[u8]) -> Vec<u8> {
        let attribute = [der(OBJECT_ID, COMMON_NAME), der(tag, value)].concat();
        der(SET, &der(SEQUENCE, &attribute))
    }

    fn name(parts: &[Vec<u8>]) -> Option<Name> {
        Name::parse(&der(SEQUENCE, &parts.concat()))
    }

    #[test]
    fn kind_of_string_case_and_spaces_do_not_matter() {
        let plain = name(&[part(UTF8, b"Some One")]);
        assert!(plain.is_some());
        for other in [
            part(PRINTABLE, b" SOME \t one "),
            part(BMP, b"\0S\0o\0m\0e\0 \0O\0n\0e"),
        ] {
            assert_eq!(name(&[other]), plain);
        }
        assert_eq!(
            name(&[part(TELETEX, b"\xe4")]),
            name(&[part(UTF8, "ä".as_bytes())])
        );
        for broken in [part(UTF8, b"\xff"), part(BMP, b"abc"), part(BMP, b"\xd8\0")] {
            assert_eq!(name(&[broken]), None);
        }
    }

    #[test]
    fn a_subtree_ends_between_two_relative_names() {
        let base = name(&[part(UTF8, b"a")]).unwrap();
        let below = name(&[part(UTF8, b"a"), part(UTF8, b"b")]).unwrap();
        let beside = name(&[part(UTF8, b"ab")]).unwrap();
        assert!(below.is_within(&base) && base.is_within(&base));
        assert!(!base.is_within(&below) && !beside.is_within(&base));
        assert!(base.is_within(&name(&[]).unwrap()));
    }
}

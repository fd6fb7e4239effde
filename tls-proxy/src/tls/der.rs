//! DER (X.690), one level at a time: tag, length, content.

/// One element of DER (X.690).
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// The first element of `input`, and the bytes after it.
pub(super) fn element(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, first) = (*input.first()?, *input.get(1)?);
    if tag & 0x1f == 0x1f {
        // Tags above 30 have several bytes; X.509 has none of these.
        return None;
    }
    let (header, length) = if first < 0x80 {
        (2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        let digits = input
            .get(2..2 + count)
            .filter(|_| (1..=4).contains(&count))?;
        (
            2 + count,
            digits
                .iter()
                .fold(0, |sum, digit| (sum << 8) | usize::from(*digit)),
        )
    };
    let end = header.checked_add(length)?;
    let whole = input.get(..end)?;
    Some((
        Element {
            tag,
            content: &whole[header..],
            whole,
        },
        &input[end..],
    ))
}

/// The only element of `input`, with the given tag.
pub(super) fn only(input: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, rest) = element(input)?;
    (found.tag == tag && rest.is_empty()).then_some(found.content)
}

/// Takes the next element from `input`; it must have the given tag.
pub(super) fn next<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, rest) = element(input).filter(|(found, _)| found.tag == tag)?;
    *input = rest;
    Some(found.content)
}

/// Takes the next element from `input` if it has the given tag.
pub(super) fn optional<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    match input.first() {
        Some(first) if *first == tag => next(input, tag),
        _ => None,
    }
}

/// All elements of `input`; `None` if it is not a sequence of elements.
pub(super) fn all(mut input: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut found = Vec::new();
    while !input.is_empty() {
        let (one, rest) = element(input)?;
        found.push(one);
        input = rest;
    }
    Some(found)
}

/// How many elements there are in `input`, with those inside of others, down to a `depth`.
pub(super) fn count(input: &[u8], depth: u8) -> usize {
    /// The bit of a tag whose element is made of others.
    const CONSTRUCTED: u8 = 0x20;
    let (mut left, mut sum) = (input, 0);
    while let Some((one, rest)) = element(left) {
        left = rest;
        sum += 1;
        // The value of an extension is in an OCTET STRING.
        if depth > 0 && (one.tag & CONSTRUCTED != 0 || one.tag == OCTET_STRING) {
            sum += count(one.content, depth - 1);
        }
    }
    sum
}

/// The first element of `input`, with the given tag. Bytes after it in an extension are
/// ignored, as in OpenSSL.
pub(super) fn first(mut input: &[u8], tag: u8) -> Option<&[u8]> {
    next(&mut input, tag)
}

/// Tags of universal types.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The tag of a field `[number]`, for a primitive or a constructed type.
pub(super) const fn field(number: u8) -> u8 {
    0x80 | number
}
pub(super) const fn fields(number: u8) -> u8 {
    0xa0 | number
}

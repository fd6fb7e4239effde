//! DER (X.690), as far as one level of it: tag, length, content.

/// One element of DER (X.690).
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// The first element of `input`, and what follows it.
pub(super) fn element(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, first) = (*input.first()?, *input.get(1)?);
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

/// Exactly one element, of the given tag.
pub(super) fn only(input: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, rest) = element(input)?;
    (found.tag == tag && rest.is_empty()).then_some(found.content)
}

/// Takes the next element off `input`, if it has the given tag.
pub(super) fn next<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, rest) = element(input).filter(|(found, _)| found.tag == tag)?;
    *input = rest;
    Some(found.content)
}

/// Tags of universal types.
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

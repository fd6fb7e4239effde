//! Follows a side's header blocks for the entries of the dynamic table (RFC 7541). In the decoder's one `h2`
//! copies the fields, but `:authority`, `:path`, `:scheme` and `:protocol` are slices of the buffer in
//! which they were received or decoded, and keep all of it.

use std::collections::VecDeque;

use crate::admission::HTTP2_BUFFER;

/// The most entries of a table of 4096 bytes: each counts as 33 or more (RFC 7541, section 4.1).
const MOST_ENTRIES: u64 = 4096 / 33;
/// What the entries keep for each byte received between them: the buffer for Huffman codes is larger
/// than what is written to it.
const KEPT: u64 = 3;
/// What is remembered here of a slice, bytes.
const OWN: u64 = 16;
/// The first index of the dynamic table (RFC 7541, section 2.3.3).
const DYNAMIC: u32 = 62;

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Representation,
    Index {
        /// Bits of it in the first byte.
        bits: u32,
        literal: bool,
    },
    NameLength,
    NameStart,
    Name,
    ValueLength,
    Value,
}

/// An integer of several bytes (RFC 7541, section 5.1): what has come of it.
#[derive(Clone, Copy, Debug)]
struct Integer {
    value: u32,
    shift: u32,
}

/// The dynamic table's entries.
#[derive(Debug, Default)]
pub(super) struct TableEntries {
    step: Step,
    integer: Option<Integer>,
    /// Bytes left of a string.
    left: u32,
    is_huffman: bool,
    /// The current field is added to the table.
    is_added: bool,
    /// And will be a slice.
    is_slice: bool,
    /// Size of the current block so far, and of the largest one, bytes.
    block: u64,
    largest: u64,
    /// The number of entries so far, the evicted ones included.
    added: u64,
    /// The slices: an entry's number, and the memory it keeps, bytes.
    slices: VecDeque<(u64, u64)>,
    /// The memory of all of them, bytes.
    memory: u64,
    /// Where the last one was among the bytes of the connection: of those that were Huffman-coded, and
    /// of the others, which are in another buffer.
    last: [u64; 2],
    /// `h2` would go on within this name.
    is_broken: bool,
}

impl TableEntries {
    /// How many there may be.
    pub(super) fn count(&self) -> u64 {
        self.added.min(MOST_ENTRIES)
    }

    /// The buffers that slices keep, at most, bytes.
    pub(super) fn buffers(&self) -> u64 {
        self.memory
    }

    /// A name was empty. `h2` takes that for an incomplete block, and decodes what follows otherwise.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// A header block begins.
    pub(super) fn begin(&mut self) {
        self.step = Step::Representation;
        self.integer = None;
        self.block = 0;
    }

    /// Reads a part of the block, which ends at `position` among the bytes of the connection.
    pub(super) fn read(&mut self, mut part: &[u8], position: u64) {
        self.block += part.len() as u64;
        self.largest = self.largest.max(self.block);
        while let Some((&byte, rest)) = part.split_first() {
            if self.step == Step::Representation
                && let Some(next) = after_unadded(part)
            {
                part = next;
                continue;
            }
            match self.step {
                Step::Name | Step::Value => {
                    let size = part.len().min(self.left as usize);
                    part = &part[size..];
                    self.left -= size as u32;
                    if self.left == 0 {
                        self.string_ends(position);
                    }
                }
                Step::NameStart => {
                    // 1011100 is the code of a colon.
                    self.is_slice |= match self.is_huffman {
                        true => byte >> 1 == 0b101_1100,
                        false => byte == b':',
                    };
                    self.step = Step::Name;
                }
                _ => {
                    part = rest;
                    self.number(byte, position);
                }
            }
        }
    }

    /// Reads a byte of an index or a length.
    fn number(&mut self, byte: u8, position: u64) {
        match self.step {
            Step::Representation => {
                let (bits, literal) = match byte.leading_zeros() {
                    0 => (7, false),
                    1 => (6, true),
                    // A new size of the table.
                    2 => (5, false),
                    _ => (4, true),
                };
                self.is_added = bits == 6;
                self.is_slice = false;
                self.step = Step::Index { bits, literal };
                self.number(byte, position);
            }
            Step::Index { bits, literal } => {
                let Some(index) = self.integer(byte, bits) else {
                    return;
                };
                self.is_slice = self.is_added && self.is_of_slice(index);
                self.step = match (literal, index) {
                    (false, _) => Step::Representation,
                    (true, 0) => Step::NameLength,
                    (true, _) => Step::ValueLength,
                };
            }
            _ => {
                if self.integer.is_none() {
                    self.is_huffman = byte & 0x80 != 0;
                }
                let Some(size) = self.integer(byte, 7) else {
                    return;
                };
                self.left = size;
                self.step = match self.step {
                    Step::NameLength => Step::NameStart,
                    _ => Step::Value,
                };
                if size == 0 {
                    self.is_broken |= self.step == Step::NameStart;
                    self.string_ends(position);
                }
            }
        }
    }

    /// Reads a byte of an integer with so many `bits` in its first byte; `Some` if it is the last one.
    fn integer(&mut self, byte: u8, bits: u32) -> Option<u32> {
        let value = match self.integer.take() {
            None => {
                let most = (1 << bits) - 1;
                let value = u32::from(byte) & most;
                if value < most {
                    return Some(value);
                }
                self.integer = Some(Integer { value, shift: 0 });
                return None;
            }
            // `h2` refuses an integer of more bytes.
            Some(Integer { value, shift }) => {
                let more = u32::from(byte & 0x7f)
                    .checked_shl(shift)
                    .unwrap_or_default();
                let value = value.saturating_add(more);
                if byte & 0x80 != 0 {
                    let shift = shift.saturating_add(7);
                    self.integer = Some(Integer { value, shift });
                    return None;
                }
                value
            }
        };
        Some(value)
    }

    /// Whether the field of this name may be a slice; 0 if its name is not in the tables.
    fn is_of_slice(&self, index: u32) -> bool {
        match index {
            // `:authority`, `:path` and `:scheme`.
            1 | 4..=7 => true,
            0..DYNAMIC => false,
            _ => {
                let number = self.added.checked_sub(u64::from(index - DYNAMIC) + 1);
                let slices = self.slices.iter().rev();
                number.is_some_and(|number| {
                    slices
                        .take_while(|own| own.0 >= number)
                        .any(|own| own.0 == number)
                })
            }
        }
    }

    fn string_ends(&mut self, position: u64) {
        if self.step != Step::Value {
            self.step = Step::ValueLength;
            return;
        }
        self.step = Step::Representation;
        if !self.is_added {
            return;
        }
        if self.is_slice {
            let buffer = u64::from(HTTP2_BUFFER).max(2 * self.largest);
            let last = &mut self.last[usize::from(self.is_huffman)];
            let between = position.saturating_sub(*last);
            let memory = OWN + (KEPT * between).min(buffer);
            *last = position;
            self.memory += memory;
            self.slices.push_back((self.added, memory));
        }
        self.added += 1;
        while let Some((number, memory)) = self.slices.front()
            && number + MOST_ENTRIES < self.added
        {
            self.memory -= memory;
            self.slices.pop_front();
        }
    }
}

/// What follows a field that leaves the table as it is, as most fields do, if all of the field is here:
/// one of the tables by an index of one byte, or a value that is not added, with a name of the tables.
fn after_unadded(part: &[u8]) -> Option<&[u8]> {
    let value = match part {
        [0x81..=0xfe, next @ ..] => return Some(next),
        [0x01..=0x0e | 0x11..=0x1e, value @ ..] | [0x0f | 0x1f, 0..=0x7f, value @ ..] => value,
        _ => return None,
    };
    let (length, value) = value.split_first()?;
    let length = usize::from(length & 0x7f);
    if length == 0x7f {
        // Further bytes of it follow.
        return None;
    }
    value.get(length..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A literal that is added to the table; of `name` there is its index, or its text.
    fn added(name: &[u8], value: &[u8]) -> Vec<u8> {
        [name, &[value.len() as u8], value].concat()
    }

    /// Numbers of the slices after a block that comes in parts of `size` bytes.
    fn slices(blocks: &[&[u8]], size: usize) -> Vec<u64> {
        let mut entries = TableEntries::default();
        let mut position = 0;
        for block in blocks {
            entries.begin();
            for part in block.chunks(size) {
                position += part.len() as u64;
                entries.read(part, position);
            }
        }
        let memory: u64 = entries.slices.iter().map(|(_, memory)| memory).sum();
        assert_eq!(entries.buffers(), memory);
        entries.slices.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn pseudo_header_fields_that_are_added_to_the_table_are_slices() {
        let long = [b'x'; 300];
        let length = [0x7f, 0xad, 0x01];
        let rows: &[(&str, Vec<u8>, &[u64])] = &[
            ("indexed", vec![0x82, 0x86, 0x84, 0xff, 0x80, 0x01], &[]),
            (":path", added(&[0x44], b"/a"), &[0]),
            (":path, empty", added(&[0x44], b""), &[0]),
            (
                ":authority, :scheme",
                [added(&[0x41], b"a"), added(&[0x46], b"http")].concat(),
                &[0, 1],
            ),
            (
                ":method and :status are copied",
                [added(&[0x42], b"A"), added(&[0x48], b"200")].concat(),
                &[],
            ),
            (
                "not added",
                [added(&[0x04], b"/a"), added(&[0x11], b"a")].concat(),
                &[],
            ),
            ("a field of the static table", added(&[0x60], b"v"), &[]),
            ("a field by its text", added(b"\x40\x01n", b"v"), &[]),
            (
                ":protocol by its text",
                added(b"\x40\x09:protocol", b"websocket"),
                &[0],
            ),
            ("a colon in a name", added(b"\x40\x03a:b", b"v"), &[]),
            (
                "a colon in Huffman code",
                added(&[0x40, 0x82, 0xb8, 0xff], b"v"),
                &[0],
            ),
            (
                "a letter in Huffman code",
                added(&[0x40, 0x81, 0x1f], b"v"),
                &[],
            ),
            (
                "a new size of the table",
                [vec![0x3f, 0xe1, 0x1f], added(&[0x44], b"/")].concat(),
                &[0],
            ),
            (
                "a long value before",
                [
                    &[0x00, 0x01, b'n'][..],
                    &length,
                    &long,
                    &added(&[0x44], b"/"),
                ]
                .concat(),
                &[0],
            ),
            (
                "values that look like fields before",
                [
                    added(&[0x04], b"\x44\x01/"),
                    added(&[0x1e], b"\x44\x01/"),
                    added(&[0x0f, 0x0d], b"\x44\x01/"),
                    added(&[0x1f, 0x7f], b"\x44\x01/"),
                    added(&[0x44], b"/"),
                ]
                .concat(),
                &[0],
            ),
            (
                "a long value with a name of the tables before",
                [&[0x0f, 0x0d][..], &length, &long, &added(&[0x44], b"/")].concat(),
                &[0],
            ),
            (
                "an index of a name in several bytes before",
                [
                    added(&[0x0f, 0x80, 0x01], b"\x44\x01/"),
                    added(&[0x44], b"/"),
                ]
                .concat(),
                &[0],
            ),
            (
                "of an entry's name",
                [added(&[0x44], b"/a"), added(&[0x7e], b"/b")].concat(),
                &[0, 1],
            ),
            (
                "of a field's name",
                [
                    added(&[0x44], b"/a"),
                    added(b"\x40\x01n", b"v"),
                    added(&[0x7e], b"w"),
                    added(&[0x7f, 0x01], b"/b"),
                ]
                .concat(),
                &[0, 3],
            ),
            ("of no entry", added(&[0x7f, 0x7f], b"/b"), &[]),
        ];
        for (what, block, wanted) in rows {
            for size in [1, 2, 3, 1000] {
                assert_eq!(
                    &slices(&[block], size),
                    wanted,
                    "{what}, in parts of {size}"
                );
            }
        }
        let blocks: &[&[u8]] = &[&added(&[0x44], b"/a"), &[0x82], &added(&[0x7e], b"/b")];
        assert_eq!(slices(blocks, 1), [0, 1], "of an earlier block's entry");
    }

    #[test]
    fn an_entry_keeps_no_more_than_came_before_it_or_a_buffer() {
        let mut entries = TableEntries::default();
        let path = added(&[0x44], b"/a");
        let mut add = |position| {
            let before = entries.buffers();
            entries.begin();
            entries.read(&path, position);
            entries.buffers() - before
        };
        assert_eq!(add(100), 300 + OWN);
        assert_eq!(add(150), 150 + OWN);
        assert_eq!(add(1 << 20), u64::from(HTTP2_BUFFER) + OWN);
        entries.begin();
        let before = entries.buffers();
        entries.read(&added(&[0x44], b"/")[..1], 1 << 20);
        entries.read(&[0x81, 0x60], 1 << 20);
        assert_eq!(
            entries.buffers() - before,
            u64::from(HTTP2_BUFFER) + OWN,
            "Huffman-coded"
        );
        let most = u64::from(u16::MAX);
        entries.begin();
        entries.read(&vec![0x80; usize::from(u16::MAX)], 2 << 20);
        entries.begin();
        let before = entries.buffers();
        entries.read(&path, 3 << 20);
        assert_eq!(
            entries.buffers() - before,
            2 * most + OWN,
            "a large block's"
        );
    }

    #[test]
    fn an_entry_is_forgotten_once_the_table_must_have_evicted_it() {
        let mut entries = TableEntries::default();
        entries.read(&added(&[0x44], b"/a"), 10);
        let field = added(b"\x40\x01n", b"");
        for _ in 0..MOST_ENTRIES {
            assert!(entries.buffers() > 0);
            entries.read(&field, 20);
        }
        assert_eq!(entries.slices.len(), 0);
        assert_eq!((entries.buffers(), entries.count()), (0, MOST_ENTRIES));
    }

    #[test]
    fn an_empty_name_breaks_a_block() {
        for (block, wanted) in [
            (&[0x40, 0x00, 0x01, b'v'][..], true),
            (&[0x00, 0x80, 0x01, b'v'], true),
            (&[0x40, 0x01, b'n', 0x00, 0x44, 0x00], false),
        ] {
            let mut entries = TableEntries::default();
            entries.read(block, 100);
            assert_eq!(entries.is_broken(), wanted, "{block:?}");
        }
    }

    #[test]
    fn nothing_that_comes_is_too_large() {
        let mut entries = TableEntries::default();
        entries.read(&[0xff; 100], 100);
        entries.begin();
        entries.read(&[&[0x40][..], &[0xff; 100]].concat(), 200);
        entries.begin();
        entries.read(&[0x44, 0x00], 300);
        assert_eq!(entries.slices.len(), 1);
    }
}

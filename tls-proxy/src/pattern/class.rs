//! `[…]` in a pattern.

use super::parse::Reader;
use super::set::{self, ByteSet};
use super::syntax::Flaw;

/// Reads a class behind its `[`.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<ByteSet, Flaw> {
    if named(reader).is_some() {
        return Err(reader.flaw("POSIX named classes are supported only within a class"));
    }
    let negated = reader.takes(b"^");
    let mut set = ByteSet::default();
    let mut first = true;
    loop {
        let Some(byte) = reader.next() else {
            return Err(reader.flaw("missing terminating ] for character class"));
        };
        if byte == b']' && !first {
            break;
        }
        first = false;
        let Some(from) = item(reader, byte, &mut set)? else {
            continue;
        };
        let to = upper(reader, &mut set)?.unwrap_or(from);
        if to < from {
            return Err(reader.flaw("range out of order in character class"));
        }
        (from..=to).for_each(|byte| set.add(byte));
    }
    if reader.flags.caseless {
        set = set.caseless();
    }
    Ok(if negated { set.inverted() } else { set })
}

/// One member: a byte, or a whole set, which is added at once.
fn item(reader: &mut Reader<'_>, byte: u8, set: &mut ByteSet) -> Result<Option<u8>, Flaw> {
    if byte == b'['
        && let Some((name, end)) = named(reader)
    {
        reader.at = end;
        let (negated, name) = name
            .strip_prefix(b"^")
            .map_or((false, &name[..]), |rest| (true, rest));
        let own = set::of_class(name).ok_or_else(|| reader.flaw("unknown POSIX class name"))?;
        set.join(&if negated { own.inverted() } else { own });
        return Ok(None);
    }
    if byte == b'[' && matches!(reader.peek(), Some(b'.' | b'=')) {
        let end = [reader.text[reader.at], b']'];
        if memchr::memmem::find(&reader.text[reader.at + 1..], &end).is_some() {
            return Err(reader.flaw("POSIX collating elements are not supported"));
        }
    }
    if byte != b'\\' {
        return Ok(Some(byte));
    }
    let Some(letter) = reader.next() else {
        return Err(reader.flaw("\\ at end of pattern"));
    };
    if let Some(own) = set::of_escape(letter) {
        set.join(&own);
        return Ok(None);
    }
    match letter {
        b'b' => Ok(Some(0x08)),
        b'E' => Ok(None),
        b'Q' => {
            while let Some(byte) = reader.peek().filter(|_| !reader.takes(b"\\E")) {
                reader.at += 1;
                set.add(byte);
            }
            Ok(None)
        }
        b'N' | b'R' | b'X' | b'B' => Err(reader.flaw("\\N is not supported in a class")),
        b'p' | b'P' => Err(reader.unsupported("properties of Unicode are not supported")),
        b'L' | b'l' | b'U' | b'u' => {
            Err(reader.flaw("PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u"))
        }
        other => reader.escaped_byte(other).map(Some),
    }
}

/// The end of a range behind its start, if one follows; a `-` that is none
/// stands for itself.
fn upper(reader: &mut Reader<'_>, set: &mut ByteSet) -> Result<Option<u8>, Flaw> {
    if reader.peek() != Some(b'-') || matches!(reader.text.get(reader.at + 1), Some(b']') | None) {
        return Ok(None);
    }
    reader.at += 1;
    let Some(byte) = reader.next() else {
        return Ok(None);
    };
    match item(reader, byte, set)? {
        Some(to) => Ok(Some(to)),
        None => Err(reader.flaw("invalid range in character class")),
    }
}

/// `:alpha:]` behind a `[`: the name, and where it ends.
fn named(reader: &Reader<'_>) -> Option<(Vec<u8>, usize)> {
    let rest = reader.text[reader.at..].strip_prefix(b":")?;
    let length = memchr::memmem::find(rest, b":]")?;
    let name = &rest[..length];
    let letters = name.strip_prefix(b"^").unwrap_or(name);
    letters
        .iter()
        .all(u8::is_ascii_lowercase)
        .then(|| (name.to_vec(), reader.at + length + 3))
}

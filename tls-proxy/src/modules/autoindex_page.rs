//! The lists of `autoindex`, byte for byte those of nginx, generated while they are sent.

use std::cmp::Ordering;
use std::io::Write as _;

use bytes::Bytes;

use crate::message::target::push_escaped;
use crate::time::clock::Stamp;

/// One file of a folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Box<[u8]>,
    pub(super) kind: EntryKind,
    /// Seconds since 1970.
    pub(super) modified: u64,
    /// Bytes.
    pub(super) size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Folder,
    File,
    Other,
}

impl Entry {
    /// Folders come first.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let is_file = |entry: &Self| entry.kind != EntryKind::Folder;
        let kinds = is_file(self).cmp(&is_file(other));
        kinds.then_with(|| self.name.cmp(&other.name))
    }

    /// Bytes that it takes in a growing `Vec`.
    pub(super) fn size_in_memory(&self) -> usize {
        2 * size_of::<Self>() + self.name.len().next_multiple_of(16)
    }
}

/// How a list is written.
pub(super) enum Format {
    Html {
        /// Sizes in bytes.
        exact: bool,
        /// Widths count characters, not bytes.
        utf8: bool,
    },
    Xml,
    Json {
        /// The callback function.
        callback: Option<Bytes>,
    },
}

/// A list that is being sent.
pub(super) struct Page {
    format: Format,
    /// What is written before the first file.
    begin: Vec<u8>,
    entries: std::vec::IntoIter<Entry>,
    is_first: bool,
    ended: bool,
}

/// Least size of a part, bytes.
const PIECE: usize = 8 << 10;

/// The column that a file's time stands in.
const WIDTH: usize = 50;

impl Page {
    /// A list of the files in the folder of a path.
    pub(super) fn new(format: Format, path: &[u8], entries: Vec<Entry>) -> Self {
        let mut begin = Vec::new();
        match &format {
            Format::Html { .. } => {
                begin.extend_from_slice(b"<html>\r\n<head><title>Index of ");
                escape_html(path, &mut begin);
                begin.extend_from_slice(b"</title></head>\r\n<body>\r\n<h1>Index of ");
                escape_html(path, &mut begin);
                begin.extend_from_slice(b"</h1><hr><pre><a href=\"../\">../</a>\r\n");
            }
            Format::Xml => begin.extend_from_slice(b"<?xml version=\"1.0\"?>\r\n<list>\r\n"),
            Format::Json { callback } => {
                if let Some(name) = callback {
                    begin.extend_from_slice(b"/* callback */\r\n");
                    begin.extend_from_slice(name);
                    begin.push(b'(');
                }
                begin.push(b'[');
            }
        }
        Self {
            format,
            begin,
            entries: entries.into_iter(),
            is_first: true,
            ended: false,
        }
    }

    fn end(&self) -> &'static [u8] {
        match &self.format {
            Format::Html { .. } => b"</pre><hr></body>\r\n</html>\r\n",
            Format::Xml => b"</list>\r\n",
            Format::Json { callback: None } => b"\r\n]",
            Format::Json { callback: Some(_) } => b"\r\n]);",
        }
    }

    /// The next part; empty at the end.
    pub(super) fn part(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.begin);
        while out.len() < PIECE {
            let Some(entry) = self.entries.next() else {
                if !std::mem::replace(&mut self.ended, true) {
                    out.extend_from_slice(self.end());
                }
                break;
            };
            match &self.format {
                Format::Html { exact, utf8 } => write_html(&entry, *exact, *utf8, &mut out),
                Format::Xml => write_xml(&entry, &mut out),
                Format::Json { .. } => {
                    if !self.is_first {
                        out.push(b',');
                    }
                    write_json(&entry, &mut out);
                }
            }
            self.is_first = false;
        }
        out
    }
}

/// Appends formatted text.
fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    let _ = out.write_fmt(text);
}

fn write_html(entry: &Entry, exact: bool, utf8: bool, out: &mut Vec<u8>) {
    let is_folder = entry.kind == EntryKind::Folder;
    let slash = if is_folder { "/" } else { "" };
    out.extend_from_slice(b"<a href=\"");
    escape_component(&entry.name, out);
    append(out, format_args!("{slash}\">"));
    let text = std::str::from_utf8(&entry.name).ok().filter(|_| utf8);
    let width = text.map_or(entry.name.len(), |text| text.chars().count());
    if width > WIDTH {
        let shown = WIDTH - 3;
        let end = text.and_then(|text| text.char_indices().nth(shown));
        escape_html(&entry.name[..end.map_or(shown, |(end, _)| end)], out);
        out.extend_from_slice(b"..&gt;</a>");
    } else {
        escape_html(&entry.name, out);
        // There may be no room for the slash.
        let slash = if width < WIDTH { slash } else { "" };
        let blanks = WIDTH - width - slash.len();
        append(out, format_args!("{slash}</a>{:blanks$}", ""));
    }
    let time = Stamp::of(entry.modified).local;
    // `29/Nov/2026:02:32:06 +0000`
    let (date, clock) = time.split_once(':').unwrap_or_default();
    let clock = clock.get(..5).unwrap_or_default();
    append(out, format_args!(" {} {clock} ", date.replace('/', "-")));
    match (is_folder, exact) {
        (true, true) => append(out, format_args!("{:>19}", "-")),
        (true, false) => append(out, format_args!("{:>7}", "-")),
        (false, true) => append(out, format_args!("{:>19}", entry.size)),
        (false, false) => match rounded(entry.size) {
            (size, None) => append(out, format_args!(" {size:>6}")),
            (size, Some(unit)) => append(out, format_args!("{size:>6}{unit}")),
        },
    }
    out.extend_from_slice(b"\r\n");
}

/// A size as a number of at most four digits where it can be, and its unit.
fn rounded(size: u64) -> (u64, Option<char>) {
    let (unit, name) = match size {
        0..=9999 => return (size, None),
        0x2710..=0xf_ffff => (1 << 10, 'K'),
        0x10_0000..=0x3fff_ffff => (1 << 20, 'M'),
        _ => (1 << 30, 'G'),
    };
    let up = size % unit >= unit / 2;
    (size / unit + u64::from(up), Some(name))
}

fn write_xml(entry: &Entry, out: &mut Vec<u8>) {
    let kind = name_of(entry.kind);
    let time = Stamp::of(entry.modified).rfc3339();
    append(out, format_args!("<{kind} mtime=\"{time}\""));
    if entry.kind == EntryKind::File {
        append(out, format_args!(" size=\"{}\"", entry.size));
    }
    out.push(b'>');
    escape_html(&entry.name, out);
    append(out, format_args!("</{kind}>\r\n"));
}

fn write_json(entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n{ \"name\":\"");
    escape_json(&entry.name, out);
    let kind = name_of(entry.kind);
    append(out, format_args!("\", \"type\":\"{kind}\", \"mtime\":\""));
    out.extend_from_slice(&Stamp::of(entry.modified).http);
    out.push(b'"');
    if entry.kind == EntryKind::File {
        append(out, format_args!(", \"size\":{}", entry.size));
    }
    out.extend_from_slice(b" }");
}

fn name_of(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Folder => "directory",
        EntryKind::File => "file",
        EntryKind::Other => "other",
    }
}

fn escape_html(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(*byte),
        }
    }
}

/// Percent-encodes all but what RFC 3986 (section 2.3) calls unreserved.
fn escape_component(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            _ => push_escaped(*byte, out),
        }
    }
}

fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f => append(out, format_args!("\\u{byte:04X}")),
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_nginx_rounds_them() {
        for (size, expected) in [
            (9999, (9999, None)),
            (10_000, (10, Some('K'))),
            (10_751, (10, Some('K'))),
            (10_752, (11, Some('K'))),
            ((1 << 20) - 1, (1024, Some('K'))),
            (1 << 20, (1, Some('M'))),
            ((1 << 30) - 1, (1024, Some('M'))),
            (3 << 29, (2, Some('G'))),
        ] {
            assert_eq!(rounded(size), expected, "{size}");
        }
    }

    #[test]
    fn a_list_of_any_length_comes_in_pieces() {
        let entry = |number: usize| Entry {
            name: format!("{number:05}").into_bytes().into(),
            kind: EntryKind::File,
            modified: 0,
            size: 1,
        };
        let format = Format::Json { callback: None };
        let mut page = Page::new(format, b"/", (0..1000).map(entry).collect());
        let sizes: Vec<usize> = std::iter::from_fn(|| Some(page.part().len()))
            .take_while(|size| *size > 0)
            .collect();
        assert!(
            sizes.len() > 5 && sizes.iter().all(|size| *size < PIECE + 200),
            "{sizes:?}"
        );
    }
}

//! What one program did with a case, as lines that can be compared, and their masks: times,
//! the product's name, and sizes that follow from its length.

use super::bytes::show;
use super::delimited::Fault;
use super::http1::{Framing, Response};

/// All observations of one program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) lines: Vec<String>,
    /// Names of fields in the order received: recorded, not compared.
    pub(crate) orders: Vec<String>,
    /// What `-t` said, for a person.
    pub(crate) messages: Vec<String>,
    /// Bytes on the wire of each response and of its body, which appear in logs.
    pub(crate) sizes: Vec<(usize, usize)>,
    /// Responses that are not delimited correctly.
    pub(crate) faults: Vec<Fault>,
    /// `compares: pieces`.
    pub(crate) names_pieces: bool,
}

impl Transcript {
    pub(crate) fn push(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    pub(crate) fn push_response(&mut self, response: &Response) {
        self.push(format!("  {}", response.status_line));
        let names: Vec<_> = response
            .fields
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        self.orders.push(names.join(", "));
        let is_page = names_a_product(&response.body);
        let mut fields: Vec<String> = response
            .fields
            .iter()
            .map(|(name, value)| {
                format!("  | {name}: {}", mask_field(name, value, response, is_page))
            })
            .collect();
        fields.sort();
        self.lines.extend(fields);
        let body = mask_page(&show(&plain_body(response)));
        let cut = if response.is_cut { ", cut" } else { "" };
        if response.framing != Framing::None {
            self.push(format!("  body by {:?}{cut}: {body}", response.framing).to_lowercase_kind());
        }
        if self.names_pieces && response.framing == Framing::Chunks {
            self.push(format!("  {}", pieces(&response.chunks, &response.body)));
        }
        if !response.trailers.is_empty() {
            self.push(format!("  trailers: {}", response.trailers.join(", ")));
        }
        self.sizes.push((response.size, response.body_size));
    }

    /// One line of an access log.
    pub(crate) fn push_log(&mut self, name: &str, line: &str) {
        let line = mask_sizes(&mask_times(line), &self.sizes);
        self.push(format!("{name}: {line}"));
    }
}

trait LowercaseKind {
    fn to_lowercase_kind(self) -> String;
}

impl LowercaseKind for String {
    /// `body by Length: …` as prose; the body itself stays as it is.
    fn to_lowercase_kind(self) -> String {
        match self.split_once(':') {
            Some((kind, body)) => format!("{}:{body}", kind.to_lowercase()),
            None => self,
        }
    }
}

/// The body, decompressed: two compressors agree on the content, not on the bytes.
fn plain_body(response: &Response) -> Vec<u8> {
    if response.field("content-encoding") != Some("gzip") || response.is_cut {
        return response.body.clone();
    }
    gunzip(&response.body).unwrap_or_else(|| response.body.clone())
}

/// How a file of gzip begins (RFC 1952).
const GZIP: &[u8] = b"\x1f\x8b";

/// What [`pieces`] begins with.
const PIECES: &str = "pieces: ";

/// The parts of a body: chunks or DATA frames, how many of them are empty, and how
/// often a compressor flushed.
pub(crate) fn pieces(sizes: &[usize], body: &[u8]) -> String {
    let empty = sizes.iter().filter(|size| **size == 0).count();
    let flushes = match body.starts_with(GZIP) {
        // What a sync flush ends with: an empty block that is not compressed.
        true => body
            .windows(4)
            .filter(|end| *end == b"\0\0\xff\xff")
            .count(),
        false => 0,
    };
    let count = sizes.len();
    format!("{PIECES}{count}, {empty} of them empty, {flushes} flushes")
}

/// Whether two lines tell of pieces, and `seen` of no more of them: fewer are better.
pub(crate) fn has_no_more_pieces(seen: &str, expected: &str) -> bool {
    let numbers = |line: &str| -> Option<Vec<usize>> {
        let (_, rest) = line.split_once(PIECES)?;
        let words = rest.split([' ', ',']);
        Some(words.filter_map(|word| word.parse().ok()).collect())
    };
    match (numbers(seen), numbers(expected)) {
        (Some(seen), Some(expected)) => seen.iter().zip(&expected).all(|(a, b)| a <= b),
        _ => false,
    }
}

/// What is packed in `bytes`; `None` where nothing is.
pub(crate) fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    if !bytes.starts_with(GZIP) {
        return None;
    }
    let mut child = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().ok()?;
    let _ = writer.join();
    output.status.success().then_some(output.stdout)
}

fn names_a_product(body: &[u8]) -> bool {
    find(body, b"<hr><center>").is_some()
}

fn mask_field(name: &str, value: &str, response: &Response, is_page: bool) -> String {
    match name.to_ascii_lowercase().as_str() {
        // `expires max` and `expires epoch` are no times of today.
        "expires" if value.contains(" 2037 ") || value.contains(" 1970 ") => value.to_owned(),
        "date" | "expires" if value.len() == 29 && value.ends_with(" GMT") => "<date>".to_owned(),
        "server" => mask_product(value),
        // The page that HEAD leaves out is as long as the product's name makes it.
        "content-length" if response.is_headed_page() => {
            let product = response.field("server").map_or(0, str::len);
            let length = value.parse::<usize>().unwrap_or(0);
            format!("<page of {}>", length.saturating_sub(product))
        }
        "content-length" if is_page && value == response.body.len().to_string() => {
            "<page>".to_owned()
        }
        _ => show(value.as_bytes()),
    }
}

/// `nginx/1.31.3` and `tls-proxy/1.0.0` alike; that a version is there stays to be seen.
fn mask_product(value: &str) -> String {
    match value.split_once('/') {
        Some(("nginx" | "tls-proxy", _)) => "<product>/<version>".to_owned(),
        None if matches!(value, "nginx" | "tls-proxy") => "<product>".to_owned(),
        _ => value.to_owned(),
    }
}

/// Masks the product in the last line of an error page.
pub(crate) fn mask_page(body: &str) -> String {
    const BEFORE: &str = "<hr><center>";
    let Some((before, behind)) = body.split_once(BEFORE) else {
        return body.to_owned();
    };
    match behind.split_once("</center>") {
        Some((product, rest)) => {
            format!("{before}{BEFORE}{}</center>{rest}", mask_product(product))
        }
        None => body.to_owned(),
    }
}

/// Masks `[22/Nov/2026:19:50:18 +0000]` and whatever stands behind `time=`.
fn mask_times(line: &str) -> String {
    let mut masked = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['[', 't']) {
        masked.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(time) = rest.get(..28).filter(|time| is_local_time(time)) {
            masked.push_str("[<time>]");
            rest = &rest[time.len()..];
        } else if let Some(value) = rest.strip_prefix("time=") {
            let end = value.find([' ', '"', ';']).unwrap_or(value.len());
            let is_time = |c: char| c.is_ascii_digit() || c == '.';
            let is_known = end > 0 && value[..end].chars().all(is_time);
            masked.push_str(if is_known {
                "time=<time>"
            } else {
                &rest[..5 + end]
            });
            rest = &value[end..];
        } else {
            masked.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    masked + rest
}

fn is_local_time(text: &str) -> bool {
    text.starts_with('[')
        && text.ends_with(']')
        && text.as_bytes()[3] == b'/'
        && text.contains(" +")
}

/// Masks numbers behind `bytes=` and `body=`, and combined's body size, where they say what
/// really went over the wire.
fn mask_sizes(line: &str, sizes: &[(usize, usize)]) -> String {
    let is_whole = |n: &str| sizes.iter().any(|(whole, _)| whole.to_string() == n);
    let is_body = |n: &str| n != "0" && sizes.iter().any(|(_, body)| body.to_string() == n);
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for at in 0..words.len() {
        if let Some(number) = words[at].strip_prefix("bytes=").filter(|n| is_whole(n)) {
            words[at] = words[at].replace(number, "<whole>");
        } else if let Some(number) = words[at].strip_prefix("body=").filter(|n| is_body(n)) {
            words[at] = words[at].replace(number, "<body>");
        } else if at > 1 && words[at - 2].ends_with('"') && is_body(&words[at]) {
            let status_before = words[at - 1].len() == 3 && words[at - 1].parse::<u16>().is_ok();
            if status_before {
                words[at] = "<body>".to_owned();
            }
        }
    }
    words.join(" ")
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// The lines that only one of two transcripts has, in order.
pub(crate) fn difference(oracle: &[String], subject: &[String]) -> String {
    let (rows, columns) = (oracle.len(), subject.len());
    let mut longest = vec![vec![0_u32; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            longest[row][column] = if oracle[row] == subject[column] {
                longest[row + 1][column + 1] + 1
            } else {
                longest[row + 1][column].max(longest[row][column + 1])
            };
        }
    }
    let (mut row, mut column, mut text) = (0, 0, String::new());
    while row < rows || column < columns {
        let same = row < rows && column < columns && oracle[row] == subject[column];
        let take_oracle = column == columns
            || (row < rows && longest[row + 1][column] >= longest[row][column + 1]);
        let (mark, line) = match (same, take_oracle) {
            (true, _) => ("      ", &oracle[row]),
            (false, true) => ("  nginx", &oracle[row]),
            (false, false) => ("  ours ", &subject[column]),
        };
        row += usize::from(same || take_oracle);
        column += usize::from(same || !take_oracle);
        if !same || line.starts_with(|c: char| c.is_alphabetic()) {
            text.push_str(&format!("{mark} {line}\n"));
        }
    }
    text
}

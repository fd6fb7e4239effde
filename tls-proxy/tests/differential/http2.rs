//! HTTP/2 frames: written from a few words each, and received ones listed.

use super::bytes::{show, unescape};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Writes the frames that the lines of `text` name:
/// `preface`, `settings [ID=VALUE…]`, `settings-ack`, `headers STREAM [end] [part] NAME=VALUE…`
/// (`:path` and the like too), `continuation STREAM [part] NAME=VALUE…`,
/// `data STREAM [end] TEXT`, `ping`, `window STREAM N`, `reset STREAM CODE`, `goaway`,
/// `frame TYPE FLAGS STREAM TEXT`, `raw TEXT`.
pub(crate) fn write_frames(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        write_line(&words, &mut bytes)?;
    }
    Ok(bytes)
}

/// Writes a connection that asks once, from a request that is written as HTTP/1.1 has it: the
/// first `Host`, or the authority of an absolute target, becomes `:authority`.
pub(crate) fn write_request(text: &str) -> Result<Vec<u8>, String> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.split('\n');
    let line = lines.next().unwrap_or_default();
    let line = line.strip_suffix(" HTTP/1.1").ok_or("no HTTP/1.1")?;
    let (method, target) = line.split_once(' ').ok_or("no target")?;
    let mut regular: Vec<(String, &str)> = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("no field")?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        regular.push((name.to_ascii_lowercase(), value));
    }
    let (mut scheme, mut path) = ("http", target);
    let mut authority = None;
    if let Some((named, rest)) = target.split_once("://") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        scheme = named;
        authority = Some(&rest[..end]);
        path = if end < rest.len() { &rest[end..] } else { "/" };
    } else if let Some(at) = regular.iter().position(|(name, _)| name == "host") {
        authority = Some(regular.remove(at).1);
    }
    let mut block = Vec::new();
    let pseudo = [(":method", method), (":scheme", scheme), (":path", path)];
    for (name, value) in pseudo {
        field(&mut block, name, value)?;
    }
    if let Some(authority) = authority {
        field(&mut block, ":authority", authority)?;
    }
    for (name, value) in &regular {
        field(&mut block, name, value)?;
    }
    let body = unescape(body.strip_suffix('\n').unwrap_or(body), "\r\n")?;
    let ends = if body.is_empty() { END_STREAM } else { 0 };
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, 4, 0, 0, &[]);
    frame(&mut bytes, 1, ends | END_HEADERS, 1, &block);
    if !body.is_empty() {
        frame(&mut bytes, 0, END_STREAM, 1, &body);
    }
    Ok(bytes)
}

fn write_line(words: &[&str], bytes: &mut Vec<u8>) -> Result<(), String> {
    let number = |at: usize| -> Result<u32, String> {
        let word = words
            .get(at)
            .ok_or_else(|| format!("{} needs more words", words[0]))?;
        word.parse().map_err(|_| format!("{word} is no number"))
    };
    let ends = if words.get(2) == Some(&"end") {
        END_STREAM
    } else {
        0
    };
    match words[0] {
        "preface" => bytes.extend_from_slice(PREFACE),
        "settings" => frame(bytes, 4, 0, 0, &settings(&words[1..])?),
        "settings-ack" => frame(bytes, 4, 1, 0, &[]),
        "headers" => {
            let whole = if words.contains(&"part") {
                0
            } else {
                END_HEADERS
            };
            frame(bytes, 1, ends | whole, number(1)?, &fields(&words[2..])?);
        }
        "continuation" => {
            let whole = if words.contains(&"part") {
                0
            } else {
                END_HEADERS
            };
            frame(bytes, 9, whole, number(1)?, &fields(&words[2..])?);
        }
        "data" => {
            let from = 2 + usize::from(ends);
            let payload = unescape(&words[from.min(words.len())..].join(" "), "\r\n")?;
            frame(bytes, 0, ends, number(1)?, &payload);
        }
        "ping" => frame(bytes, 6, 0, 0, b"pingpong"),
        "window" => frame(bytes, 8, 0, number(1)?, &number(2)?.to_be_bytes()),
        "reset" => frame(bytes, 3, 0, number(1)?, &number(2)?.to_be_bytes()),
        "goaway" => frame(bytes, 7, 0, 0, &[0; 8]),
        "frame" => {
            let payload = unescape(&words[4.min(words.len())..].join(" "), "\r\n")?;
            frame(
                bytes,
                number(1)? as u8,
                number(2)? as u8,
                number(3)?,
                &payload,
            );
        }
        "raw" => bytes.extend_from_slice(&unescape(&words[1..].join(" "), "\r\n")?),
        other => return Err(format!("unknown frame {other}")),
    }
    Ok(())
}

fn settings(words: &[&str]) -> Result<Vec<u8>, String> {
    let mut payload = Vec::new();
    for word in words {
        let (id, value) = word.split_once('=').ok_or("settings are ID=VALUE")?;
        let id: u16 = id.parse().map_err(|_| format!("{id} is no setting"))?;
        let value: u32 = value.parse().map_err(|_| format!("{value} is no number"))?;
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    Ok(payload)
}

/// A header block of literal fields, never indexed and never compressed. Spaces in a value are
/// written `\x20`.
fn fields(words: &[&str]) -> Result<Vec<u8>, String> {
    let mut block = Vec::new();
    for word in words {
        let pseudo = usize::from(word.starts_with(':'));
        let Some(at) = word[pseudo..].find('=') else {
            continue;
        };
        let (name, value) = (&word[..pseudo + at], &word[pseudo + at + 1..]);
        field(&mut block, name, value)?;
    }
    Ok(block)
}

fn field(block: &mut Vec<u8>, name: &str, value: &str) -> Result<(), String> {
    block.push(0);
    for text in [name, value] {
        let text = unescape(text, "")?;
        string_length(block, text.len());
        block.extend_from_slice(&text);
    }
    Ok(())
}

fn string_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// Lists what was received: streams with their status and data, resets, GOAWAY. Not listed:
/// window updates, settings, and how data was split into frames.
pub(crate) fn list_frames(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut data: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5] & 127, head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        let Some(payload) = bytes.get(at + 9..at + 9 + length) else {
            break;
        };
        at += 9 + length;
        let number = |from: usize| {
            payload
                .get(from..from + 4)
                .map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        };
        match kind {
            0 => match data.iter_mut().find(|(id, _)| *id == stream) {
                Some((_, body)) => body.extend_from_slice(payload),
                None => data.push((stream, payload.to_vec())),
            },
            1 => lines.push(format!(
                "stream {stream}: headers, status {}",
                status(payload)
            )),
            3 => lines.push(format!("stream {stream}: reset, code {}", number(0))),
            6 if flags == 1 => lines.push("ping answered".to_owned()),
            7 => lines.push(format!(
                "goaway, code {}, last stream {}",
                number(4),
                number(0)
            )),
            _ => {}
        }
        if flags & END_STREAM != 0 && kind <= 1 {
            let body = data.iter().find(|(id, _)| *id == stream);
            let body = body.map(|(_, body)| {
                let text = super::transcript::gunzip(body);
                super::transcript::mask_page(&show(text.as_ref().unwrap_or(body)))
            });
            lines.push(format!(
                "stream {stream}: ended, body {}",
                body.unwrap_or_default()
            ));
        }
    }
    if at < bytes.len() {
        let rest = show(&bytes[at..]);
        let line = rest.split("\\r\\n").next().unwrap_or_default();
        lines.push(format!("no frame: {line}"));
    }
    lines
}

/// The DATA frames of each stream's body.
pub(crate) fn list_pieces(bytes: &[u8]) -> Vec<String> {
    let mut streams: Vec<(u8, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = bytes.get(at + 9..at + 9 + length).unwrap_or_default();
        at += 9 + length;
        if head[3] != 0 {
            continue;
        }
        match streams.iter_mut().find(|(stream, ..)| *stream == head[8]) {
            Some((_, sizes, body)) => {
                sizes.push(length);
                body.extend_from_slice(payload);
            }
            None => streams.push((head[8], vec![length], payload.to_vec())),
        }
    }
    let line = |(stream, sizes, body): (u8, Vec<usize>, Vec<u8>)| {
        format!(
            "stream {stream}: {}",
            super::transcript::pieces(&sizes, &body)
        )
    };
    streams.into_iter().map(line).collect()
}

/// How many bytes of data each stream had.
pub(crate) fn body_sizes(bytes: &[u8]) -> Vec<usize> {
    if bytes.starts_with(b"HTTP/") {
        // No preface: the response is HTTP/1.
        let head = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        return head.map(|at| bytes.len() - at - 4).into_iter().collect();
    }
    let mut sizes: Vec<(u8, usize)> = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        at += 9 + length;
        if head[3] == 0 {
            match sizes.iter_mut().find(|(stream, _)| *stream == head[8]) {
                Some((_, size)) => *size += length,
                None => sizes.push((head[8], length)),
            }
        }
    }
    sizes.into_iter().map(|(_, size)| size).collect()
}

/// The status of a header block that starts with one of HPACK's indexed statuses, or with a
/// literal `:status`.
fn status(block: &[u8]) -> String {
    const INDEXED: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
    // A change of the table's size may come first.
    let block = match block.first() {
        Some(byte) if byte & 0xe0 == 0x20 => block.get(1..).unwrap_or_default(),
        _ => block,
    };
    match block {
        [byte @ 0x88..=0x8e, ..] => INDEXED[usize::from(byte - 0x88)].to_owned(),
        [0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e, length, text @ ..] if length & 128 == 0 => {
            let text = &text[..usize::from(*length).min(text.len())];
            String::from_utf8_lossy(text).into_owned()
        }
        [0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e, length, text @ ..] => {
            huffman_digits(&text[..usize::from(length & 127).min(text.len())])
        }
        _ => "?".to_owned(),
    }
}

/// Three digits in HPACK's Huffman code: 0, 1 and 2 have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|b| (0..8).map(move |i| b >> (7 - i) & 1))
        .collect();
    let value = |bits: &[u8]| bits.iter().fold(0_u8, |value, bit| value << 1 | bit);
    let (mut text, mut at) = (String::new(), 0);
    while text.len() < 3 && at + 5 <= bits.len() {
        let five = value(&bits[at..at + 5]);
        if five <= 2 {
            text.push(char::from(b'0' + five));
            at += 5;
        } else if at + 6 <= bits.len() {
            let six = value(&bits[at..at + 6]);
            text.push(char::from(b'3' + six.saturating_sub(0x19).min(6)));
            at += 6;
        } else {
            break;
        }
    }
    text
}

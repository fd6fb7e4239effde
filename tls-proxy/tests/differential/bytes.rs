//! Bytes as text and back: the escapes of a case file, and how observed bytes are shown.

/// Reads a section of a case as bytes. Every line break becomes `line_break`; a backslash
/// at the end of a line joins it to the next, and `\r \n \t \0 \\ \xHH` are single bytes.
/// `\{N*TEXT}` stands for TEXT written N times.
pub(crate) fn unescape(text: &str, line_break: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\n' => bytes.extend_from_slice(line_break.as_bytes()),
            '\\' => unescape_one(&mut rest, &mut bytes)?,
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(bytes)
}

/// Reads a section that is sent: `\|` cuts it, and the sender pauses there; each part is cut
/// into `pieces` again.
pub(crate) fn parts(text: &str, pieces: Option<usize>) -> Result<Vec<Vec<u8>>, String> {
    let mut parts = Vec::new();
    for part in text.split("\\|") {
        let bytes = unescape(part, "\r\n")?;
        let size = bytes.len().div_ceil(pieces.unwrap_or(1).max(1)).max(1);
        parts.extend(bytes.chunks(size).map(<[u8]>::to_vec));
    }
    Ok(parts)
}

fn unescape_one(rest: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Result<(), String> {
    match rest.next() {
        Some('\n') => {}
        Some('r') => bytes.push(b'\r'),
        Some('n') => bytes.push(b'\n'),
        Some('t') => bytes.push(b'\t'),
        Some('0') => bytes.push(0),
        Some('\\') => bytes.push(b'\\'),
        Some('x') => {
            let digits: String = rest.by_ref().take(2).collect();
            let byte = u8::from_str_radix(&digits, 16);
            bytes.push(byte.map_err(|_| format!("\\x{digits} is no byte"))?);
        }
        Some('{') => {
            let group: String = rest.by_ref().take_while(|c| *c != '}').collect();
            let (count, text) = group.split_once('*').ok_or("\\{N*TEXT} needs a *")?;
            let count: usize = count.parse().map_err(|_| format!("{count} is no number"))?;
            let once = unescape(text, "\n")?;
            (0..count).for_each(|_| bytes.extend_from_slice(&once));
        }
        other => return Err(format!("unknown escape \\{}", other.unwrap_or(' '))),
    }
    Ok(())
}

/// Shows bytes on one line; long ones by their beginning, length and sum, so that two
/// transcripts differ exactly when the bytes do.
pub(crate) fn show(bytes: &[u8]) -> String {
    const LONGEST: usize = 1200;
    if bytes.len() <= LONGEST {
        return bytes.escape_ascii().to_string();
    }
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!(
        "{}… {} bytes, sum {sum:016x}",
        bytes[..80].escape_ascii(),
        bytes.len()
    )
}

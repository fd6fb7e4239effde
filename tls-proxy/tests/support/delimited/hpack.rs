//! HPACK (RFC 7541), as far as responses and the tests' own requests need it.

/// The names of the static table (appendix A), and the values of those that have one.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The overhead of an entry in the table's size, bytes (section 4.1).
const OVERHEAD: usize = 32;

/// Huffman codes (appendix B): their length in bits and the symbols that have it, in
/// the order of their codes, which follow one another. Longer codes are those of control
/// characters, the backslash and what is no ASCII.
const CODES: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The newest entry first.
    dynamic: Vec<(String, String)>,
    most: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            dynamic: Vec::new(),
            most: 4096,
        }
    }
}

impl Decoder {
    /// The fields of a complete block; `None` if it is invalid.
    pub(super) fn decode(&mut self, block: &[u8]) -> Option<Vec<(String, String)>> {
        let (mut fields, mut rest) = (Vec::new(), block);
        while let Some(first) = rest.first().copied() {
            let (bits, indexed) = match first {
                0x80.. => (7, false),
                0x40.. => (6, true),
                0x20.. => {
                    self.most = integer(&mut rest, 5)?;
                    self.evict();
                    continue;
                }
                _ => (4, false),
            };
            let index = integer(&mut rest, bits)?;
            if bits == 7 {
                fields.push(self.entry(index)?);
                continue;
            }
            let name = match index {
                0 => string(&mut rest)?,
                index => self.entry(index)?.0,
            };
            let value = string(&mut rest)?;
            if indexed {
                self.dynamic.insert(0, (name.clone(), value.clone()));
                self.evict();
            }
            fields.push((name, value));
        }
        Some(fields)
    }

    fn entry(&self, index: usize) -> Option<(String, String)> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some(((*name).to_owned(), (*value).to_owned())),
            None => self.dynamic.get(index - STATIC.len()).cloned(),
        }
    }

    fn evict(&mut self) {
        let size = |(name, value): &(String, String)| name.len() + value.len() + OVERHEAD;
        while self.dynamic.iter().map(size).sum::<usize>() > self.most {
            self.dynamic.pop();
        }
    }
}

/// An integer whose prefix has so many bits (section 5.1).
fn integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let mut take = || {
        let (first, behind) = rest.split_first()?;
        *rest = behind;
        Some(usize::from(*first))
    };
    let most = (1 << bits) - 1;
    let mut value = take()? & most;
    if value < most {
        return Some(value);
    }
    for shift in (0..28).step_by(7) {
        let byte = take()?;
        value += (byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(value);
        }
    }
    None
}

/// A string (section 5.2).
fn string(rest: &mut &[u8]) -> Option<String> {
    let packed = rest.first()? & 128 != 0;
    let length = integer(rest, 7)?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(match packed {
        true => huffman(text),
        false => text.iter().copied().map(char::from).collect(),
    })
}

/// What can be decoded of a Huffman string.
fn huffman(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut code, mut length) = (0, 0);
    for bit in bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        (code, length) = (code << 1 | u32::from(bit), length + 1);
        let (mut first, mut before) = (0, 0);
        for (bits, symbols) in CODES {
            first <<= bits - before;
            before = bits;
            let symbol = symbols.get((code as usize).wrapping_sub(first as usize));
            if let Some(symbol) = symbol.filter(|_| bits == length) {
                text.push(char::from(*symbol));
                (code, length) = (0, 0);
                break;
            }
            first += symbols.len() as u32;
        }
        if length > 15 {
            // The length of this one is not known, nor where the next one begins.
            text.push(char::REPLACEMENT_CHARACTER);
            break;
        }
    }
    text
}

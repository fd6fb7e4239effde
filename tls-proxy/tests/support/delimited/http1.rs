//! Responses of HTTP/1.

use super::{Fault, fault, is_bodiless, length};

/// The responses on a connection, as far as received.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    /// Method and version of the requests without a response.
    requests: Vec<(String, String)>,
    /// The beginning of a line that the client is sending.
    line: Vec<u8>,
    /// `Content-Length` of the head that it is sending.
    length: usize,
    /// Bytes of a body that it is still to send.
    unsent: usize,
    held: Vec<u8>,
    place: Place,
}

/// What is expected next.
#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// Anything.
    UntilClose,
    /// Nothing: the response said that the connection closes.
    End,
}

impl Http1 {
    /// Records what looks like request lines; chunks do not.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.unsent > 0 {
                self.unsent -= 1;
            } else if *byte != b'\n' {
                self.line.push(*byte);
            } else {
                let line = std::mem::take(&mut self.line);
                self.sent_line(String::from_utf8_lossy(&line).trim_end());
            }
        }
    }

    fn sent_line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        if line.is_empty() {
            self.unsent = std::mem::take(&mut self.length);
        } else if let [method, .., version] = words[..]
            && version.starts_with("HTTP/1.")
        {
            self.requests.push((method.to_owned(), version.to_owned()));
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            self.length = value.trim().parse().unwrap_or(0);
        }
    }

    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.place == Place::UntilClose {
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        while self.step()? {}
        Ok(())
    }

    /// Parses what is next; `false` if more is needed.
    fn step(&mut self) -> Result<bool, Fault> {
        match self.place {
            _ if self.held.is_empty() => return Ok(false),
            Place::Head => return self.head(),
            Place::Body(left) => {
                self.place = match left - self.skip(left) {
                    0 => Place::Head,
                    left => Place::Body(left),
                };
            }
            Place::Chunk(left) => {
                self.place = match left - self.skip(left) {
                    0 => Place::ChunkEnd,
                    left => Place::Chunk(left),
                };
            }
            Place::ChunkSize => {
                let Some(line) = self.line()? else {
                    return Ok(false);
                };
                let size = u64::from_str_radix(&line, 16);
                let is_size = line.bytes().all(|byte| byte.is_ascii_hexdigit());
                self.place = match size {
                    Ok(0) if is_size => Place::Trailer,
                    Ok(size) if is_size => Place::Chunk(size),
                    _ => return fault(format!("a chunk of size {line:?}")),
                };
            }
            Place::ChunkEnd => match self.line()? {
                None => return Ok(false),
                Some(line) if line.is_empty() => self.place = Place::ChunkSize,
                Some(line) => return fault(format!("a chunk longer than its size: {line:?}")),
            },
            Place::Trailer => match self.line()? {
                None => return Ok(false),
                Some(line) if line.is_empty() => self.place = Place::Head,
                Some(line) if line.contains(':') => {}
                Some(line) => return fault(format!("a trailer {line:?}")),
            },
            Place::UntilClose => self.held.clear(),
            Place::End => return fault(format!("behind the last response: {}", self.shown())),
        }
        Ok(true)
    }

    /// Discards up to `most` bytes.
    fn skip(&mut self, most: u64) -> u64 {
        let size = self
            .held
            .len()
            .min(usize::try_from(most).unwrap_or(usize::MAX));
        self.held.drain(..size);
        size as u64
    }

    /// A line without its end.
    fn line(&mut self) -> Result<Option<String>, Fault> {
        let Some(end) = self.held.iter().position(|byte| *byte == b'\n') else {
            let is_short = self.held.len() <= 64 * 1024;
            return if is_short {
                Ok(None)
            } else {
                fault("a line without an end")
            };
        };
        let line: Vec<u8> = self.held.drain(..=end).collect();
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(Some(String::from_utf8_lossy(line).into_owned())),
            None => fault(format!("a bare line feed behind {}", line.escape_ascii())),
        }
    }

    fn shown(&self) -> String {
        let some = self.held.len().min(200);
        self.held[..some].escape_ascii().to_string()
    }

    fn head(&mut self) -> Result<bool, Fault> {
        const START: &[u8] = b"HTTP/1.1 ";
        let known = self.held.len().min(START.len());
        if self.held[..known] != START[..known] {
            return fault(format!("no head, but {}", self.shown()));
        }
        let end = self.held.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { return Ok(false) };
        let head: Vec<u8> = self.held.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        self.place = self
            .judge(&head)
            .map_err(|Fault(what)| Fault(format!("{what}: {head:?}")))?;
        Ok(true)
    }

    /// What has to follow a header.
    fn judge(&mut self, head: &str) -> Result<Place, Fault> {
        let status = head
            .get(9..12)
            .and_then(|digits| digits.parse::<u16>().ok());
        let Some(status @ 100..=999) = status else {
            return fault("no status");
        };
        let mut fields = Vec::new();
        for line in head.split("\r\n").skip(1) {
            match line.split_once(':') {
                Some((name, value)) => fields.push((name.to_ascii_lowercase(), value.trim())),
                None => return fault("a field without a colon"),
            }
        }
        let named = |name: &str| {
            let own = fields.iter().filter(move |(own, _)| own == name);
            own.map(|(_, value)| *value).collect::<Vec<_>>()
        };
        let length = length(named("content-length").into_iter())?;
        let codings = named("transfer-encoding");
        let is_interim = matches!(status, 100 | 102..=199);
        let request = self.requests.first().cloned();
        let (method, version) = request.unzip();
        if !is_interim && !self.requests.is_empty() {
            self.requests.remove(0);
        }
        let chunked = match codings[..] {
            [] => false,
            _ if length.is_some() => return fault("both Content-Length and Transfer-Encoding"),
            _ if status < 200 || status == 204 => return fault("Transfer-Encoding without a body"),
            _ if version.as_deref() == Some("HTTP/1.0") => return fault("chunks for HTTP/1.0"),
            ["chunked"] => true,
            _ => return fault("a transfer coding that is no chunks"),
        };
        if is_interim {
            return Ok(Place::Head);
        }
        if status == 101 {
            return Ok(Place::UntilClose);
        }
        let closes = named("connection").iter().any(|value| {
            let mut words = value.split(',');
            words.any(|word| word.trim().eq_ignore_ascii_case("close"))
        });
        Ok(match length {
            _ if is_bodiless(status, method.as_deref()) => match closes {
                true => Place::End,
                false => Place::Head,
            },
            _ if chunked => Place::ChunkSize,
            Some(0) if closes => Place::End,
            Some(0) => Place::Head,
            Some(length) => Place::Body(length),
            None if closes => Place::UntilClose,
            None => return fault("nothing tells where the body ends"),
        })
    }

    pub(super) fn closed(&self) -> Result<(), Fault> {
        match self.place {
            Place::Head if self.held.is_empty() => Ok(()),
            Place::UntilClose | Place::End => Ok(()),
            ref place => fault(format!("cut at {place:?}")),
        }
    }
}

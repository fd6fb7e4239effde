//! Where a request ends, and which of three responses it gets. Proxies send well-formed
//! requests, so anything else is just an error.

use anyhow::{Context as _, Result, bail};
use memchr::memmem;

/// The longest header, in bytes.
const MOST_HEAD: usize = 64 << 10;

/// The response to a complete request.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// Two bytes.
    Small,
    /// The large response.
    Large,
    /// The number of bytes of its body.
    Sent(usize),
}

/// The requests of one connection, however they are split.
#[derive(Default)]
pub(super) struct Requests {
    state: State,
    /// The beginning of a head, or of a chunk's line, that came in pieces.
    begun: Vec<u8>,
    /// Bytes of the current body so far.
    sent: usize,
}

#[derive(Default, Clone, Copy)]
enum State {
    #[default]
    Head,
    /// A body of known length: bytes left.
    Body(usize),
    /// The line of a chunk's size.
    Size,
    /// A chunk's bytes and the line's end behind them: bytes left.
    Chunk(usize),
    /// A line behind the last chunk.
    Trailer,
}

impl Requests {
    /// How much of `bytes` was used, and what was asked if a request ends there.
    /// `bytes` is not empty.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Asked>)> {
        match self.state {
            State::Head => self.head(bytes),
            State::Body(left) => {
                let used = left.min(bytes.len());
                self.sent += used;
                self.state = State::Body(left - used);
                Ok((used, self.ended(left == used)))
            }
            State::Size => self.line(bytes, |requests, line| {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let size = usize::from_str_radix(str::from_utf8(digits)?.trim(), 16)?;
                requests.sent += size;
                requests.state = match size {
                    0 => State::Trailer,
                    _ => State::Chunk(size + 2),
                };
                Ok(None)
            }),
            State::Chunk(left) => {
                let used = left.min(bytes.len());
                self.state = match left - used {
                    0 => State::Size,
                    left => State::Chunk(left),
                };
                Ok((used, None))
            }
            State::Trailer => {
                self.line(bytes, |requests, line| Ok(requests.ended(line.is_empty())))
            }
        }
    }

    fn ended(&mut self, ended: bool) -> Option<Asked> {
        ended.then(|| {
            self.state = State::Head;
            Asked::Sent(std::mem::take(&mut self.sent))
        })
    }

    fn head(&mut self, bytes: &[u8]) -> Result<(usize, Option<Asked>)> {
        // Nearly always the header is complete, and nothing is copied.
        if self.begun.is_empty()
            && let Some(end) = memmem::find(bytes, b"\r\n\r\n")
        {
            return Ok((end + 4, self.read_head(&bytes[..end + 2])?));
        }
        let known = self.begun.len();
        self.begun.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.begun, b"\r\n\r\n") else {
            if self.begun.len() > MOST_HEAD {
                bail!("the head has no end");
            }
            return Ok((bytes.len(), None));
        };
        let head = std::mem::take(&mut self.begun);
        Ok((end + 4 - known, self.read_head(&head[..end + 2])?))
    }

    /// `head` is with the end of its last line, without the empty one.
    fn read_head(&mut self, head: &[u8]) -> Result<Option<Asked>> {
        if head.starts_with(b"GET ") {
            let large = head.starts_with(b"GET /large ");
            return Ok(Some(if large { Asked::Large } else { Asked::Small }));
        }
        let head = str::from_utf8(head)?.to_ascii_lowercase();
        let field = |name: &str| {
            let at = head.find(name)? + name.len();
            head[at..].split("\r\n").next().map(str::trim)
        };
        if field("\r\ntransfer-encoding:").is_some_and(|coding| coding == "chunked") {
            self.state = State::Size;
            return Ok(None);
        }
        let length = field("\r\ncontent-length:").context("a body of no known length")?;
        let length = length.parse()?;
        self.state = State::Body(length);
        Ok(self.ended(length == 0))
    }

    /// Passes a line, without its end, to `read` once it is complete.
    fn line(
        &mut self,
        bytes: &[u8],
        read: impl FnOnce(&mut Self, &[u8]) -> Result<Option<Asked>>,
    ) -> Result<(usize, Option<Asked>)> {
        let end = memchr::memchr(b'\n', bytes);
        let used = end.map_or(bytes.len(), |end| end + 1);
        self.begun.extend_from_slice(&bytes[..used]);
        if end.is_none() {
            if self.begun.len() > MOST_HEAD {
                bail!("a line has no end");
            }
            return Ok((used, None));
        }
        let line = std::mem::take(&mut self.begun);
        Ok((used, read(self, line.trim_ascii_end())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked by `text` in pieces of `size` bytes.
    fn asked(text: &str, size: usize) -> Vec<Asked> {
        let mut requests = Requests::default();
        let mut all = Vec::new();
        for mut piece in text.as_bytes().chunks(size) {
            while !piece.is_empty() {
                let (used, asked) = requests.take(piece).unwrap();
                all.extend(asked);
                piece = &piece[used..];
            }
        }
        all
    }

    #[test]
    fn requests_end_where_they_do_in_whatever_pieces_they_come() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\
            POST /u HTTP/1.1\r\ncontent-Length: 5\r\n\r\nhello\
            GET /large HTTP/1.1\r\n\r\n\
            PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n\
            POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        let all = [
            Asked::Small,
            Asked::Sent(5),
            Asked::Large,
            Asked::Sent(13),
            Asked::Sent(0),
        ];
        for size in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(asked(text, size), all, "in pieces of {size}");
        }
    }
}

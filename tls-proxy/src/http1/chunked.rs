//! The chunked transfer coding (RFC 9112, section 7.1), decoded in place.

use std::io::Cursor;

use bytes::buf::Chain;
use bytes::{Buf, Bytes, BytesMut};

/// The longest chunk size line with extensions, bytes.
const LINE_LIMIT: usize = 4096;
/// The limit of all trailer fields together, bytes.
const TRAILER_LIMIT: usize = 16 * 1024;

/// A decoder and its state.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    trailers: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

/// The result of a decoder's step.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress {
    /// Bytes of the body.
    Data(Bytes),
    /// The last chunk and the trailer section, its lines unchanged.
    End(Bytes),
    /// More input is needed.
    Starved,
}

/// The coding is invalid; the rest of the connection cannot be interpreted.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("invalid chunked body")]
pub(crate) struct Error;

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            trailers: Vec::new(),
        }
    }

    /// Decodes as much of `input` as it can.
    pub(crate) fn step(&mut self, input: &mut BytesMut) -> Result<Progress, Error> {
        loop {
            match self.state {
                State::Size => match take_line(input, LINE_LIMIT)? {
                    None => {
                        check_start(input)?;
                        return Ok(Progress::Starved);
                    }
                    Some(line) => match parse_size(&line)? {
                        0 => self.state = State::Trailer,
                        size => self.state = State::Data(size),
                    },
                },
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(Progress::Starved);
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - take as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(Progress::Data(input.split_to(take).freeze()));
                }
                State::DataEnd => match input.first() {
                    None => return Ok(Progress::Starved),
                    Some(b'\r') if input.len() < 2 => return Ok(Progress::Starved),
                    Some(b'\r') if input[1] == b'\n' => {
                        input.advance(2);
                        self.state = State::Size;
                    }
                    Some(_) => return Err(Error),
                },
                State::Trailer => match take_line(input, TRAILER_LIMIT)? {
                    None => return Ok(Progress::Starved),
                    Some(line) if line.is_empty() => {
                        self.state = State::Done;
                        return Ok(Progress::End(Bytes::from(std::mem::take(
                            &mut self.trailers,
                        ))));
                    }
                    Some(line) => {
                        if self.trailers.len() + line.len() > TRAILER_LIMIT {
                            return Err(Error);
                        }
                        self.trailers.extend_from_slice(&line);
                        self.trailers.extend_from_slice(b"\r\n");
                    }
                },
                State::Done => return Ok(Progress::Starved),
            }
        }
    }
}

/// A line without its end; `None` if it is incomplete.
fn take_line(input: &mut BytesMut, limit: usize) -> Result<Option<BytesMut>, Error> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return if input.len() > limit {
            Err(Error)
        } else {
            Ok(None)
        };
    };
    if end > limit {
        return Err(Error);
    }
    let mut line = input.split_to(end + 1);
    // A bare line feed is not accepted: implementations disagree about it.
    if end == 0 || line[end - 1] != b'\r' {
        return Err(Error);
    }
    line.truncate(end - 1);
    if line.contains(&b'\r') {
        return Err(Error);
    }
    Ok(Some(line))
}

/// Refuses at once what cannot become the line of a chunk, as nginx does: its end may
/// never come. What stands behind a blank is judged with the line.
fn check_start(line: &[u8]) -> Result<(), Error> {
    let line = match line {
        [] => return Ok(()),
        [start @ .., b'\r'] => start,
        line => line,
    };
    if memchr::memchr(b'\r', line).is_some() {
        return Err(Error);
    }
    let blank = memchr::memchr2(b' ', b'\t', line);
    parse_size(&line[..blank.unwrap_or(line.len())]).map(drop)
}

/// The size of a chunk, in bytes, from its line; extensions are read over.
fn parse_size(line: &[u8]) -> Result<u64, Error> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let zeros = line.iter().take_while(|byte| **byte == b'0').count();
    if digits == 0 || digits - zeros.min(digits) > 15 {
        return Err(Error);
    }
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let blanks = line[digits..].iter().take_while(is_blank).count();
    let rest = &line[digits + blanks..];
    if !rest.is_empty() && rest[0] != b';' || rest.contains(&0) {
        return Err(Error);
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| Error)?;
    u64::from_str_radix(text, 16).map_err(|_| Error)
}

/// A chunk to be sent, its data not copied: its size line, the data, a line end.
pub(crate) type Chunk = Chain<Chain<SizeLine, Bytes>, &'static [u8]>;

/// A chunk's size line, at the end of the array; or nothing.
type SizeLine = Cursor<[u8; SIZE_LINE]>;

/// The longest size line, bytes.
const SIZE_LINE: usize = 18;

/// `data` as a chunk; nothing if it is empty, because an empty chunk ends the body.
pub(crate) fn chunk(data: Bytes) -> Chunk {
    if data.is_empty() {
        return unframed(data);
    }
    size_line(data.len()).chain(data).chain(b"\r\n")
}

/// `data` without the framing of a chunk.
pub(crate) fn unframed(data: Bytes) -> Chunk {
    let mut nothing = Cursor::new([0; SIZE_LINE]);
    nothing.set_position(SIZE_LINE as u64);
    nothing.chain(data).chain(b"")
}

/// Writes `data` as a chunk; nothing if it is empty.
pub(crate) fn encode(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    out.extend_from_slice(size_line(data.len()).chunk());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

fn size_line(size: usize) -> SizeLine {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"................\r\n";
    let mut at = SIZE_LINE - 2;
    let mut left = size;
    while left > 0 {
        at -= 1;
        text[at] = HEX[left & 15];
        left >>= 4;
    }
    let mut line = Cursor::new(text);
    line.set_position(at as u64);
    line
}

/// Writes the last chunk and `trailers`, complete lines or nothing.
pub(crate) fn encode_end(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8]) -> Result<(Vec<u8>, Bytes), Error> {
        let (mut decoder, mut body) = (Decoder::new(), Vec::new());
        let mut held = BytesMut::new();
        for byte in input {
            held.extend_from_slice(&[*byte]);
            loop {
                match decoder.step(&mut held)? {
                    Progress::Data(data) => body.extend_from_slice(&data),
                    Progress::End(trailers) => return Ok((body, trailers)),
                    Progress::Starved => break,
                }
            }
        }
        Err(Error)
    }

    #[test]
    fn a_body_is_decoded_byte_by_byte() {
        let (body, trailers) =
            decode(b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nX-A: 1\r\n\r\n").expect("a whole body");
        assert_eq!(body, b"abcd");
        assert_eq!(&trailers[..], b"X-A: 1\r\n");
    }

    #[test]
    fn broken_sizes_are_refused() {
        for input in [
            &b"zz\r\n"[..],
            b"-1\r\n",
            b"0x3\r\n",
            b"3 4\r\nabc",
            b"3\x0c\r\nabc\r\n",
            b"\r\n",
            b"+3\r\nabc\r\n",
            b"10000000000000000\r\n",
            b"3\r\nabcd\r\n",
            b"3\rX\nabc\r\n",
            b"3\nabc\r\n",
            b"3\r\nabc\n",
        ] {
            assert!(
                decode(input).is_err(),
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_its_limit() {
        let mut held = BytesMut::from(&vec![b'1'; LINE_LIMIT + 1][..]);
        assert_eq!(Decoder::new().step(&mut held), Err(Error));
    }

    #[test]
    fn a_chunk_to_be_sent_is_what_encode_writes() {
        for size in [0, 1, 15, 16, 300] {
            let data = vec![b'x'; size];
            let mut out = Vec::new();
            encode(&data, &mut out);
            let mut sent = chunk(data.into());
            assert_eq!(sent.copy_to_bytes(sent.remaining()), out);
        }
        let mut plain = unframed(Bytes::from_static(b"x"));
        assert_eq!(plain.copy_to_bytes(plain.remaining()), "x");
    }

    #[test]
    fn what_is_encoded_decodes_again() {
        let mut out = Vec::new();
        encode(&[b'x'; 300], &mut out);
        encode(b"", &mut out);
        encode_end(b"", &mut out);
        assert_eq!(decode(&out).map(|(body, _)| body.len()), Ok(300));
    }
}

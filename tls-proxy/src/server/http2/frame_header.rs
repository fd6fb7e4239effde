//! Parses the frame headers (RFC 9113, section 4.1) in the bytes of both sides.

/// The client's connection preface without its SETTINGS frame, bytes (RFC 9113,
/// section 3.4).
const PREFACE: u32 = 24;
/// A frame's header, bytes.
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const PRIORITY: u8 = 0x20;
/// Priority fields before a header block, bytes (RFC 9113, section 6.2).
const DEPENDENCY: u32 = 5;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame for which the receiver needs memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// HEADERS of a new stream.
    Request {
        /// Payload size, bytes.
        size: u32,
        /// No CONTINUATION follows.
        ends: bool,
        /// The stream, if a body follows.
        body: Option<u32>,
    },
    /// Another header block: HEADERS of a stream that is open or has ended, or PUSH_PROMISE, which a
    /// client must not send, but may.
    Trailers { stream: u32, size: u32, ends: bool },
    /// DATA; its payload size includes padding, bytes.
    Data { stream: u32, size: u32 },
}

impl Frame {
    /// The stream whose body it belongs to; `None` for a new request.
    pub(super) fn stream(self) -> Option<u32> {
        match self {
            Self::Request { .. } => None,
            Self::Trailers { stream, .. } | Self::Data { stream, .. } => Some(stream),
        }
    }
}

/// Finds the frame headers in a side's bytes, in any pieces.
#[derive(Debug, Default)]
struct Frames {
    /// The part of a frame header that has come.
    header: [u8; HEADER],
    come: usize,
    /// Bytes left of the current payload, or of the preface.
    left: u32,
}

/// A frame header.
#[derive(Clone, Copy)]
struct Header {
    size: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frames {
    /// Parses `bytes` up to the end of a frame header or payload, or to their own end; returns how
    /// many bytes were parsed, and the header if they complete one.
    fn next(&mut self, bytes: &[u8]) -> (usize, Option<Header>) {
        if self.left > 0 {
            let size = bytes.len().min(self.left as usize);
            self.left -= size as u32;
            return (size, None);
        }
        // Nearly always a header comes in one piece.
        if self.come == 0
            && let Some(header) = bytes.first_chunk()
        {
            return (HEADER, Some(self.begin(*header)));
        }
        let size = bytes.len().min(HEADER - self.come);
        self.header[self.come..self.come + size].copy_from_slice(&bytes[..size]);
        self.come += size;
        if self.come < HEADER {
            return (size, None);
        }
        self.come = 0;
        (size, Some(self.begin(self.header)))
    }

    fn begin(&mut self, header: [u8; HEADER]) -> Header {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = header;
        self.left = u32::from_be_bytes([0, a, b, c]);
        Header {
            size: self.left,
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }
}

/// Follows the bytes to a client, for the streams that end with a header block: `h2` does not
/// report what it has sent.
#[derive(Debug, Default)]
pub(super) struct SentBlocks {
    frames: Frames,
    /// The stream that ends with the current header block.
    ends: Option<u32>,
    /// The current frame ends its header block.
    ends_block: bool,
}

impl SentBlocks {
    /// Calls `sent` for each stream whose last byte is among those that have been written.
    pub(super) fn pass(&mut self, mut written: &[u8], mut sent: impl FnMut(u32)) {
        while !written.is_empty() {
            let (size, header) = self.frames.next(written);
            written = &written[size..];
            if let Some(header) = header {
                if header.kind == HEADERS {
                    self.ends = (header.flags & END_STREAM != 0).then_some(header.stream);
                }
                self.ends_block = header.flags & END_HEADERS != 0;
            }
            if self.frames.left == 0
                && self.ends_block
                && let Some(stream) = self.ends.take()
            {
                sent(stream);
            }
        }
    }
}

/// Follows a client's bytes from frame to frame.
#[derive(Debug)]
pub(super) struct FrameHeaders {
    frames: Frames,
    /// The current frame ends its header block.
    ends_block: bool,
    /// A header block has ended since the last call of `block_ended`.
    ended: bool,
    /// Size of the current header block so far if it is a request's, bytes.
    block: Option<u32>,
    /// The current frame, or the first one of the current header block.
    present: Option<Frame>,
    /// The highest stream so far.
    last: u32,
}

impl Default for FrameHeaders {
    fn default() -> Self {
        Self {
            frames: Frames {
                left: PREFACE,
                ..Frames::default()
            },
            ends_block: false,
            ended: false,
            block: None,
            present: None,
            last: 0,
        }
    }
}

impl FrameHeaders {
    /// Parses `bytes` up to the end of the next relevant frame header; returns how many
    /// bytes were parsed.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Option<Frame>) {
        let mut at = 0;
        while at < bytes.len() {
            let (size, header) = self.frames.next(&bytes[at..]);
            at += size;
            let frame = header.and_then(|header| self.read(header));
            self.end_of_payload();
            if frame.is_some() {
                return (at, frame);
            }
        }
        (at, None)
    }

    /// Whether a header block has ended since the last call.
    pub(super) fn block_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// Size of the header block that has ended, with padding, bytes; `None` if it was not a
    /// request's.
    pub(super) fn request_block(&self) -> Option<u32> {
        self.block
    }

    /// The partly received frame or header block.
    pub(super) fn partial(&self) -> Option<Frame> {
        self.present
    }

    fn end_of_payload(&mut self) {
        if self.frames.left > 0 {
            return;
        }
        if std::mem::take(&mut self.ends_block) {
            self.ended = true;
            self.present = None;
        } else if matches!(self.present, Some(Frame::Data { .. })) {
            self.present = None;
        }
    }

    fn read(&mut self, header: Header) -> Option<Frame> {
        let Header {
            size,
            kind,
            flags,
            stream,
        } = header;
        let ends = flags & END_HEADERS != 0;
        let frame = match kind {
            DATA => Frame::Data { stream, size },
            HEADERS => {
                self.ends_block = ends;
                if stream <= self.last {
                    self.block = None;
                    Frame::Trailers { stream, size, ends }
                } else {
                    let before = if flags & PRIORITY == 0 { 0 } else { DEPENDENCY };
                    self.block = Some(size.saturating_sub(before));
                    self.last = stream;
                    let body = (flags & END_STREAM == 0).then_some(stream);
                    Frame::Request { size, ends, body }
                }
            }
            PUSH_PROMISE => {
                self.ends_block = ends;
                self.block = None;
                Frame::Trailers { stream, size, ends }
            }
            CONTINUATION => {
                self.ends_block = ends;
                self.block = self.block.map(|block| block.saturating_add(size));
                return None;
            }
            _ => return None,
        };
        self.present = Some(frame);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, size: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, size, kind, flags, 0, 0, 0, stream];
        bytes.extend(vec![b'x'; size.into()]);
        bytes
    }

    /// The frames found when the bytes come in pieces of `size`.
    fn found(bytes: &[u8], size: usize) -> Vec<Frame> {
        let mut headers = FrameHeaders::default();
        let mut all = Vec::new();
        for piece in bytes.chunks(size) {
            let mut at = 0;
            while at < piece.len() {
                let (size, frame) = headers.next(&piece[at..]);
                at += size;
                all.extend(frame);
            }
        }
        all
    }

    #[test]
    fn frames_are_found_however_their_bytes_come() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, 6));
        bytes.extend(frame(HEADERS, END_HEADERS, 1, 7));
        bytes.extend(frame(DATA, 0, 1, 0));
        bytes.extend(frame(8, 0, 0, 4));
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, 3));
        bytes.extend(frame(HEADERS, END_STREAM, 3, 9));
        bytes.extend(frame(CONTINUATION, END_HEADERS, 3, 5));
        let wanted = [
            Frame::Request {
                size: 7,
                ends: true,
                body: Some(1),
            },
            Frame::Data { stream: 1, size: 0 },
            Frame::Trailers {
                stream: 1,
                size: 3,
                ends: true,
            },
            Frame::Request {
                size: 9,
                ends: false,
                body: None,
            },
        ];
        for size in [1, 2, 5, 9, 24, 1000] {
            assert_eq!(found(&bytes, size), wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn a_stream_ends_with_the_last_byte_of_its_last_block() {
        let mut bytes = frame(4, 0, 0, 6);
        let mut wanted = Vec::new();
        for (kind, flags, stream, size, ends) in [
            (HEADERS, END_HEADERS, 1, 7, false),
            (HEADERS, END_HEADERS | END_STREAM, 3, 5, true),
            (DATA, END_STREAM | END_HEADERS, 5, 4, false),
            (HEADERS, END_STREAM, 7, 3, false),
            (CONTINUATION, END_HEADERS, 7, 9, true),
            (HEADERS, END_HEADERS | END_STREAM, 1, 0, true),
        ] {
            bytes.extend(frame(kind, flags, stream, size));
            if ends {
                wanted.push((bytes.len(), u32::from(stream)));
            }
        }
        for size in [1, 2, 5, 9, 1000] {
            let (mut blocks, mut found) = (SentBlocks::default(), Vec::new());
            for (number, piece) in bytes.chunks(size).enumerate() {
                let end = (number * size + piece.len()).min(bytes.len());
                blocks.pass(piece, |stream| found.push((end, stream)));
            }
            let expected = wanted.iter().map(|(end, stream)| {
                (
                    end.div_ceil(size).saturating_mul(size).min(bytes.len()),
                    *stream,
                )
            });
            assert_eq!(found, expected.collect::<Vec<_>>(), "in pieces of {size}");
        }
    }

    #[test]
    fn a_header_block_ends_with_the_last_byte_of_its_last_frame() {
        let mut headers = FrameHeaders::default();
        let mut bytes = vec![0; PREFACE as usize];
        bytes.extend(frame(HEADERS, END_STREAM, 1, 2));
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, 2));
        let last = bytes.pop();
        let mut at = 0;
        while at < bytes.len() {
            at += headers.next(&bytes[at..]).0;
        }
        assert!(!headers.block_ended());
        assert!(matches!(headers.partial(), Some(Frame::Request { .. })));
        headers.next(&[last.unwrap_or_default()]);
        assert!(headers.block_ended() && !headers.block_ended());
        assert_eq!(headers.partial(), None);
    }
}

//! Parses the frame headers (RFC 9113, section 4.1) in the bytes of both sides.

use super::table_entries::TableEntries;
use crate::admission::{HTTP2_FRAME, HTTP2_USED};

/// The client's connection preface without its SETTINGS frame, bytes (RFC 9113,
/// section 3.4).
const PREFACE: u32 = 24;
/// A frame's header, bytes.
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// Priority fields before a header block, bytes (RFC 9113, section 6.2).
const DEPENDENCY: u32 = 5;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The pad length and the priority fields, bytes.
const MOST_BEFORE: usize = 1 + DEPENDENCY as usize;

/// `h2` receives frames up to this size in its first buffer, bytes.
const SMALL_FRAME: u32 = 4 << 10;
/// Bytes of a connection after which the first buffer may be used up.
const FIRST_BUFFER: u64 = 4 << 10;
/// What `h2` needs for an entry of the decoder's dynamic table, bytes.
const DECODED: u64 = 152;
/// And of the encoder's, bytes.
const ENCODED: u64 = 232;

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
    /// Another header block: HEADERS of a stream that is open or has ended.
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
    /// The current frame has a part of a header block.
    in_block: bool,
    entries: TableEntries,
}

impl SentBlocks {
    /// The entries of the encoder's table, bytes.
    pub(super) fn entries(&self) -> u64 {
        ENCODED * self.entries.count()
    }

    /// Calls `sent` for each stream whose last byte is among those that have been written.
    pub(super) fn pass(&mut self, mut written: &[u8], mut sent: impl FnMut(u32)) {
        while !written.is_empty() {
            let in_payload = self.frames.left > 0;
            let (size, header) = self.frames.next(written);
            if in_payload && self.in_block {
                self.entries.read(&written[..size], 0);
            }
            written = &written[size..];
            if let Some(header) = header {
                self.in_block = matches!(header.kind, HEADERS | CONTINUATION);
                if header.kind == HEADERS {
                    self.entries.begin();
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

/// Where the header block is in a frame's payload (RFC 9113, section 6.2).
#[derive(Debug, Default)]
struct Fragment {
    stream: u32,
    flags: u8,
    /// What comes before it, its size, and how much of it has come.
    before: [u8; MOST_BEFORE],
    size: usize,
    come: usize,
    /// Bytes left of it.
    left: u32,
}

impl Fragment {
    fn new(header: Header) -> Self {
        let flags = if header.kind == HEADERS {
            header.flags
        } else {
            0
        };
        let padded = usize::from(flags & PADDED != 0);
        let priority = if flags & PRIORITY == 0 { 0 } else { DEPENDENCY };
        Self {
            stream: header.stream,
            flags,
            before: [0; MOST_BEFORE],
            size: padded + priority as usize,
            come: 0,
            left: header.size,
        }
    }

    /// The part of the header block in the next part of the payload.
    fn of<'a>(&mut self, mut payload: &'a [u8]) -> &'a [u8] {
        if self.come < self.size {
            let size = payload.len().min(self.size - self.come);
            self.before[self.come..self.come + size].copy_from_slice(&payload[..size]);
            self.come += size;
            payload = &payload[size..];
            if self.come == self.size {
                self.begin();
            }
        }
        let size = payload.len().min(self.left as usize);
        self.left -= size as u32;
        &payload[..size]
    }

    /// What comes before it is complete.
    fn begin(&mut self) {
        let [pad, ..] = self.before;
        let pad = if self.flags & PADDED == 0 { 0 } else { pad };
        self.left = self.left.saturating_sub(self.size as u32 + u32::from(pad));
        let priority = &self.before[..self.size];
        if let Some((_, [a, b, c, d, _])) = priority.split_last_chunk()
            && u32::from_be_bytes([a & 0x7f, *b, *c, *d]) == self.stream
        {
            // A stream that depends on itself: `h2` does not decode its header block.
            self.left = 0;
        }
    }
}

/// Follows a client's bytes from frame to frame.
#[derive(Debug)]
pub(super) struct FrameHeaders {
    frames: Frames,
    /// Bytes that have passed.
    position: u64,
    /// The current frame's, if it has a part of a header block.
    fragment: Option<Fragment>,
    entries: TableEntries,
    /// A frame, or a header block of several ones, was too large for the first buffer.
    has_grown: bool,
    /// What the client must not send.
    broken: Option<&'static str>,
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
            position: 0,
            fragment: None,
            entries: TableEntries::default(),
            has_grown: false,
            broken: None,
            ends_block: false,
            ended: false,
            block: None,
            present: None,
            last: 0,
        }
    }
}

impl FrameHeaders {
    /// Parses `bytes` up to the end of the next relevant frame header, or of the first large frame's
    /// one; returns how many bytes were parsed.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Option<Frame>) {
        let mut at = 0;
        while at < bytes.len() {
            let (in_payload, had_grown) = (self.frames.left > 0, self.has_grown);
            let (size, header) = self.frames.next(&bytes[at..]);
            self.position += size as u64;
            if in_payload && let Some(fragment) = &mut self.fragment {
                let part = fragment.of(&bytes[at..at + size]);
                self.entries.read(part, self.position);
                if self.entries.is_broken() {
                    self.broken = Some("client sent zero header name length");
                }
            }
            at += size;
            let frame = header.and_then(|header| self.read(header));
            self.end_of_payload();
            if frame.is_some() || self.has_grown != had_grown || self.broken.is_some() {
                return (at, frame);
            }
        }
        (at, None)
    }

    /// What the client must not send has come: `h2` would not end the connection, or would not
    /// understand it as it is read here.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.broken
    }

    /// The entries of the decoder's table, bytes.
    pub(super) fn entries(&self) -> u64 {
        DECODED * self.entries.count() + self.entries.buffers()
    }

    /// What the buffers of the connection need in addition by now, bytes.
    pub(super) fn buffers(&self) -> u64 {
        let mut kept = 0;
        if self.entries.buffers() > 0 && self.position > FIRST_BUFFER {
            kept += HTTP2_USED;
        }
        if self.has_grown {
            kept += HTTP2_FRAME;
        }
        kept
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
        self.has_grown |= size > SMALL_FRAME || (kind == HEADERS && !ends);
        self.fragment = matches!(kind, HEADERS | CONTINUATION).then(|| Fragment::new(header));
        if kind == HEADERS {
            self.entries.begin();
        }
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
                self.broken = Some("client sent PUSH_PROMISE frame");
                return None;
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

    /// What is kept after HEADERS with this payload, and `later` more bytes in other frames.
    fn kept(flags: u8, payload: &[u8], later: usize, size: usize) -> u64 {
        let mut bytes = vec![0; PREFACE as usize];
        bytes.extend([0, 0, payload.len() as u8, HEADERS, flags, 0, 0, 0, 1]);
        bytes.extend(payload);
        for _ in 0..later.div_ceil(100) {
            bytes.extend(frame(6, 0, 0, 100));
        }
        let mut headers = FrameHeaders::default();
        for piece in bytes.chunks(size) {
            let mut at = 0;
            while at < piece.len() {
                at += headers.next(&piece[at..]).0;
            }
        }
        headers.buffers()
    }

    #[test]
    fn what_the_table_keeps_is_found_between_padding_and_priority() {
        let path: &[u8] = &[0x44, 1, b'/'];
        let priority = |stream| vec![0x80, 0, 0, stream, 16];
        let ends = END_HEADERS | END_STREAM;
        let much = 5000;
        for size in [1, 3, 10_000] {
            assert_eq!(kept(ends, path, 10, size), 0);
            assert_eq!(kept(ends, path, much, size), HTTP2_USED);
            assert_eq!(kept(ends, &[0x82], much, size), 0);
            let padded = [&[2], path, &[0x44, 0]].concat();
            assert_eq!(kept(ends | PADDED, &padded, much, size), HTTP2_USED);
            let padded = [&[3][..], path].concat();
            assert_eq!(
                kept(ends | PADDED, &padded, much, size),
                0,
                "nothing but padding"
            );
            let of = |stream| [&priority(stream), path].concat();
            assert_eq!(kept(ends | PRIORITY, &of(0), much, size), HTTP2_USED);
            assert_eq!(kept(ends | PRIORITY, &of(1), much, size), 0, "not decoded");
            let both = [&[2][..], &of(0), &[0x44, 0]].concat();
            assert_eq!(
                kept(ends | PRIORITY | PADDED, &both, much, size),
                HTTP2_USED
            );
        }
        assert_eq!(
            kept(END_STREAM, path, 0, 10),
            HTTP2_FRAME,
            "a block of several frames"
        );
    }

    #[test]
    fn any_large_frame_is_counted_before_its_payload() {
        for kind in [DATA, HEADERS, 2, 4, 6, 8, CONTINUATION, 0x42] {
            let mut headers = FrameHeaders::default();
            let mut bytes = vec![0; PREFACE as usize];
            bytes.extend([0, 0x10, 1, kind, END_HEADERS, 0, 0, 0, 1]);
            let size = bytes.len();
            bytes.extend([0; 100]);
            assert_eq!(headers.buffers(), 0);
            assert_eq!(headers.next(&bytes).0, size, "kind {kind}");
            assert_eq!(headers.buffers(), HTTP2_FRAME, "kind {kind}");
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

//! HTTP/2 frames (RFC 9113), for what a well-behaved client does not do or does not
//! show: which frames are sent, and in which order.

use std::net::SocketAddr;

use super::Client;

/// Types of frames, section 6.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// Flags.
pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A received frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection in clear text with prior knowledge.
pub(crate) struct Http2 {
    pub(crate) wire: Client,
}

impl Http2 {
    /// Connects and sends its settings.
    pub(crate) fn begin_to_connect(address: SocketAddr) -> Self {
        let mut wire = Client::connect(address);
        wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut own = Self { wire };
        own.send(SETTINGS, 0, 0, b"");
        own
    }

    /// Connects and exchanges settings.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut own = Self::begin_to_connect(address);
        own.frame_of(SETTINGS);
        own.send(SETTINGS, ACK, 0, b"");
        own
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.wire.send(bytes(kind, flags, stream, payload));
    }

    /// Sends `GET path`, resets it, and a ping, together.
    pub(crate) fn ask_and_reset(&mut self, stream: u32, path: &str) {
        let block = block("GET", path, &[]);
        let mut both = bytes(HEADERS, END_STREAM | END_HEADERS, stream, &block);
        both.extend(bytes(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        both.extend(bytes(PING, 0, 0, &[0; 8]));
        // The peer may have closed.
        let _ = std::io::Write::write_all(&mut self.wire.socket, &both);
    }

    /// Sends `GET path`, and `more` fields.
    pub(crate) fn ask(&mut self, stream: u32, path: &str, more: &[(&str, &str)]) {
        let block = block("GET", path, more);
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &block);
    }

    /// Sends the head of `POST path`, and `more` fields; its body is to follow.
    pub(crate) fn begin(&mut self, stream: u32, path: &str, more: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS, stream, &block("POST", path, more));
    }

    /// Widens the peer's window by so many bytes.
    pub(crate) fn widen(&mut self, stream: u32, by: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    }

    /// The next frame; None at the end.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let head = self.wire.take(9);
        let &[a, b, c, kind, flags, s1, s2, s3, s4] = &head[..] else {
            return None;
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes([s1, s2, s3, s4]);
        let payload = self.wire.take(length);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// The next frame of a type; acknowledges pings before it.
    pub(crate) fn frame_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().expect("a frame before the end");
            if frame.kind == PING && frame.flags & ACK == 0 {
                self.send(PING, ACK, 0, &frame.payload);
            }
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The next frame of a type; None at the end.
    pub(crate) fn until(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.frame()).find(|frame| frame.kind == kind)
    }

    /// All frames until the peer closes; acknowledges pings.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame() {
            if frame.kind == PING && frame.flags & ACK == 0 {
                // The peer may have closed by now.
                let mut pong = vec![0, 0, 8, PING, ACK, 0, 0, 0, 0];
                pong.extend(&frame.payload);
                let _ = std::io::Write::write_all(&mut self.wire.socket, &pong);
            }
            frames.push(frame);
        }
        frames
    }
}

/// A frame as it is sent.
fn bytes(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block of literals that are not indexed (RFC 7541, section 6.2.2).
fn block(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
    ];
    let mut out = Vec::new();
    for (name, value) in pseudo.iter().chain(more) {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "fits into one byte of length");
            out.push(u8::try_from(text.len()).unwrap());
            out.extend(text.as_bytes());
        }
    }
    out
}

//! Responses of HTTP/2.

use std::collections::HashMap;

use super::hpack::Decoder;
use super::{Fault, PREFACE, fault, is_bodiless, length};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// Connection-specific fields (RFC 9113, section 8.2.2).
const FORBIDDEN: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// The responses on a connection, as far as received.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    outgoing: Frames,
    incoming: Frames,
    /// Methods by stream.
    methods: HashMap<u32, String>,
    streams: HashMap<u32, Stream>,
    /// A header block could not be decoded: later ones cannot be either.
    is_lost: bool,
}

/// One direction.
#[derive(Debug, Default)]
struct Frames {
    /// The preface has been removed.
    begun: bool,
    held: Vec<u8>,
    decoder: Decoder,
    /// An incomplete header block, its stream, and the flags of HEADERS.
    block: Option<(u32, u8, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct Stream {
    status: Option<u16>,
    announced: Option<u64>,
    body: u64,
    ended: bool,
    reset: bool,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frames {
    fn take(&mut self) -> Option<Frame> {
        let &[a, b, c, kind, flags, s1, s2, s3, s4, ..] = &self.held[..] else {
            return None;
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if self.held.len() < 9 + length {
            return None;
        }
        let stream = u32::from_be_bytes([s1 & 127, s2, s3, s4]);
        let payload = self.held.drain(..9 + length).skip(9).collect();
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Adds a piece of a header block; the stream, the flags and the fields once it
    /// is whole. The outer `None` is that it cannot be read.
    #[allow(clippy::type_complexity, reason = "used twice, beside it")]
    fn fields(&mut self, frame: Frame) -> Option<Option<(u32, u8, Vec<(String, String)>)>> {
        let whole = frame.flags & END_HEADERS != 0;
        let (stream, flags, mut block) = match frame.kind {
            HEADERS => (frame.stream, frame.flags, Vec::new()),
            _ => self.block.take()?,
        };
        block.extend(unpadded(frame)?);
        if !whole {
            self.block = Some((stream, flags, block));
            return Some(None);
        }
        let fields = self.decoder.decode(&block)?;
        Some(Some((stream, flags, fields)))
    }
}

/// The payload without padding and priority.
fn unpadded(frame: Frame) -> Option<Vec<u8>> {
    let mut payload = frame.payload;
    let has_padding = matches!(frame.kind, DATA | HEADERS) && frame.flags & PADDED != 0;
    if has_padding {
        let padding = usize::from(*payload.first()?);
        payload.remove(0);
        payload.truncate(payload.len().checked_sub(padding)?);
    }
    if frame.kind == HEADERS && frame.flags & PRIORITY != 0 {
        payload.drain(..5.min(payload.len()));
    }
    Some(payload)
}

impl Http2 {
    /// Notes methods, as far as what the client sends can be read.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        self.outgoing.held.extend_from_slice(bytes);
        if !self.outgoing.begun {
            if self.outgoing.held.len() < PREFACE.len() {
                return;
            }
            self.outgoing.held.drain(..PREFACE.len());
            self.outgoing.begun = true;
        }
        while let Some(frame) = self.outgoing.take() {
            if !matches!(frame.kind, HEADERS | CONTINUATION) {
                continue;
            }
            if let Some(Some((stream, _, fields))) = self.outgoing.fields(frame) {
                let method = fields.into_iter().find(|(name, _)| name == ":method");
                let method = method.map(|(_, method)| method);
                self.methods
                    .entry(stream)
                    .or_insert(method.unwrap_or_default());
            }
        }
    }

    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.incoming.held.extend_from_slice(bytes);
        while !self.is_lost
            && let Some(frame) = self.incoming.take()
        {
            let stream = frame.stream;
            let judged = match frame.kind {
                DATA => self.data(frame),
                HEADERS | CONTINUATION => match self.incoming.fields(frame) {
                    None => fault("a header block that cannot be read"),
                    Some(None) => Ok(()),
                    Some(Some((stream, flags, fields))) => self.head(stream, flags, &fields),
                },
                RST_STREAM => {
                    self.streams.entry(stream).or_default().reset = true;
                    Ok(())
                }
                _ => Ok(()),
            };
            judged.map_err(|Fault(what)| Fault(format!("stream {stream}: {what}")))?;
        }
        Ok(())
    }

    fn data(&mut self, frame: Frame) -> Result<(), Fault> {
        let (id, ends) = (frame.stream, frame.flags & END_STREAM != 0);
        let Some(payload) = unpadded(frame) else {
            return fault("padding longer than its frame");
        };
        let stream = self.streams.entry(id).or_default();
        let Some(status) = stream.status else {
            return fault("DATA before the head");
        };
        if stream.ended || stream.reset {
            return fault("DATA behind the end");
        }
        if payload.is_empty() && !ends {
            return fault("a DATA frame that carries nothing");
        }
        stream.body += payload.len() as u64;
        let method = self.methods.get(&id).map(String::as_str);
        if is_bodiless(status, method) && stream.body > 0 {
            return fault(format!("a body with {status} to {method:?}"));
        }
        stream.grows()?;
        if ends { self.end(id) } else { Ok(()) }
    }

    fn head(&mut self, id: u32, flags: u8, fields: &[(String, String)]) -> Result<(), Fault> {
        let ends = flags & END_STREAM != 0;
        let named = |name: &str| {
            let own = fields.iter().filter(move |(own, _)| own == name);
            own.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
        };
        if let Some((name, _)) = fields
            .iter()
            .find(|(name, _)| FORBIDDEN.contains(&&name[..]))
        {
            return fault(format!("the field {name}"));
        }
        let stream = self.streams.entry(id).or_default();
        if stream.ended || stream.reset {
            return fault("HEADERS behind the end");
        }
        if stream.status.is_some() {
            return match (ends, &named(":status")[..]) {
                (true, []) => self.end(id),
                _ => fault("trailers that are none"),
            };
        }
        let [status] = named(":status")[..] else {
            return fault("no status, or two");
        };
        let Some(status @ 100..=999) = status.parse::<u16>().ok() else {
            return fault(format!("status {status:?}"));
        };
        if status < 200 {
            return if ends {
                fault("an interim end")
            } else {
                Ok(())
            };
        }
        stream.status = Some(status);
        stream.announced = length(named("content-length").into_iter())?;
        if ends { self.end(id) } else { Ok(()) }
    }

    fn end(&mut self, id: u32) -> Result<(), Fault> {
        let stream = self.streams.entry(id).or_default();
        stream.ended = true;
        let method = self.methods.get(&id).map(String::as_str);
        let bodiless = is_bodiless(stream.status.unwrap_or(0), method);
        match stream.announced {
            Some(length) if !bodiless && stream.body < length => fault(format!(
                "{} bytes of data where {length} were announced",
                stream.body
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn closed(&self) -> Result<(), Fault> {
        let is_open = |(_, own): &(&u32, &Stream)| own.status.is_some() && !own.ended && !own.reset;
        match self.streams.iter().find(is_open) {
            Some((id, _)) => fault(format!("stream {id}: cut")),
            None => Ok(()),
        }
    }
}

impl Stream {
    fn grows(&self) -> Result<(), Fault> {
        match self.announced {
            Some(length) if self.body > length => fault(format!(
                "{} bytes of data where {length} were announced",
                self.body
            )),
            _ => Ok(()),
        }
    }
}

//! Decodes the body of a message, whatever its framing, into pieces.

use bytes::{Bytes, BytesMut};

use super::chunked;
use crate::message::head::Framing;

/// Decodes one message's body from its connection's input.
#[derive(Debug)]
pub(crate) enum Decoder {
    Length(u64),
    Chunked(chunked::Decoder),
    UntilClose,
    Done,
}

/// The result of a decoder's step.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Bytes of the body.
    Data(Bytes),
    /// The end of the body, and trailer field lines if there were any.
    End(Bytes),
    /// More input is needed.
    Starved,
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("invalid chunked body")]
    Chunk,
    #[error("prematurely closed connection")]
    Truncated,
}

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(chunked::Decoder::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Whether the body is complete.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Decodes as much of `input` as it can; `eof` if no more follows.
    pub(crate) fn step(&mut self, input: &mut BytesMut, eof: bool) -> Result<Progress, Error> {
        let step = match self {
            Self::Done => return Ok(Progress::End(Bytes::new())),
            Self::Length(left) if !input.is_empty() => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= take as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Progress::Data(input.split_to(take).freeze())
            }
            Self::UntilClose if !input.is_empty() => Progress::Data(input.split().freeze()),
            Self::UntilClose if eof => {
                *self = Self::Done;
                Progress::End(Bytes::new())
            }
            Self::Length(_) | Self::UntilClose => Progress::Starved,
            Self::Chunked(decoder) => match decoder.step(input).map_err(|_| Error::Chunk)? {
                chunked::Progress::Data(data) => Progress::Data(data),
                chunked::Progress::Starved => Progress::Starved,
                chunked::Progress::End(trailers) => {
                    *self = Self::Done;
                    Progress::End(trailers)
                }
            },
        };
        if eof && matches!(step, Progress::Starved) {
            return Err(Error::Truncated);
        }
        Ok(step)
    }
}

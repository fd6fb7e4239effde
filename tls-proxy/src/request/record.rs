//! What is recorded of a request for variables and the log: the upstreams that were tried,
//! and the response as it was sent.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::group::PeerAddress;
use crate::time::cached_time;

/// One upstream that was tried.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) peer: Tried,
    pub(crate) began: Instant,
    /// `$upstream_status`; 0 if there was no response.
    pub(crate) status: u16,
    /// Time until the connection was established, the head received, and the end.
    pub(crate) connected: Option<Duration>,
    pub(crate) head: Option<Duration>,
    pub(crate) ended: Option<Duration>,
    /// Bytes of the request, of the response, and of the response's body.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) body: u64,
}

/// What an attempt was made on.
#[derive(Clone, Debug)]
pub(crate) enum Tried {
    Peer(PeerAddress),
    /// A group without an available peer.
    Group(String),
    /// Not an upstream: separates the attempts of two locations.
    AnotherRound,
}

impl fmt::Display for Tried {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(address) => address.fmt(out),
            Self::Group(name) => out.write_str(name),
            Self::AnotherRound => Ok(()),
        }
    }
}

impl Attempt {
    pub(crate) fn is_another_round(&self) -> bool {
        matches!(self.peer, Tried::AnotherRound)
    }

    pub(crate) fn new(peer: Tried) -> Self {
        Self {
            peer,
            began: cached_time::now(),
            status: 0,
            connected: None,
            head: None,
            ended: None,
            sent: 0,
            received: 0,
            body: 0,
        }
    }
}

/// What an upstream's response with `X-Accel-Redirect` passes to the one served instead.
#[derive(Debug, Default)]
pub(crate) struct AccelRedirect {
    /// The path or the name of the location.
    pub(crate) redirect: Option<Bytes>,
    /// There is no memory for its fields.
    pub(crate) refused: bool,
    pub(crate) content_type: Option<Bytes>,
    pub(crate) fields: Vec<(Bytes, Bytes)>,
}

/// The response as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// `$status`; 0 until it is known.
    pub(crate) status: u16,
    pub(crate) head_bytes: u64,
    /// `$body_bytes_sent`: everything after the head.
    pub(crate) body_bytes: u64,
    /// The response's fields, as sent.
    pub(crate) fields: Vec<(Bytes, Bytes)>,
    /// Trailer lines, each with its line end.
    pub(crate) trailers: Vec<u8>,
    /// `$request_completion`.
    pub(crate) complete: bool,
    /// The connection was closed instead: nginx logs status 000.
    pub(crate) dropped: bool,
}

impl Outcome {
    /// `$bytes_sent`.
    pub(crate) fn bytes(&self) -> u64 {
        self.head_bytes + self.body_bytes
    }
}

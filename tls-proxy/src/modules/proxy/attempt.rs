//! One attempt to get a response: what is recorded of it, and what its error means.

use std::io;

use crate::metrics::labels::UpstreamError;
use crate::request::{Attempt, Request, Tried};
use crate::time::cached_time;
use crate::upstream::exchange::{self, Exchange};

/// An exchange whose response head is awaited. If the wait is cancelled, the bytes sent and
/// received are recorded all the same.
pub(super) struct Awaited<'a> {
    pub(super) attempt: &'a mut Attempt,
    pub(super) exchange: &'a mut Exchange,
    pub(super) abandoned: bool,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if self.abandoned {
            let wire = &self.exchange.link.wire;
            self.attempt.sent = wire.sent.saturating_sub(self.attempt.sent);
            self.attempt.received = wire.received.saturating_sub(self.attempt.received);
        }
    }
}

impl exchange::Error {
    /// The label of the metric; `unsent` means that there was no connection.
    pub(super) fn reason(&self, unsent: bool) -> UpstreamError {
        match self {
            Self::TimedOut(_) => UpstreamError::Timeout,
            Self::Malformed(_) => UpstreamError::Malformed,
            _ if unsent => UpstreamError::Connect,
            Self::Client(_) | Self::Io(_) | Self::Closed | Self::Certificate(_) => {
                UpstreamError::Closed
            }
        }
    }

    /// nginx's status for the error.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Client(error) => error.status(),
            Self::TimedOut(_) => 504,
            Self::Certificate(_) => 500,
            Self::Io(_) | Self::Closed | Self::Malformed(_) => 502,
        }
    }
}

/// Tries that each request has room for.
const FEW: usize = 8;
/// What one more takes, bytes: its record, which is moved when there are more, and its number.
const ONE_MORE: u64 = 2 * size_of::<Attempt>() as u64;

/// Reserves the memory for the record of another try; `false` if there is none. A name may have
/// as many servers as its owner likes.
pub(super) fn reserve_attempt(request: &Request) -> bool {
    request.attempts.len() < FEW || request.try_reserve(ONE_MORE)
}

/// The record of the current try.
pub(super) fn last_attempt(attempts: &mut Vec<Attempt>) -> &mut Attempt {
    if attempts.is_empty() {
        attempts.push(Attempt::new(Tried::AnotherRound));
    }
    let last = attempts.len() - 1;
    &mut attempts[last]
}

/// Nothing of the request has reached the last peer.
pub(super) fn last_unsent(request: &Request) -> bool {
    request
        .attempts
        .last()
        .is_none_or(|attempt| attempt.connected.is_none())
}

pub(super) fn note_end(request: &mut Request, status: u16) {
    let attempt = last_attempt(&mut request.attempts);
    attempt.ended = Some(cached_time::since(attempt.began));
    attempt.status = status;
    (attempt.sent, attempt.received) = (0, 0);
}

/// The error of a connect in nginx's words.
pub(super) fn connect_error(error: &io::Error) -> io::Error {
    if error.raw_os_error().is_none() {
        // TLS errors have their own message.
        return io::Error::new(error.kind(), error.to_string());
    }
    let reason = crate::conf::reason(error);
    io::Error::new(
        error.kind(),
        format!("connect() failed ({reason}) while connecting to upstream"),
    )
}

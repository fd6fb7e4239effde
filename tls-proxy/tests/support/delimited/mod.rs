//! Checks for every response: on a connection that stays open it is self-delimited, and
//! it is neither longer nor shorter than it announced (RFC 9112, section 6.3; RFC 9113, section 8.1.1).
//!
//! A [`Watch`] parses the bytes of one connection. It is the tests' own parser, shared
//! with neither program, and is tested itself in
//! `tests/it/delimited.rs`.

#![allow(dead_code, reason = "each file of tests uses a part")]

mod hpack;
mod http1;
mod http2;

use http1::Http1;
use http2::Http2;

/// What a client sends first over HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is wrong with a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

/// Says what is wrong.
fn fault<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault(what.into()))
}

/// The responses on one connection.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// What the client has sent, until its protocol is known.
    sent: Vec<u8>,
    /// What was received, until the server's protocol is known.
    received: Vec<u8>,
    spoken: Spoken,
}

#[derive(Debug, Default)]
enum Spoken {
    #[default]
    Unknown,
    Http1(Http1),
    Http2(Http2),
    /// Not HTTP, or a body without a header, as in HTTP/0.9.
    Other,
}

impl Watch {
    /// The client sends something.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        match &mut self.spoken {
            Spoken::Unknown => self.sent.extend_from_slice(bytes),
            Spoken::Http1(own) => own.sent(bytes),
            Spoken::Http2(own) => own.sent(bytes),
            Spoken::Other => {}
        }
    }

    /// The client has received something.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match &mut self.spoken {
            Spoken::Unknown => self.begin(bytes),
            Spoken::Http1(own) => own.received(bytes),
            Spoken::Http2(own) => own.received(bytes),
            Spoken::Other => Ok(()),
        }
    }

    /// The server has closed: a response that announced its length must be complete. Not
    /// called if the upstream broke off.
    pub(crate) fn closed(&self) -> Result<(), Fault> {
        match &self.spoken {
            Spoken::Http1(own) => own.closed(),
            Spoken::Http2(own) => own.closed(),
            Spoken::Unknown | Spoken::Other => Ok(()),
        }
    }

    /// Detects the protocol.
    fn begin(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        const HEAD: &[u8] = b"HTTP/";
        self.received.extend_from_slice(bytes);
        let known = self.received.len().min(HEAD.len());
        let (sent, received) = (&self.sent[..], &self.received[..]);
        self.spoken = if received[..known] != HEAD[..known] {
            match sent.starts_with(PREFACE) {
                true => Spoken::Http2(Http2::default()),
                false => Spoken::Other,
            }
        } else if known == HEAD.len() {
            Spoken::Http1(Http1::default())
        } else {
            return Ok(());
        };
        let sent = std::mem::take(&mut self.sent);
        let received = std::mem::take(&mut self.received);
        self.sent(&sent);
        self.received(&received)
    }
}

/// The one value of `Content-Length`, if there is one.
fn length<'a>(values: impl Iterator<Item = &'a str>) -> Result<Option<u64>, Fault> {
    let mut length = None;
    for value in values {
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = value.parse().ok().filter(|_| is_number) else {
            return fault(format!("Content-Length {value:?}"));
        };
        if length.replace(number).is_some() {
            return fault("two Content-Length");
        }
    }
    Ok(length)
}

/// Whether a response with this status to this method has no body.
fn is_bodiless(status: u16, method: Option<&str>) -> bool {
    matches!(status, 100..=199 | 204 | 304) || method == Some("HEAD")
}

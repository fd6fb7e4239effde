//! Whether a body follows the head of a response, and how its end is known
//! (RFC 9112, section 6.3).

use crate::request::Request;
use crate::request::response::{Content, Response};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none, whatever `Content-Length` says.
    None,
    /// By its length, bytes.
    Length(u64),
    /// By chunks or by the end of the connection or stream.
    Unknown,
}

impl Response {
    /// How the end of the body is known. That depends on the status that is sent,
    /// so it is asked for when nothing changes that any more.
    pub(crate) fn framing(&self, request: &Request) -> Framing {
        match self.length {
            _ if request.is_head() || self.is_bodiless() => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Unknown,
        }
    }

    /// Whether this status never has a body (RFC 9112, section 6.3).
    pub(crate) fn is_bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Makes the length what the status that is sent wants it to be: whoever made
    /// the response may have had another one in mind (`error_page`).
    pub(crate) fn settle_length(&mut self, request: &Request) {
        if self.is_bodiless() || request.is_head() && self.length.is_some() {
            return;
        }
        match &self.content {
            Content::Empty => self.length = Some(0),
            // What is announced there is the length of a body that is left out.
            Content::Upstream(answer) if answer.is_bodiless() => self.length = None,
            _ => {}
        }
    }
}

//! Whether a body follows the head of a response, and how its end is known
//! (RFC 9112, section 6.3).

use crate::request::Request;
use crate::request::response::{Content, Response};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body, whatever `Content-Length` says.
    None,
    /// By its length, bytes.
    Length(u64),
    /// By chunks or by the end of the connection or stream.
    Unknown,
}

impl Response {
    /// How the end of the body is known. It depends on the final status, so it is asked for
    /// after the last change of that.
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

    /// Sets the length to what the final status requires: the response may have been made
    /// with another status (`error_page`).
    pub(crate) fn fix_length(&mut self, request: &Request) {
        if self.is_bodiless() || request.is_head() && self.length.is_some() {
            return;
        }
        match &self.content {
            Content::Empty => self.length = Some(0),
            // This `Content-Length` is that of the body which a HEAD or 304 leaves out.
            Content::Upstream(body) if body.is_bodiless() => self.length = None,
            _ => {}
        }
    }
}

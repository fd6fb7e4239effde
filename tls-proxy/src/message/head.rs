//! The head of a request and what can be asked of it.

use bytes::Bytes;

use crate::message::fields::{Fields, contains, members};

/// How much of a head a stranger may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Longest request line and longest field line, in bytes
    /// (`large_client_header_buffers`, second argument).
    pub line: usize,
    /// The whole head, in bytes (`large_client_header_buffers`, both arguments).
    pub head: usize,
    /// How many field lines (`max_headers`).
    pub fields: usize,
    /// `underscores_in_headers`.
    pub underscores: bool,
    /// `ignore_invalid_headers`.
    pub ignore_invalid: bool,
}

/// The version a request line names (RFC 9112, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// A line without a version: `GET /` and nothing else.
    Http09,
    /// `HTTP/1.0`.
    Http10,
    /// `HTTP/1.1`, and any later minor version.
    Http11,
    /// HTTP/2 (RFC 9113); never parsed here.
    Http2,
}

/// A request head.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    /// The request line without its line end (`$request`).
    pub line: Bytes,
    /// The method, case-sensitive.
    pub method: Bytes,
    /// The target in origin form (`$request_uri`).
    pub target: Bytes,
    /// The host of an absolute-form target; it overrides `Host`.
    pub authority: Option<Bytes>,
    /// The version.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    /// Bytes of the head, its empty line too.
    pub length: u64,
}

/// How the end of a message's body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Everything until the connection closes; answers only.
    UntilClose,
}

impl RequestHead {
    /// Whether the client wants the connection kept (RFC 9112, section 9.3);
    /// of several `Connection` fields the last word counts.
    pub(crate) fn wants_keep_alive(&self) -> bool {
        let said = self.fields.all(b"connection").filter_map(|value| {
            let close = contains(value, b"close");
            (close || contains(value, b"keep-alive")).then_some(!close)
        });
        match (said.last(), self.version) {
            (_, Version::Http09) => false,
            (Some(keep), _) => keep,
            // HTTP/2 has no such thing; nginx calls it closed.
            (None, version) => version == Version::Http11,
        }
    }

    /// Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1).
    pub(crate) fn expects_continue(&self) -> bool {
        self.version == Version::Http11
            && self
                .fields
                .all(b"expect")
                .any(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// The protocol the client wants to change to (RFC 9110, section 7.8).
    pub(crate) fn upgrade(&self) -> Option<&[u8]> {
        let named = self
            .fields
            .all(b"connection")
            .flat_map(members)
            .any(|member| member.eq_ignore_ascii_case(b"upgrade"));
        if named {
            self.fields.first(b"upgrade")
        } else {
            None
        }
    }
}

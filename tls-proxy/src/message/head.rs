//! The head of a request.

use bytes::Bytes;

use crate::message::fields::{Fields, contains, members};

/// Limits of a head.
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

/// The version in a request line (RFC 9112, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// A line without a version: `GET /` and nothing else.
    Http09,
    /// `HTTP/1.0`.
    Http10,
    /// `HTTP/1.1`, and any later minor version.
    Http11,
    /// HTTP/2 (RFC 9113); not in a request line.
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
    /// Size of the head including the empty line, bytes.
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
    /// Everything until the connection closes; responses only.
    UntilClose,
}

impl RequestHead {
    /// A head of which only the line is known, or a part of it.
    pub(crate) fn of_line(line: Bytes, version: Version) -> Box<Self> {
        Box::new(Self {
            line,
            method: Bytes::new(),
            target: Bytes::new(),
            authority: None,
            version,
            fields: Fields::default(),
            length: 0,
        })
    }

    /// Whether the client wants the connection kept (RFC 9112, section 9.3); of several
    /// `Connection` fields the last one counts.
    pub(crate) fn wants_keep_alive(&self) -> bool {
        let said = self.fields.all(b"connection").filter_map(|value| {
            let close = contains(value, b"close");
            (close || contains(value, b"keep-alive")).then_some(!close)
        });
        match (said.last(), self.version) {
            (_, Version::Http09) => false,
            (Some(keep), _) => keep,
            // HTTP/2 has no such field; nginx shows `close`.
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

    /// The protocol the client asks to switch to (RFC 9110, section 7.8).
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

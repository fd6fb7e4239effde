//! Label values of the metrics: small fixed sets, which clients cannot extend.

use crate::message::head::Version;

/// Statuses with a label of their own, nginx's included; the last one is for all others.
pub(crate) const CODES: [&str; 32] = [
    "101", "200", "201", "204", "206", "301", "302", "303", "304", "307", "308", "400", "401",
    "403", "404", "405", "408", "409", "412", "413", "414", "416", "421", "422", "429", "444",
    "499", "500", "502", "503", "504", "other",
];

/// The index of every status below 600, computed at compile time.
const CODE_INDEX: [u8; 600] = code_index();

const fn code_index() -> [u8; 600] {
    let other = CODES.len() as u8 - 1;
    let mut index = [other; 600];
    let mut at = 0;
    while at < CODES.len() - 1 {
        let digits = CODES[at].as_bytes();
        let mut code = 0;
        let mut digit = 0;
        while digit < digits.len() {
            code = code * 10 + (digits[digit] - b'0') as usize;
            digit += 1;
        }
        index[code] = at as u8;
        at += 1;
    }
    index
}

/// The index of a status in [`CODES`].
pub(super) fn code(status: u16) -> usize {
    let index = CODE_INDEX.get(usize::from(status)).copied();
    usize::from(index.unwrap_or(CODES.len() as u8 - 1))
}

/// Classes of an upstream's status.
pub(crate) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// The index of a status in [`CLASSES`].
pub(super) fn class(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100 - 1),
        _ => CLASSES.len() - 1,
    }
}

/// Versions of HTTP, as in `$server_protocol`.
pub(crate) const PROTOCOLS: [&str; 4] = ["HTTP/0.9", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0"];

/// The index of a version in [`PROTOCOLS`].
pub(super) fn protocol(version: Version) -> usize {
    match version {
        Version::Http09 => 0,
        Version::Http10 => 1,
        Version::Http11 => 2,
        Version::Http2 => 3,
    }
}

/// Versions of TLS, as in `$ssl_protocol`.
pub(crate) const TLS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];
/// Kinds of handshakes.
pub(crate) const SESSIONS: [&str; 2] = ["full", "resumed"];
/// Limits that reject requests.
pub(crate) const LIMITS: [&str; 2] = ["limit_req", "limit_conn"];

/// What an evicted connection or stream was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    /// For a request.
    Idle,
    /// For the handshake.
    Handshake,
    /// For a request's head.
    RequestHead,
    /// For a request's body.
    RequestBody,
    /// For the client to read the response.
    Response,
    /// For data in a tunnel.
    Tunnel,
    /// For an upstream: it held more than its share, or was stalled.
    Share,
    /// It had been accepted, and there was no memory to serve it.
    Accept,
}

/// The words for [`Relief`], in its order.
pub(crate) const RELIEFS: [&str; 8] = [
    "idle",
    "handshake",
    "request_head",
    "request_body",
    "response",
    "tunnel",
    "share",
    "accept",
];

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The client closed the connection.
    ClientClosed,
    /// `client_header_timeout`.
    Timeout,
    /// No common cipher suite, group or signature scheme.
    NoSharedCipher,
    /// No common version.
    ProtocolVersion,
    /// The client rejected the server's certificate.
    CertificateRejected,
    /// The client's certificate is malformed.
    ClientCertificate,
    /// Plain HTTP.
    PlainHttp,
    /// `ssl_reject_handshake`, or no server for this name.
    Rejected,
    /// No common protocol (ALPN).
    NoProtocol,
    /// Not TLS, or malformed.
    Malformed,
    /// Anything else.
    Other,
}

/// The label values of [`Handshake`], in order.
pub(crate) const HANDSHAKES: [&str; 11] = [
    "client_closed",
    "timeout",
    "no_shared_cipher",
    "protocol_version",
    "certificate_rejected",
    "client_certificate",
    "plain_http",
    "rejected",
    "no_shared_protocol",
    "malformed",
    "other",
];

/// Errors of upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamError {
    /// The connection or its TLS handshake failed.
    Connect,
    /// `proxy_connect_timeout`, `proxy_send_timeout`, `proxy_read_timeout`.
    Timeout,
    /// It was closed before the response was complete.
    Closed,
    /// The response was invalid.
    Malformed,
    /// A kept connection had been closed; usually a new one works.
    Stale,
    /// Every peer is marked as failed.
    NoLivePeer,
    /// Its name could not be resolved.
    Resolve,
}

/// The label values of [`UpstreamError`], in order.
pub(crate) const UPSTREAM_ERRORS: [&str; 7] = [
    "connect",
    "timeout",
    "closed",
    "malformed",
    "stale",
    "no_live_peer",
    "resolve",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_an_index() {
        for status in [101, 200, 404, 499, 504] {
            assert_eq!(CODES[code(status)], status.to_string());
        }
        for status in [0, 1, 99, 599, 600, 999, u16::MAX] {
            assert_eq!(CODES[code(status)], "other");
        }
        for (status, name) in [(100, "1xx"), (599, "5xx"), (99, "other"), (600, "other")] {
            assert_eq!(CLASSES[class(status)], name);
        }
    }

    #[test]
    fn reasons_and_labels_are_as_many() {
        assert_eq!(HANDSHAKES[Handshake::Other as usize], "other");
        assert_eq!(HANDSHAKES[Handshake::PlainHttp as usize], "plain_http");
        assert_eq!(UPSTREAM_ERRORS[UpstreamError::Resolve as usize], "resolve");
    }
}

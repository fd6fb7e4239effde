//! What counts are told apart by: small sets that no stranger can widen.

use crate::message::head::Version;

/// Statuses that are told apart, nginx's own too; the last place is every
/// other's.
pub(crate) const CODES: [&str; 32] = [
    "101", "200", "201", "204", "206", "301", "302", "303", "304", "307", "308", "400", "401",
    "403", "404", "405", "408", "409", "412", "413", "414", "416", "421", "422", "429", "444",
    "499", "500", "502", "503", "504", "other",
];

/// The place of every status below 600, made once.
const PLACES: [u8; 600] = places();

const fn places() -> [u8; 600] {
    let other = CODES.len() as u8 - 1;
    let mut places = [other; 600];
    let mut at = 0;
    while at < CODES.len() - 1 {
        let digits = CODES[at].as_bytes();
        let mut code = 0;
        let mut digit = 0;
        while digit < digits.len() {
            code = code * 10 + (digits[digit] - b'0') as usize;
            digit += 1;
        }
        places[code] = at as u8;
        at += 1;
    }
    places
}

/// The place of a status among [`CODES`].
pub(super) fn code(status: u16) -> usize {
    let place = PLACES.get(usize::from(status)).copied();
    usize::from(place.unwrap_or(CODES.len() as u8 - 1))
}

/// Classes of an upstream's status.
pub(crate) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// The place of a status among [`CLASSES`].
pub(super) fn class(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100 - 1),
        _ => CLASSES.len() - 1,
    }
}

/// Versions of HTTP, as `$server_protocol` calls them.
pub(crate) const PROTOCOLS: [&str; 4] = ["HTTP/0.9", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0"];

/// The place of a version among [`PROTOCOLS`].
pub(super) fn protocol(version: Version) -> usize {
    match version {
        Version::Http09 => 0,
        Version::Http10 => 1,
        Version::Http11 => 2,
        Version::Http2 => 3,
    }
}

/// Versions of TLS, as `$ssl_protocol` calls them.
pub(crate) const TLS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];
/// How a handshake was made.
pub(crate) const SESSIONS: [&str; 2] = ["full", "resumed"];
/// What a request was refused for.
pub(crate) const LIMITS: [&str; 2] = ["limit_req", "limit_conn"];

/// What somebody was doing who had to give up its memory for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    /// Nothing, between two requests.
    Idle,
    /// Its handshake did not go on.
    Handshake,
    /// The head of its request did not.
    RequestHead,
    /// The body of its request did not.
    RequestBody,
    /// It did not read the response.
    Response,
    /// Nothing went through its tunnel.
    Tunnel,
    /// It held more than its share.
    Share,
    /// It had been accepted, and there was no room to serve it.
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

/// Why there was no TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The client went away.
    ClientClosed,
    /// `client_header_timeout`.
    Timeout,
    /// No cipher suite, group or kind of signature is known to both.
    NoSharedCipher,
    /// No version is.
    ProtocolVersion,
    /// The client does not trust the certificate it was shown.
    CertificateRejected,
    /// The client's own certificate cannot be read.
    ClientCertificate,
    /// HTTP in clear text.
    PlainHttp,
    /// `ssl_reject_handshake`, or no server of that name.
    Rejected,
    /// No protocol is known to both (ALPN).
    NoProtocol,
    /// No TLS, or broken.
    Malformed,
    /// Anything else.
    Other,
}

/// The words for [`Handshake`], in its order.
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

/// What went wrong with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamError {
    /// No connection, or no TLS on it.
    Connect,
    /// `proxy_connect_timeout`, `proxy_send_timeout`, `proxy_read_timeout`.
    Timeout,
    /// It closed before its answer was whole.
    Closed,
    /// Its answer is none.
    Malformed,
    /// A kept connection had ended meanwhile; most are mended by a new one.
    Stale,
    /// Every peer is marked as failed.
    NoLivePeer,
    /// Its name has no address.
    Resolve,
}

/// The words for [`UpstreamError`], in its order.
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
    fn every_status_has_a_place() {
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
    fn reasons_and_words_are_as_many() {
        assert_eq!(HANDSHAKES[Handshake::Other as usize], "other");
        assert_eq!(HANDSHAKES[Handshake::PlainHttp as usize], "plain_http");
        assert_eq!(UPSTREAM_ERRORS[UpstreamError::Resolve as usize], "resolve");
    }
}

//! The head of a request to an upstream (RFC 9112, section 3), as far as it follows
//! from the client's and not from the configuration.

use crate::decimal;
use crate::message::fields::FieldNameFilter;
use crate::message::head::Framing;

/// Fields of the client's that never go upstream as they are: they are about
/// this connection, or made anew.
const REPLACED: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "keep-alive",
    "expect",
    "upgrade",
    "proxy-connection",
];

const REPLACED_NAMES: FieldNameFilter = FieldNameFilter::of(&REPLACED);

/// Whether a field of the client's goes upstream as it is.
pub(crate) fn passes(name: &[u8]) -> bool {
    let is = |own: &&str| own.as_bytes().eq_ignore_ascii_case(name);
    !(REPLACED_NAMES.may_have(name) && REPLACED.iter().any(is))
}

/// Says how long the body is.
pub(crate) fn write_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Length(length) => write_field(b"Content-Length", &decimal::text(length), out),
        Framing::Chunked => write_field(b"Transfer-Encoding", b"chunked", out),
        Framing::None | Framing::UntilClose => {}
    }
}

/// Writes one field.
pub(crate) fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

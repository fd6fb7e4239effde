//! The head of a request to an upstream (RFC 9112, section 3): the part that depends on the
//! client's head and not on the configuration.

use pod::decimal;

use crate::message::fields::FieldNameFilter;
use crate::message::head::Framing;

/// Fields of the client that are not passed to an upstream unchanged: they concern this
/// connection or are generated.
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

/// Whether a field of the client is passed on unchanged.
pub(crate) fn passes(name: &[u8]) -> bool {
    let is = |own: &&str| own.as_bytes().eq_ignore_ascii_case(name);
    !(REPLACED_NAMES.may_have(name) && REPLACED.iter().any(is))
}

/// Writes the framing of the body.
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

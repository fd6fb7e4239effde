//! `$proxy_protocol_…`: the values of a load balancer's PROXY header.

use crate::modules::variables::known::append;
use crate::modules::variables::{Evaluate, Family, write};
use crate::net::proxy_protocol::{Header, HeaderAddress, find};
use crate::request::Request;

/// TLVs by name, and their types (PROXY protocol, section 2.2).
const NAMES: &[(&[u8], u8)] = &[
    (b"alpn", 0x01),
    (b"authority", 0x02),
    (b"unique_id", 0x05),
    (b"ssl", 0x20),
    (b"netns", 0x30),
];

/// TLVs within the one about TLS (section 2.2.6).
const TLS_NAMES: &[(&[u8], u8)] = &[
    (b"version", 0x21),
    (b"cn", 0x22),
    (b"cipher", 0x23),
    (b"sig_alg", 0x24),
    (b"key_alg", 0x25),
];

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[
    ("proxy_protocol_addr", |request, out| {
        address(request, |header| header.source.as_ref(), out)
    }),
    ("proxy_protocol_port", |request, out| {
        port(request, |header| header.source.as_ref(), out)
    }),
    ("proxy_protocol_server_addr", |request, out| {
        address(request, |header| header.target.as_ref(), out)
    }),
    ("proxy_protocol_server_port", |request, out| {
        port(request, |header| header.target.as_ref(), out)
    }),
];

type Which = fn(&Header) -> Option<&HeaderAddress>;

fn address(request: &Request, which: Which, out: &mut Vec<u8>) -> bool {
    let place = request.connection.proxy_header.as_deref().and_then(which);
    write(place.map(|place| place.text.as_bytes()), out)
}

fn port(request: &Request, which: Which, out: &mut Vec<u8>) -> bool {
    let place = request.connection.proxy_header.as_deref().and_then(which);
    place.is_some_and(|place| place.port == 0 || append(out, format_args!("{}", place.port)))
}

/// `$proxy_protocol_tlv_NAME`: a TLV of the header.
pub(crate) static BALANCER_VALUE: Family = Family {
    prefix: "proxy_protocol_tlv_",
    evaluate: tlv,
    cached: false,
};

/// A name may be a type as `0xea`.
fn tlv(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(header) = &request.connection.proxy_header else {
        return false;
    };
    let value = match name.strip_prefix(b"ssl_") {
        Some(name) => match header.tls() {
            Some((verify, _)) if name == b"verify" => {
                return append(out, format_args!("{verify}"));
            }
            Some((_, rest)) => kind(name, TLS_NAMES).and_then(|kind| find(rest, kind)),
            None => None,
        },
        None => kind(name, NAMES).and_then(|kind| header.tlv(kind)),
    };
    write(value, out)
}

fn kind(name: &[u8], names: &[(&[u8], u8)]) -> Option<u8> {
    if let Some(digits) = name.strip_prefix(b"0x") {
        let digits = std::str::from_utf8(digits).ok()?;
        return u8::from_str_radix(digits, 16).ok();
    }
    let known = names.iter().find(|(own, _)| *own == name);
    known.map(|(_, kind)| *kind)
}

//! The header of the PROXY protocol, versions 1 and 2, by HAProxy's specification: the
//! client's address behind a load balancer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::{Buf as _, BytesMut};

use super::cidr::parse_address;
use crate::conf::units;

/// Longest header of version 1 with its line end, bytes: 107 by the specification, but
/// nginx reads up to the size of its header buffer.
const LONGEST_V1: usize = 1024;
/// Longest header of version 2, bytes (nginx's limit).
const LONGEST_V2: usize = 4096;
/// The signature of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The TLV type of TLS information (section 2.2.6).
const TLS: u8 = 0x20;
/// Signature, version, family and length.
const FIXED_V2: usize = 16;

/// A parsed header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The client's address; `None` for `UNKNOWN` and `LOCAL`.
    pub(crate) source: Option<HeaderAddress>,
    /// The address the client connected to.
    pub(crate) target: Option<HeaderAddress>,
    /// Version 2: further values as TLVs. The buffer that they were read into is not kept for them.
    tlvs: Box<[u8]>,
}

/// An address as the header writes it. In version 1 the text may be no valid address; it is
/// passed on unchanged, but not used as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderAddress {
    pub(crate) text: Box<str>,
    pub(crate) port: u16,
}

impl HeaderAddress {
    /// The address, if the text is valid.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(parse_address(&self.text)?, self.port))
    }
}

/// The header is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broken header: \"{0}\"")]
pub(crate) struct Error(String);

impl Header {
    /// The memory of its further values, bytes: a client decides on it.
    pub(crate) fn memory(&self) -> u64 {
        self.tlvs.len() as u64
    }

    /// The value of a TLV of version 2.
    pub(crate) fn tlv(&self, kind: u8) -> Option<&[u8]> {
        find(&self.tlvs, kind)
    }

    /// The client's TLS information from the load balancer: whether its certificate was
    /// verified, and further TLVs (PROXY protocol, section 2.2.6).
    pub(crate) fn tls(&self) -> Option<(u32, &[u8])> {
        let [_, a, b, c, d, rest @ ..] = self.tlv(TLS)? else {
            return None;
        };
        Some((u32::from_be_bytes([*a, *b, *c, *d]), rest))
    }
}

/// The value of the first TLV of a type.
pub(crate) fn find(tlvs: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = tlvs;
    while let [own, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let value = tail.get(..length)?;
        if *own == kind {
            return Some(value);
        }
        rest = &tail[length..];
    }
    None
}

/// Takes a header from the beginning of `seen`; `None` if it is incomplete.
pub(crate) fn parse(seen: &mut BytesMut) -> Result<Option<Header>, Error> {
    let begins = |start: &[u8]| seen.starts_with(start) || start.starts_with(seen);
    if begins(SIGNATURE) {
        return if seen.len() < FIXED_V2 {
            Ok(None)
        } else {
            parse_v2(seen)
        };
    }
    if !begins(b"PROXY ") {
        return Err(broken(seen));
    }
    let line_end = memchr::memchr(b'\n', &seen[..seen.len().min(LONGEST_V1)]);
    match line_end {
        None if seen.len() < LONGEST_V1 => Ok(None),
        None => Err(broken(seen)),
        Some(end) => {
            let header = parse_v1(&seen[..end]).ok_or_else(|| broken(&seen[..end]))?;
            seen.advance(end + 1);
            Ok(Some(header))
        }
    }
}

fn broken(bytes: &[u8]) -> Error {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    Error(crate::log::level::shown(&bytes[..end.min(LONGEST_V1)]))
}

/// A line of version 1, without its line feed.
fn parse_v1(line: &[u8]) -> Option<Header> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r")?).ok()?;
    let rest = line.strip_prefix("PROXY ")?;
    if rest.starts_with("UNKNOWN") {
        return Some(Header::default());
    }
    let rest = rest
        .strip_prefix("TCP4 ")
        .or_else(|| rest.strip_prefix("TCP6 "))?;
    let mut words = rest.split(' ');
    let mut address = || {
        let of_address = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
        words.next().filter(|word| word.bytes().all(of_address))
    };
    let (source, target) = (address()?, address()?);
    let mut port = || units::parse_integer::<u16>(words.next()?);
    let (source_port, target_port) = (port()?, port()?);
    let place = |text: &str, port| {
        let text = text.into();
        Some(HeaderAddress { text, port })
    };
    words.next().is_none().then(|| Header {
        source: place(source, source_port),
        target: place(target, target_port),
        tlvs: Box::default(),
    })
}

fn parse_v2(seen: &mut BytesMut) -> Result<Option<Header>, Error> {
    let refuse = |why: String| Err(Error(why));
    let (version, family) = (seen[12], seen[13]);
    if version >> 4 != 2 {
        return refuse(format!("unknown PROXY protocol version: {}", version >> 4));
    }
    let length = usize::from(u16::from_be_bytes([seen[14], seen[15]]));
    if FIXED_V2 + length > LONGEST_V2 {
        return refuse("header is too large".to_owned());
    }
    if seen.len() < FIXED_V2 + length {
        return Ok(None);
    }
    seen.advance(FIXED_V2);
    let body = seen.split_to(length);
    // `LOCAL`, and anything but TCP: the connection's own addresses are used.
    let pair = match (version & 0xf, family) {
        (1, 0x11) => pair_v4(&body),
        (1, 0x21) => pair_v6(&body),
        _ => return Ok(Some(Header::default())),
    };
    let Some((source, target, size)) = pair else {
        return refuse("addresses are cut short".to_owned());
    };
    let place = |address: SocketAddr| {
        let text = address.ip().to_string().into();
        let port = address.port();
        Some(HeaderAddress { text, port })
    };
    Ok(Some(Header {
        source: place(source),
        target: place(target),
        tlvs: body[size..].into(),
    }))
}

fn pair_v4(body: &[u8]) -> Option<(SocketAddr, SocketAddr, usize)> {
    let body: [u8; 12] = body.get(..12)?.try_into().ok()?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = body;
    let source = Ipv4Addr::new(a, b, c, d);
    let target = Ipv4Addr::new(e, f, g, h);
    Some((
        SocketAddr::new(source.into(), u16::from_be_bytes([i, j])),
        SocketAddr::new(target.into(), u16::from_be_bytes([k, l])),
        12,
    ))
}

fn pair_v6(body: &[u8]) -> Option<(SocketAddr, SocketAddr, usize)> {
    let address = |at: usize| {
        let bytes: [u8; 16] = body.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::V6(bytes.into()))
    };
    let port = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    Some((
        SocketAddr::new(address(0)?, port(32)?),
        SocketAddr::new(address(16)?, port(34)?),
        36,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<String>, Error> {
        let mut seen = BytesMut::from(bytes);
        let header = parse(&mut seen)?;
        Ok(header.map(|header| {
            let show = |it: Option<HeaderAddress>| {
                it.map_or("-".to_owned(), |it| format!("{}:{}", it.text, it.port))
            };
            let rest = String::from_utf8_lossy(&seen).into_owned();
            format!("{} {} {rest}", show(header.source), show(header.target))
        }))
    }

    #[test]
    fn version_1_is_read() {
        for (bytes, expected) in [
            (
                "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\nGET",
                "1.2.3.4:11 5.6.7.8:22 GET",
            ),
            ("PROXY TCP6 ::1 ::2 11 22\r\n", "::1:11 ::2:22 "),
            ("PROXY TCP4 999.2.3.4 A:: 011 0\r\n", "999.2.3.4:11 A:::0 "),
            ("PROXY UNKNOWN\r\nGET", "- - GET"),
            ("PROXY UNKNOWN a b c\r\n", "- - "),
        ] {
            assert_eq!(
                read(bytes.as_bytes()),
                Ok(Some(expected.to_owned())),
                "{bytes}"
            );
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 1.2.3.4\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 111111 22\r\n",
            "PROXY TCP4 host 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        ] {
            assert!(read(bytes.as_bytes()).is_err(), "{bytes}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(2000));
        assert!(read(endless.as_bytes()).is_err());
    }

    #[test]
    fn a_header_in_pieces_is_waited_for() {
        let v2 = [
            SIGNATURE,
            b"\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x0b\0\x16",
        ]
        .concat();
        for whole in [&b"PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n"[..], &v2] {
            for end in 0..whole.len() {
                assert_eq!(read(&whole[..end]), Ok(None), "{end}");
            }
            assert_eq!(read(whole), Ok(Some("1.2.3.4:11 5.6.7.8:22 ".to_owned())));
        }
    }

    #[test]
    fn version_2_is_bounded_and_checked() {
        let with = |tail: &[u8]| read(&[SIGNATURE, tail].concat());
        assert_eq!(with(b"\x20\0\0\0GET"), Ok(Some("- - GET".to_owned())));
        assert!(with(b"\x31\x11\0\x0c").is_err());
        assert!(with(b"\x21\x11\xff\xff").is_err());
        assert!(with(b"\x21\x11\0\x01x").is_err());
    }

    #[test]
    fn further_values_are_found() {
        let tail = b"\x21\x11\0\x14\x01\x02\x03\x04\x05\x06\x07\x08\0\x0b\0\x16\x02\0\x05a.exa";
        let mut seen = BytesMut::from(&[SIGNATURE, tail].concat()[..]);
        let header = parse(&mut seen).expect("valid").expect("whole");
        assert_eq!((header.tlv(2), header.tlv(1)), (Some(&b"a.exa"[..]), None));
        let cut = Header {
            tlvs: b"\x02\0\x09a"[..].into(),
            ..Header::default()
        };
        assert_eq!(cut.tlv(2), None);
    }
}

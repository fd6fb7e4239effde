//! What must hold for every request that all rules let pass, whichever version of HTTP
//! brought it.

use bytes::{Bytes, BytesMut};

use crate::http1::outgoing::{passes, write_field, write_framing};
use crate::http1::request_head;
use crate::http2::{self, request_head::Decoded};
use crate::message::head::{Framing, Limits, RequestHead, Version};
use crate::message::rules;
use crate::message::target;

/// A request over HTTP/2 whose fields are decoded is refused where HTTP/1 would refuse
/// it, and otherwise means the same as over HTTP/1 and to the upstream. The first byte
/// tells which pseudo-fields there are and what the configuration lets pass; then come
/// the pseudo-fields, names and values, each behind its length.
pub(crate) fn http2_request(data: &[u8]) {
    let Some((flags, mut rest)) = data.split_first() else {
        return;
    };
    let is = |bit: u32| flags >> bit & 1 == 1;
    let mut next = || -> Option<&[u8]> {
        let (length, behind) = rest.split_first()?;
        let (text, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        Some(text)
    };
    let mut pseudo = || next().unwrap_or_default();
    let (method, scheme, authority, path) = (pseudo(), pseudo(), pseudo(), pseudo());
    let mut fields: Vec<(&[u8], &[u8])> = Vec::new();
    while let Some(name) = next() {
        fields.push((name, next().unwrap_or_default()));
    }
    let decoded = Decoded {
        method,
        scheme: is(1).then_some(scheme),
        authority: is(2).then_some(authority),
        path: is(3).then_some(path),
        fields: || fields.iter().copied(),
    };
    let limits = Limits {
        underscores: is(4),
        ignore_invalid: !is(5),
        ..WIDE
    };
    let head = http2::request_head::read(&decoded, None, &limits, |_| None).ok();
    let Some(asked) = head.and_then(|head| ParsedRequest::of(head, is(0))) else {
        return;
    };
    asked.means_the_same_upstream();
    let mut text = [method, b" ", path, b" HTTP/1.1\r\n"].concat();
    if fields.iter().all(|(name, _)| name != b"host") {
        write_field(b"Host", authority, &mut text);
    }
    for (name, value) in &fields {
        write_field(name, value, &mut text);
    }
    text.extend_from_slice(b"\r\n");
    let twin = ParsedRequest::read(&text, &limits).expect("a request over HTTP/1, too");
    assert_eq!(twin.host, asked.host);
    assert_eq!(twin.path, asked.path);
    assert_eq!(twin.head.method, asked.head.method);
    assert_eq!(twin.head.target, asked.head.target);
}

/// Limits that nothing reaches.
const WIDE: Limits = Limits {
    line: usize::MAX,
    head: usize::MAX,
    fields: usize::MAX,
    underscores: true,
    ignore_invalid: false,
};

/// A request that all rules let pass.
pub(super) struct ParsedRequest {
    head: Box<RequestHead>,
    framing: Framing,
    host: Bytes,
    path: Bytes,
}

impl ParsedRequest {
    pub(super) fn of(head: Box<RequestHead>, ended: bool) -> Option<Self> {
        let framing = rules::check(&head, ended).ok()?;
        let host = rules::host(&head).ok()?;
        let path = target::normalise(&head.target, true).ok()?.path;
        Some(Self {
            head,
            framing,
            host,
            path,
        })
    }

    /// One head of HTTP/1 and nothing behind it.
    fn read(text: &[u8], limits: &Limits) -> Option<Self> {
        let mut input = BytesMut::from(text);
        let head = request_head::parse(&mut input, limits, |_| None).ok()??;
        assert!(input.is_empty(), "one request became two");
        Self::of(head, false)
    }

    /// What is written for the upstream is read there as it was meant.
    pub(super) fn means_the_same_upstream(&self) {
        let head = &self.head;
        let mut text = [&head.method[..], b" ", &head.target, b" HTTP/1.1\r\n"].concat();
        write_field(
            b"Host",
            head.fields.first(b"host").unwrap_or(b"upstream"),
            &mut text,
        );
        write_framing(self.framing, &mut text);
        let passing = || head.fields.iter().filter(|(name, _)| passes(name));
        passing().for_each(|(name, value)| write_field(name, value, &mut text));
        text.extend_from_slice(b"\r\n");
        let read = Self::read(&text, &WIDE).expect("a request to the upstream");
        assert_eq!(read.head.method, head.method);
        assert_eq!(read.head.target, head.target);
        assert_eq!(read.path, self.path);
        assert_eq!(read.framing, self.framing);
        assert_eq!(read.head.version, Version::Http11);
        let seen = read.head.fields.iter().filter(|(name, _)| passes(name));
        assert!(seen.eq(passing().map(|(name, value)| (name, without_blanks(value)))));
    }
}

/// A value without the blanks around it, which mean nothing in HTTP/1.
fn without_blanks(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ';
    let start = value.iter().take_while(|byte| blank(byte)).count();
    let end = value.iter().rev().take_while(|byte| blank(byte)).count();
    value.get(start..value.len() - end).unwrap_or_default()
}

//! Properties that must hold for any input: `fuzz/` searches for counterexamples, and a test checks
//! them on the corpus kept there. Compiled for tests and the fuzzer only.

use bytes::{Bytes, BytesMut};

use crate::http1::body::{self, Decoder, Progress};
use crate::http1::request_head;
use crate::http1::response_head::{self, HeadSize, ResponseHead};
use crate::message::fields::Fields;
use crate::message::head::{Framing, Limits, RequestHead};
use crate::message::rules;
use crate::message::{host, target as request_target};
use crate::net::proxy_protocol;
pub(crate) use crate::tls::chain_properties::{chain, constraints};
use crate::upstream::dns::message::{self, RecordType};

#[path = "properties/asked.rs"]
mod asked;
#[path = "properties/configurations.rs"]
mod configurations;

use asked::ParsedRequest;
pub(crate) use asked::http2_request;
pub(crate) use configurations::{configuration, meaning};

/// nginx's own limits, and fewer fields, so that a fuzzer reaches the end.
const LIMITS: Limits = Limits {
    line: 1024,
    head: 2048,
    fields: 50,
    underscores: false,
    ignore_invalid: true,
};

/// A DNS message is parsed without panic, is accepted only as the answer to the question asked, and
/// yields no more addresses than it has room for.
pub(crate) fn dns(data: &[u8]) {
    let name = message::encode_name("a.example").expect("a name");
    let other = message::encode_name("b.example").expect("a name");
    for kind in [RecordType::A, RecordType::Aaaa, RecordType::Srv] {
        // As it is, and after the header of a valid response, which a fuzzer seldom finds.
        let mut answer = message::question(7, &name, kind);
        assert_eq!(message::parse(&answer, 7, &name, kind), None);
        answer[2] |= 0x80;
        answer[7] = data.first().copied().unwrap_or_default();
        answer.extend_from_slice(data.get(1..).unwrap_or_default());
        for bytes in [data, &answer] {
            let Some(read) = message::parse(bytes, 7, &name, kind) else {
                continue;
            };
            // Name, kind, class, time, length, address.
            assert!(read.addresses.len() * 15 <= bytes.len());
            assert!(read.services.len() * 18 <= bytes.len());
            assert!(
                read.alias
                    .is_none_or(|alias| (1..=255).contains(&alias.len()))
            );
            assert_eq!(message::parse(bytes, 8, &name, kind), None);
            assert_eq!(message::parse(bytes, 7, &other, kind), None);
        }
    }
}

/// A request's head and body are parsed alike however they are split into reads, and by the
/// upstream, too.
pub(crate) fn request(data: &[u8]) {
    let whole = read_request(data, usize::MAX);
    let mut input = BytesMut::from(data);
    let head = request_head::parse(&mut input, &LIMITS, |_| None);
    if let Some(asked) = head
        .ok()
        .flatten()
        .and_then(|head| ParsedRequest::of(head, false))
    {
        asked.means_the_same_upstream();
    }
    for size in [1, 7] {
        assert_eq!(read_request(data, size), whole, "in pieces of {size}");
    }
}

/// A response's head and body are parsed alike however they are split into reads.
pub(crate) fn response(data: &[u8]) {
    for to_head in [false, true] {
        let whole = read_response(data, usize::MAX, to_head);
        assert_eq!(read_response(data, 1, to_head), whole);
    }
}

/// A chunked body is decoded alike however it is split into reads, whatever follows it. The first
/// byte chooses the size of the reads.
pub(crate) fn chunked(data: &[u8]) {
    let Some((size, data)) = data.split_first() else {
        return;
    };
    let whole = read_body(Framing::Chunked, Pieces::new(data, usize::MAX));
    let split = read_body(
        Framing::Chunked,
        Pieces::new(data, usize::from(*size).max(1)),
    );
    assert_eq!(split, whole);
}

/// A normalised path stays below the root, and is the same after it was sent upstream and parsed
/// there.
pub(crate) fn target(data: &[u8]) {
    let text = Bytes::copy_from_slice(data);
    let _ = host::parse(&text);
    for merge_slashes in [false, true] {
        let Ok(normal) = request_target::normalise(&text, merge_slashes) else {
            continue;
        };
        let path = &normal.path;
        assert!(path.starts_with(b"/"));
        assert!(!path.contains(&0));
        for segment in path.split(|byte| *byte == b'/') {
            assert!(segment != b"." && segment != b"..");
        }
        if merge_slashes {
            assert!(!path.windows(2).any(|pair| pair == b"//"));
        }
        if let Some(args) = normal.args {
            assert!(data.get(args).is_some());
        }
        let mut escaped = Vec::new();
        request_target::escape_path(path, &mut escaped);
        assert!(escaped.iter().all(u8::is_ascii_graphic));
        let again = request_target::normalise(&escaped.into(), merge_slashes);
        assert_eq!(again.map(|it| it.path).as_ref(), Ok(path));
    }
}

/// A PROXY header is parsed alike however it is split into reads, is bounded, and what follows it
/// is untouched. The first byte chooses the size of the reads.
pub(crate) fn proxy_header(data: &[u8]) {
    let Some((size, data)) = data.split_first() else {
        return;
    };
    let size = usize::from(*size).max(1);
    let whole = read_proxy_header(data, usize::MAX);
    assert_eq!(read_proxy_header(data, size), whole, "in pieces of {size}");
}

/// A header and what follows it; `None` if it is malformed or incomplete. Which bytes an error
/// shows depends on how many had arrived.
fn read_proxy_header(data: &[u8], size: usize) -> Option<(proxy_protocol::Header, Vec<u8>)> {
    let mut pieces = Pieces::new(data, size);
    loop {
        match proxy_protocol::parse(&mut pieces.input) {
            Ok(Some(header)) => {
                for place in [&header.source, &header.target].into_iter().flatten() {
                    let _ = place.address();
                }
                for kind in 0..=u8::MAX {
                    assert!(
                        header
                            .tlv(kind)
                            .is_none_or(|value| value.len() <= data.len())
                    );
                }
                let _ = header.tls();
                return Some((header, [&pieces.input, pieces.rest].concat()));
            }
            Ok(None) => {
                // No header is longer than nginx's buffer for one.
                assert!(pieces.input.len() < 4096 + 256);
                if pieces.is_at_end() {
                    return None;
                }
                pieces.read();
            }
            Err(_) => return None,
        }
    }
}

/// The bytes of a connection, delivered in reads of a given size.
struct Pieces<'a> {
    /// Read and not consumed yet.
    input: BytesMut,
    rest: &'a [u8],
    size: usize,
}

impl<'a> Pieces<'a> {
    fn new(data: &'a [u8], size: usize) -> Self {
        let mut pieces = Self {
            input: BytesMut::new(),
            rest: data,
            size,
        };
        pieces.read();
        pieces
    }

    fn read(&mut self) {
        let (piece, rest) = self.rest.split_at(self.size.min(self.rest.len()));
        self.input.extend_from_slice(piece);
        self.rest = rest;
    }

    fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

/// A body as far as it was read: its bytes, trailers, and what ended it.
#[derive(Debug, PartialEq)]
struct Body {
    bytes: Vec<u8>,
    end: Result<Bytes, body::Error>,
    /// What follows it on the connection, if the body was complete.
    behind: Option<Vec<u8>>,
}

fn read_body(framing: Framing, mut pieces: Pieces<'_>) -> Body {
    let mut decoder = Decoder::new(framing);
    let mut bytes = Vec::new();
    let end = loop {
        let eof = pieces.is_at_end();
        match decoder.step(&mut pieces.input, eof) {
            Ok(Progress::Data(data)) => {
                assert!(!data.is_empty());
                bytes.extend_from_slice(&data);
            }
            Ok(Progress::End(trailers)) => break Ok(trailers),
            Ok(Progress::Starved) => {
                assert!(!eof);
                pieces.read();
            }
            Err(broken) => break Err(broken),
        }
    };
    assert!(end.is_err() || decoder.is_done());
    let behind = end.is_ok().then(|| [&pieces.input, pieces.rest].concat());
    Body { bytes, end, behind }
}

/// A parsed head and its body; `None` if it is rejected or incomplete. Which error is reported may
/// depend on what came first.
type Understood = Option<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, Option<Body>)>;

fn read_request(data: &[u8], size: usize) -> Understood {
    let mut pieces = Pieces::new(data, size);
    let head: Box<RequestHead> = loop {
        match request_head::parse(&mut pieces.input, &LIMITS, |_| None) {
            Ok(Some(head)) => break head,
            Ok(None) if pieces.is_at_end() => return None,
            Ok(None) => pieces.read(),
            Err(error) => {
                assert!((400..=505).contains(&error.status));
                return None;
            }
        }
    };
    assert!(head.target.starts_with(b"/"));
    let framing = rules::check(&head, false);
    let words = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        head.line,
        head.method,
        head.target,
        head.authority,
        framing.as_ref().map_err(|error| error.status),
        head.wants_keep_alive(),
        head.expects_continue(),
        head.upgrade(),
    );
    understood(words, &head.fields, framing.ok(), pieces)
}

fn read_response(data: &[u8], size: usize, to_head: bool) -> Understood {
    let most = HeadSize {
        text: LIMITS.head,
        fields: usize::MAX,
    };
    let mut pieces = Pieces::new(data, size);
    let head: ResponseHead = loop {
        match response_head::parse(&mut pieces.input, most) {
            Ok(Some(head)) => break head,
            Ok(None) if pieces.is_at_end() => return None,
            Ok(None) => pieces.read(),
            Err(_) => return None,
        }
    };
    assert!((100..=999).contains(&head.status));
    let framing = head.framing(to_head);
    let words = format!(
        "{:?} {} {:?} {framing:?} {}",
        head.version,
        head.status,
        head.reason,
        head.keeps_alive()
    );
    understood(words, &head.fields, framing.ok(), pieces)
}

/// A head, whose own part is `words`, and the body behind it.
fn understood(
    words: String,
    fields: &Fields,
    framing: Option<Framing>,
    pieces: Pieces<'_>,
) -> Understood {
    let fields = fields
        .iter()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect();
    let body = framing.map(|framing| read_body(framing, pieces));
    Some((words.into_bytes(), fields, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds_what_must_hold() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");
        type Property = fn(&[u8]);
        for (name, property) in [
            ("chain", chain as Property),
            ("chunked", chunked),
            ("configuration", configuration),
            ("http2_request", http2_request),
            ("dns", dns),
            ("constraints", constraints),
            ("proxy_header", proxy_header),
            ("meaning", meaning),
            ("request", request),
            ("response", response),
            ("target", target),
        ] {
            let files = std::fs::read_dir(format!("{corpus}/{name}")).expect("a corpus");
            for file in files {
                let path = file.expect("an entry").path();
                property(&std::fs::read(path).expect("a file"));
            }
        }
    }
}

//! nginx's `ngx_http_gunzip_module`: decompresses responses for clients that do not accept gzip.

use std::io::{self, BufRead, Read};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;

use super::gzip;
use crate::admission::DECOMPRESSOR;
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, Spec};
use crate::directive::arguments;
use crate::directive::value::Value;
use crate::request::Request;
use crate::request::response::{Content, Response};
use crate::request::source::{self, FilterContext, Frame, Next, Source, Turn, UpstreamBody};

/// `gunzip`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings(bool);

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        self.0
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("gunzip", Contexts::ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().0 = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about(
        "Decompresses responses with `Content-Encoding: gzip` for clients that do not accept it.",
    ),
    Spec::new(
        "gunzip_buffers",
        Contexts::ALL,
        (2, 2),
        Effect::Accepted("a body is decompressed in pieces of 8 KiB"),
    )
    .takes(Value::Buffers),
];

/// Decompresses the response if its encoding is gzip and the client does not accept that.
pub(crate) fn apply(request: &Request, response: &mut Response) {
    let is_encoding = |(name, _): &(Bytes, Bytes)| name.eq_ignore_ascii_case(b"content-encoding");
    // A Content-Encoding of `add_header` is not that of the body.
    let Some(at) = response.fields.iter().rposition(is_encoding) else {
        return;
    };
    if !response.names_encoding || !response.fields[at].1.eq_ignore_ascii_case(b"gzip") {
        return;
    }
    let gzip = request.settings().of::<gzip::Settings>();
    response.vary = gzip.vary;
    if gzip::is_for(gzip, request, Some(response)) {
        return;
    }
    let has_body = !request.is_head() && response.content.has_body();
    response.fields.remove(at);
    response.names_encoding = false;
    response.change_encoding();
    if has_body {
        request.needs_for_filter(DECOMPRESSOR);
        response.filter(Gunzip::new);
    }
}

/// Decompressed bytes that are passed on at once. Compressed ones are taken when these have been
/// passed on, so a body that grows very much takes no more memory than another.
const PIECE: usize = 8 << 10;
/// Compressed bytes that may bring nothing: a member's header may hold texts without end.
const MAX_HEADER: usize = 16 << 10;

/// Compressed bytes that are decompressed together.
const STEP: usize = 2 << 10;
/// How much longer a compressed byte may take than a decompressed one: a block may be nothing but its
/// tables.
const COST: usize = 16;

/// A body that is decompressed piece by piece.
struct Gunzip {
    inner: Content,
    /// There once the body is read: there is memory for it then.
    decoder: Option<MultiGzDecoder<Input>>,
    /// Memory for the next piece, if the last attempt did not need it.
    spare: Vec<u8>,
    trailers: Option<Bytes>,
    turn: Turn,
}

/// Compressed bytes that have arrived.
#[derive(Default)]
struct Input {
    data: Bytes,
    ended: bool,
    /// Bytes taken since something came out.
    taken: usize,
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let data = self.fill_buf()?;
        let size = data.len().min(out.len());
        out[..size].copy_from_slice(&data[..size]);
        self.consume(size);
        Ok(size)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken > MAX_HEADER {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match self.data.len() {
            0 if !self.ended => Err(io::ErrorKind::WouldBlock.into()),
            0 | 1 => Ok(&self.data),
            // The decoder is not asked for what it still has when nothing is left for it. It
            // takes the last byte only when it has passed on what came of the others.
            size => Ok(&self.data[..STEP.min(size - 1)]),
        }
    }

    fn consume(&mut self, size: usize) {
        self.data.advance(size);
        self.taken += size;
    }
}

impl Gunzip {
    fn new(inner: Content) -> Self {
        Self {
            inner,
            decoder: None,
            spare: Vec::new(),
            trailers: None,
            turn: Turn::default(),
        }
    }
}

impl Source for Gunzip {
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next> {
        let new = || MultiGzDecoder::new(Input::default());
        let decoder = self.decoder.get_or_insert_with(new);
        loop {
            ready!(self.turn.poll(cx));
            let mut piece = std::mem::take(&mut self.spare);
            piece.resize(PIECE, 0);
            let before = decoder.get_ref().data.len();
            let made = decoder.read(&mut piece);
            let taken = before - decoder.get_ref().data.len();
            self.turn.take(COST * taken);
            match made {
                Ok(0) => {
                    let trailers = self.trailers.take();
                    return Poll::Ready(trailers.map(|lines| Ok(Frame::Trailers(lines))));
                }
                Ok(size) => {
                    self.turn.take(size);
                    decoder.get_mut().taken = 0;
                    piece.truncate(size);
                    return Poll::Ready(Some(Ok(Frame::Data(piece.into()))));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.spare = piece,
                Err(_) if decoder.get_ref().ended => {
                    return Poll::Ready(Some(Err(source::Error::GzipEnd)));
                }
                Err(_) => return Poll::Ready(Some(Err(source::Error::Gzip))),
            }
            let next = ready!(self.inner.poll_frame(request, cx));
            let input = decoder.get_mut();
            match next {
                Some(Ok(Frame::Data(data))) => input.data = data,
                Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
                Some(Ok(Frame::Trailers(lines))) => {
                    self.trailers = Some(lines);
                    input.ended = true;
                }
                None => input.ended = true,
            }
        }
    }

    fn upstream_body(&mut self) -> Option<&mut dyn UpstreamBody> {
        self.inner.upstream_body()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::net::read_size::{BULK_SIZE, READ_SIZE};
    use crate::request::source::testing::{AnyRequest, Script, polls, turns};

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacking(steps: Vec<Option<Next>>) -> Gunzip {
        Gunzip::new(Content::Stream(Box::new(Script::new(steps))))
    }

    fn data(bytes: &[u8]) -> Option<Next> {
        Some(Some(Ok(Frame::Data(Bytes::copy_from_slice(bytes)))))
    }

    /// What comes out of a body, and how it ends.
    fn unpacked(steps: Vec<Option<Next>>) -> (Vec<u8>, Next) {
        let mut source = unpacking(steps);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut out = Vec::new();
        loop {
            match source.poll_frame(&AnyRequest, &mut cx) {
                Poll::Pending => {}
                Poll::Ready(Some(Ok(Frame::Data(data)))) => out.extend_from_slice(&data),
                Poll::Ready(end) => return (out, end),
            }
        }
    }

    #[test]
    fn a_body_in_any_pieces_is_the_same() {
        let text = b"hello, hello and once more hello";
        let bytes = [packed(text), packed(b""), packed(text)].concat();
        for size in [1, 2, 7, bytes.len()] {
            let pieces = bytes.chunks(size).flat_map(|piece| [data(piece), None]);
            let (out, end) = unpacked(pieces.collect());
            assert_eq!(out, [text, &text[..]].concat(), "in pieces of {size}");
            assert!(end.is_none(), "in pieces of {size}");
        }
    }

    #[test]
    fn what_arrived_is_passed_on_before_more_is_awaited() {
        let bytes = packed(b"hello");
        let end = bytes.len() - 8;
        let steps = vec![data(&bytes[..end]), None, data(&bytes[end..])];
        assert_eq!(polls(&mut unpacking(steps)), [Some(5), None]);
    }

    #[test]
    fn what_was_flushed_is_passed_on_whole() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&[b'0'; 30 << 10]).unwrap();
        encoder.flush().unwrap();
        let sizes = polls(&mut unpacking(vec![data(encoder.get_ref()), None]));
        let before_the_pause = sizes.iter().map_while(|size| *size);
        assert_eq!(before_the_pause.sum::<usize>(), 30 << 10);
    }

    #[test]
    fn a_header_without_end_is_refused() {
        let mut bytes = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        bytes.resize(MAX_HEADER + 100, b'n');
        let pieces = bytes.chunks(1000).map(data);
        let (_, end) = unpacked(pieces.collect());
        assert!(matches!(end, Some(Err(source::Error::Gzip))));
    }

    #[test]
    fn a_body_that_grows_very_much_comes_in_pieces() {
        let sizes = polls(&mut unpacking(vec![data(&packed(&vec![b'0'; 1 << 16]))]));
        assert_eq!(sizes.iter().flatten().sum::<usize>(), 1 << 16);
        assert!(sizes.iter().flatten().all(|size| *size <= PIECE));
    }

    #[test]
    fn a_body_that_grows_very_much_lets_others_run() {
        let body = unpacking(vec![data(&packed(&vec![b'0'; 16 << 20]))]);
        let (pieces, turns) = turns(body);
        assert_eq!(pieces, (16 << 20) / PIECE);
        assert!(turns >= 100, "{turns} turns in {pieces} pieces");
    }

    #[test]
    fn a_body_that_grows_very_little_lets_others_run() {
        const EMPTY: &[u8] = &[0, 0, 0, 0xff, 0xff];
        const BYTES: usize = 100;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let mut bytes = Vec::new();
        for _ in 0..BYTES {
            encoder.write_all(b"x").unwrap();
            encoder.flush().unwrap();
            bytes.append(encoder.get_mut());
            bytes.extend(EMPTY.repeat(3000));
        }
        bytes.extend(encoder.finish().unwrap());
        for size in [READ_SIZE, BULK_SIZE] {
            let pieces = bytes.chunks(size).map(data);
            let (pieces, turns) = turns(unpacking(pieces.collect()));
            assert_eq!(pieces, BYTES);
            assert!(turns >= BYTES, "{turns} turns with {size} bytes at a time");
        }
    }

    #[test]
    fn what_is_not_gzip_or_not_whole_is_cut() {
        let whole = packed(b"hello, hello and once more hello");
        let mut wrong = whole.clone();
        let last = wrong.len() - 5;
        wrong[last] ^= 1;
        for (bytes, error) in [
            (b"no gzip at all".to_vec(), source::Error::Gzip),
            (
                [&whole[..], b"garbage behind"].concat(),
                source::Error::Gzip,
            ),
            (wrong, source::Error::Gzip),
            (whole[..20].to_vec(), source::Error::GzipEnd),
            (whole[..whole.len() - 1].to_vec(), source::Error::GzipEnd),
            (Vec::new(), source::Error::GzipEnd),
        ] {
            let (_, end) = unpacked(vec![data(&bytes)]);
            assert!(matches!(end, Some(Err(own)) if own == error), "{end:?}");
        }
        let cut = Some(Some(Err(source::Error::Closed)));
        let (_, end) = unpacked(vec![data(&whole[..20]), cut]);
        assert!(matches!(end, Some(Err(source::Error::Closed))));
    }
}

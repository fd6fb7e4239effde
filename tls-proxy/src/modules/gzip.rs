//! nginx's `ngx_http_gzip_filter_module`: compresses responses.

use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::content_types::{ContentTypes, without_charset};
use super::gzip_accept::{Proxied, accepts, may_for_proxy};
use crate::admission::COMPRESSOR;
use crate::conf::Problem;
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, MANY, Spec};
use crate::directive::arguments;
use crate::directive::value;
use crate::directive::value::Value;
use crate::message::head::Version;
use crate::modules::variables::Evaluate;
use crate::modules::variables::known::append;
use crate::pattern::Pattern;
use crate::request::response::{Content, Response};
use crate::request::source::{FilterContext, Frame, Next, Source, Turn, UpstreamBody};
use crate::request::{Request, user_agent};

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    on: bool,
    types: ContentTypes,
    level: u32,
    min_length: u64,
    pub(crate) vary: bool,
    version: Version,
    proxied: Proxied,
    /// `gzip_disable`.
    not_for: Arc<[Pattern]>,
    /// `gzip_disable msie6`.
    not_msie6: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: false,
            types: ContentTypes::default(),
            level: 1,
            min_length: 20,
            vary: false,
            version: Version::Http11,
            proxied: Proxied::default(),
            not_for: Arc::new([]),
            not_msie6: false,
        }
    }
}

const ALL: Contexts = Contexts::ALL;
const PIECES: &str = "a body is compressed in the pieces it arrives in";

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        self.on
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("gzip", ALL.or(Contexts::IF), (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().on = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about("Compresses responses for clients that accept it."),
    Spec::set("gzip_types", ALL, (1, MANY), |scope, directive| {
        ContentTypes::add(scope, directive, |own: &mut Settings| &mut own.types)
    })
    .default("text/html")
    .about("Content types that are compressed, besides text/html; `*` is all.")
    .repeats(),
    Spec::set("gzip_comp_level", ALL, (1, 1), |scope, directive| {
        let level = arguments::number(directive)?;
        let word = arguments::first(directive);
        let level = u32::try_from(level)
            .ok()
            .filter(|level| (1..=9).contains(level));
        let bounds = || Problem::emerg(&word.at, "value must be between 1 and 9");
        scope.settings.of_mut::<Settings>().level = level.ok_or_else(bounds)?;
        Ok(())
    })
    .default("1")
    .about("From 1, fast, to 9, small."),
    Spec::set("gzip_min_length", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().min_length = arguments::size(directive, word)? as u64;
        Ok(())
    })
    .default("20")
    .about("Shorter responses are not compressed."),
    Spec::set("gzip_vary", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().vary = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about("Adds `Vary: Accept-Encoding` to responses that could be compressed."),
    Spec::set("gzip_http_version", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().version = {
            let known = [("1.0", Version::Http10), ("1.1", Version::Http11)];
            arguments::choice(word, &known)?
        };
        Ok(())
    })
    .default("1.1")
    .about("Oldest version of requests that get compressed responses."),
    Spec::set("gzip_proxied", ALL, (1, MANY), |scope, directive| {
        let before =
            Some(scope.settings.of_mut::<Settings>().proxied).filter(|_| !scope.first_here);
        let problems = &mut scope.draft.problems;
        scope.settings.of_mut::<Settings>().proxied = Proxied::parse(directive, before, problems)?;
        Ok(())
    })
    .default("off")
    .about("Which responses are compressed for requests with `Via`.")
    .repeats(),
    Spec::new(
        "gzip_buffers",
        ALL,
        (2, 2),
        Effect::Accepted("memory for compression grows as it needs"),
    )
    .takes(Value::Buffers),
    Spec::set("gzip_disable", ALL, (1, MANY), |scope, directive| {
        let own = scope.settings.of_mut::<Settings>();
        let mut patterns = Vec::new();
        if scope.first_here {
            own.not_msie6 = false;
        } else {
            patterns.extend_from_slice(&own.not_for);
        }
        for word in &directive.args {
            match word.text.as_str() {
                "msie6" => own.not_msie6 = true,
                text => patterns.push(Pattern::compile(text, true, word)?),
            }
        }
        own.not_for = patterns.into();
        Ok(())
    })
    .about("Browsers that get no compressed responses, as regular expressions; `msie6` is MSIE 4 to 6.")
    .repeats(),
    Spec::new("gzip_no_buffer", ALL, (1, 1), Effect::Accepted(PIECES)).takes(Value::Flag),
    Spec::new("postpone_gzipping", ALL, (1, 1), Effect::Accepted(PIECES)).takes(Value::Size),
    Spec::new(
        "gzip_window",
        ALL,
        (1, 1),
        Effect::Accepted("memory for compression grows as it needs"),
    )
    .takes(Value::Checked(|it| value::check_power(it, 32 << 10))),
    Spec::new(
        "gzip_hash",
        ALL,
        (1, 1),
        Effect::Accepted("memory for compression grows as it needs"),
    )
    .takes(Value::Checked(|it| value::check_power(it, 128 << 10))),
];

/// Compresses the response if request and response allow it.
pub(crate) fn apply(settings: &Settings, request: &Request, response: &mut Response) {
    if !settings.on || !matches!(response.status, 200 | 403 | 404) {
        return;
    }
    let short = response
        .length
        .is_some_and(|length| length < settings.min_length);
    let empty = matches!(response.content, Content::Empty | Content::Tunnel(_));
    let kind = response.content_type.as_deref();
    if response.names_encoding
        || short
        || !settings.types.has(kind.map(without_charset))
        || (empty && !request.is_head())
    {
        return;
    }
    response.vary = settings.vary;
    if !is_for(settings, request, Some(response)) {
        return;
    }
    if !request.is_head() && !request.try_reserve(COMPRESSOR) {
        // Sent uncompressed: there is memory for the response, but not for a compressor.
        return;
    }
    response.change_encoding();
    response.fields.push((
        Bytes::from_static(b"Content-Encoding"),
        Bytes::from_static(b"gzip"),
    ));
    // The header says "Unix", as zlib's does.
    let encoder = GzBuilder::new().operating_system(3);
    let encoder = encoder.write(Vec::new(), Compression::new(settings.level));
    let flushes = response.unbuffered;
    response.filter(|inner| Gzip {
        inner,
        encoder: Some(encoder),
        flushes,
        unflushed: false,
        counts: request.gzipped.get_or_init(Rc::default).clone(),
        trailers: None,
        turn: Turn::default(),
        cost: cost(settings.level),
    });
}

/// Whether a client gets a compressed response; `response` is there if it has begun.
pub(crate) fn is_for(settings: &Settings, request: &Request, response: Option<&Response>) -> bool {
    let encodings = request.head.fields.first(b"accept-encoding");
    encodings.is_some_and(accepts)
        && request.head.version >= settings.version
        && may_for_proxy(settings.proxied, request, response)
        && !settings.excludes(request)
}

impl Settings {
    /// Whether `gzip_disable` names the browser.
    fn excludes(&self, request: &Request) -> bool {
        let browser = request.head.fields.first(b"user-agent");
        (self.not_msie6 && user_agent::is_msie6(request))
            || browser.is_some_and(|name| {
                // A match that exceeds the limits excludes, too, as in nginx.
                self.not_for
                    .iter()
                    .any(|own| own.is_match(name).unwrap_or(true))
            })
    }
}

/// Compressed bytes that are passed on at once; fewer wait for more (`gzip_buffers`).
const PIECE: usize = 8 << 10;

/// A body that is compressed piece by piece.
struct Gzip {
    inner: Content,
    /// `None` once its end has been written.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Flushes what it has before it waits for more.
    flushes: bool,
    /// There was input since the last flush.
    unflushed: bool,
    /// Bytes before and after.
    counts: Rc<Cell<(u64, u64)>>,
    trailers: Option<Bytes>,
    turn: Turn,
    /// How much longer a byte may take than at level 1.
    cost: usize,
}

/// That of a level: with higher ones the search for what to repeat is longer.
fn cost(level: u32) -> usize {
    1 << level.saturating_sub(4).min(4)
}

impl Gzip {
    fn count(&self, read: usize, written: usize) {
        let (before, after) = self.counts.get();
        self.counts
            .set((before + read as u64, after + written as u64));
    }
}

/// `$gzip_ratio`, with two decimals.
pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[("gzip_ratio", |request, out| {
    let counts = request.gzipped.get().map(|counts| counts.get());
    let Some((before, after)) = counts.filter(|(_, after)| *after > 0) else {
        return false;
    };
    let hundredths = (before * 1000 / after + 5) / 10;
    append(
        out,
        format_args!("{}.{:02}", hundredths / 100, hundredths % 100),
    )
})];

impl Source for Gzip {
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            let Some(encoder) = &mut self.encoder else {
                let trailers = self.trailers.take();
                return Poll::Ready(trailers.map(|lines| Ok(Frame::Trailers(lines))));
            };
            ready!(self.turn.poll(cx));
            let next = match self.inner.poll_frame(request, cx) {
                Poll::Pending => {
                    // A flush of nothing would be an empty block.
                    if !self.flushes || !std::mem::take(&mut self.unflushed) {
                        return Poll::Pending;
                    }
                    // Writing into memory does not fail.
                    let _ = encoder.flush();
                    let made = std::mem::take(encoder.get_mut());
                    self.count(0, made.len());
                    return Poll::Ready(Some(Ok(Frame::Data(made.into()))));
                }
                Poll::Ready(next) => next,
            };
            match next {
                Some(Ok(Frame::Data(data))) => {
                    let _ = encoder.write_all(&data);
                    self.turn.take(self.cost * data.len());
                    self.unflushed |= !data.is_empty();
                    let full = encoder.get_ref().len() >= PIECE;
                    let made = match full {
                        true => std::mem::take(encoder.get_mut()),
                        false => Vec::new(),
                    };
                    self.count(data.len(), made.len());
                    if full {
                        return Poll::Ready(Some(Ok(Frame::Data(made.into()))));
                    }
                }
                Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
                end => {
                    if let Some(Ok(Frame::Trailers(lines))) = end {
                        self.trailers = Some(lines);
                    }
                    let rest = self
                        .encoder
                        .take()
                        .and_then(|encoder| encoder.finish().ok());
                    self.count(0, rest.as_ref().map_or(0, Vec::len));
                    return Poll::Ready(rest.map(|rest| Ok(Frame::Data(rest.into()))));
                }
            }
        }
    }

    fn upstream_body(&mut self) -> Option<&mut dyn UpstreamBody> {
        self.inner.upstream_body()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::source::testing::{Script, data, polls, turns};

    fn gzip(steps: Vec<Option<Next>>, flushes: bool) -> Gzip {
        Gzip {
            inner: Content::Stream(Box::new(Script::new(steps))),
            encoder: Some(GzEncoder::new(Vec::new(), Compression::new(1))),
            flushes,
            unflushed: false,
            counts: Rc::default(),
            trailers: None,
            turn: Turn::default(),
            cost: cost(1),
        }
    }

    /// The result of each poll over two pieces with pauses.
    fn packed(flushes: bool) -> Vec<Option<usize>> {
        let steps = vec![None, data(10), None, None, data(10), None, None, None];
        polls(&mut gzip(steps, flushes))
    }

    #[test]
    fn what_has_come_is_flushed_once() {
        let given: Vec<bool> = packed(true).iter().map(Option::is_some).collect();
        // Before a pause the new bytes are flushed.
        let expected = [false, true, false, true, false, false, true];
        assert_eq!(given, expected);
    }

    #[test]
    fn a_long_body_lets_others_run() {
        let steps = (0..256).map(|_| data(64 << 10)).collect();
        let (pieces, turns) = turns(gzip(steps, true));
        assert!(turns >= 100, "{turns} turns in {pieces} pieces");
    }

    #[test]
    fn a_level_that_takes_longer_lets_others_run_more_often() {
        assert_eq!([1, 4, 6, 9].map(cost), [1, 1, 4, 16]);
        let turns = |level| {
            let mut body = gzip((0..256).map(|_| data(16 << 10)).collect(), true);
            body.cost = cost(level);
            turns(body).1
        };
        assert!(turns(9) > 4 * turns(1));
    }

    #[test]
    fn what_is_buffered_comes_as_a_whole() {
        let given = packed(false);
        let (last, pauses) = given.split_last().expect("an end");
        assert!(pauses.iter().all(Option::is_none));
        // Header and trailer take 18 bytes.
        assert!(
            last.is_some_and(|size| (18..40).contains(&size)),
            "{last:?}"
        );
    }
}

//! `limit_rate` and `limit_rate_after` of nginx's core module: limits the rate of a response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::conf::{Directive, Problem, Word, units};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Scope, Spec};
use crate::directive::arguments;
use crate::log::level::{Level, shown};
use crate::modules::proxy;
use crate::modules::variables::Evaluate;
use crate::modules::variables::known::append;
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::{Content, Response};
use crate::request::source::{FilterContext, Frame, Next, Source, UpstreamBody};
use crate::variables::template::Template;

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Bytes per second; `None` or 0 is no limit.
    rate: Option<Template>,
    /// Bytes before the limit applies.
    after: Option<Template>,
}

const PLACES: Contexts = Contexts::ALL.or(Contexts::IF);

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        self.rate.is_some()
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("limit_rate", PLACES, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().rate = Some(size(scope, directive)?);
        Ok(())
    })
    .default("0")
    .about("Most bytes of a response per second; 0 is no limit. `set $limit_rate` overrides it."),
    Spec::set("limit_rate_after", PLACES, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().after = Some(size(scope, directive)?);
        Ok(())
    })
    .default("0")
    .about("Bytes of a response that are sent before `limit_rate` applies."),
];

fn size(scope: &mut Scope<'_>, directive: &Directive) -> Result<Template, Problem> {
    let word: &Word = arguments::first(directive);
    if !word.text.contains('$') {
        arguments::size(directive, word)?;
    }
    Template::compile(word, &mut scope.draft.variables)
}

/// A size in bytes; an invalid one is logged and counts as 0.
fn value(request: &Request, text: &[u8]) -> u64 {
    parse(text).unwrap_or_else(|| {
        let what = format!("invalid size \"{}\"", shown(text));
        error_log::request(request, Level::Error, what);
        0
    })
}

/// Bytes per second for this request; 0 is no limit. Sets `$limit_rate`.
fn rate(request: &mut Request) -> u64 {
    if request.limit_rate.is_none()
        && let Some(own) = request.settings().used::<Settings>()
        && let Some(rate) = &own.rate
    {
        request.limit_rate = Some(value(request, &rate.evaluate(request)));
    }
    request.limit_rate.unwrap_or(0)
}

/// `set $limit_rate`; as in nginx, an invalid value is logged and changes nothing.
pub(super) fn set(request: &mut Request, text: &[u8]) {
    match parse(text) {
        Some(rate) => request.limit_rate = Some(rate),
        None => {
            let what = format!("invalid $limit_rate \"{}\"", shown(text));
            error_log::request(request, Level::Error, what);
        }
    }
}

fn parse(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().and_then(units::parse_size)
}

/// `proxy_limit_rate`, for responses of upstreams.
fn upstream_rate(request: &Request, response: &Response) -> u64 {
    let proxy = request.settings().of::<proxy::Settings>();
    match &proxy.limit_rate {
        Some(rate) if proxy.buffering && response.is_of_upstream => {
            value(request, &rate.evaluate(request))
        }
        _ => 0,
    }
}

/// Limits the rate of a response that is longer than its first second's share.
pub(crate) fn apply(request: &mut Request, response: &mut Response) {
    if let Some(own) = request.settings().used::<Settings>()
        && own.rate.as_ref().is_some_and(Template::has_variables)
    {
        response.show(request);
    }
    let rate = match (rate(request), upstream_rate(request, response)) {
        (0, other) | (other, 0) => other,
        (own, other) => own.min(other),
    };
    if rate == 0
        || matches!(
            response.content,
            Content::Nothing | Content::Empty | Content::Tunnel(_)
        )
    {
        return;
    }
    let after = &request.settings().of::<Settings>().after;
    let after = after
        .as_ref()
        .map_or(0, |after| value(request, &after.evaluate(request)));
    response.filter(|inner| RateLimited {
        inner,
        rate,
        after,
        began: Instant::now(),
        sent: 0,
        burst: 0,
        rest: Bytes::new(),
        pause: None,
    });
}

struct RateLimited {
    inner: Content,
    rate: u64,
    after: u64,
    began: Instant,
    sent: u64,
    /// Bytes since the last pause.
    burst: u64,
    /// The rest of a piece, which has to wait.
    rest: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Source for RateLimited {
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if self.rest.is_empty() {
                match ready!(self.inner.poll_frame(request, cx)) {
                    Some(Ok(Frame::Data(data))) => self.rest = data,
                    end => return Poll::Ready(end),
                }
            }
            let room = room(self.rate, self.after, self.began.elapsed(), self.sent);
            if room == 0 {
                let pause = pause(self.rate, std::mem::take(&mut self.burst));
                self.pause = Some(Box::pin(tokio::time::sleep(pause)));
                continue;
            }
            let size = room.min(self.rest.len() as u64);
            self.sent += size;
            self.burst += size;
            let data = self.rest.split_to(size as usize);
            return Poll::Ready(Some(Ok(Frame::Data(data))));
        }
    }

    fn upstream_body(&mut self) -> Option<&mut dyn UpstreamBody> {
        self.inner.upstream_body()
    }
}

/// Bytes that may be sent now: nginx grants a second's share at the start.
fn room(rate: u64, after: u64, elapsed: Duration, sent: u64) -> u64 {
    let share = u128::from(rate) * (elapsed.as_millis() + 1000) / 1000;
    let share = u64::try_from(share).unwrap_or(u64::MAX);
    share.saturating_add(after).saturating_sub(sent)
}

/// How long to pause after a burst, a second at most: then as much is sent again, not byte by byte.
fn pause(rate: u64, burst: u64) -> Duration {
    let least = 1000_u64.div_ceil(rate).max(50);
    let whole = burst.saturating_mul(1000) / rate;
    Duration::from_millis(whole.clamp(least, least.max(1000)))
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[("limit_rate", |request, out| {
    append(out, format_args!("{}", request.limit_rate.unwrap_or(0)))
})];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_share() {
        let second = Duration::from_secs(1);
        assert_eq!(room(100, 0, Duration::ZERO, 0), 100);
        assert_eq!(room(100, 0, Duration::ZERO, 100), 0);
        assert_eq!(room(100, 0, second, 100), 100);
        assert_eq!(room(100, 50, Duration::ZERO, 100), 50);
    }

    #[test]
    fn a_pause_is_as_long_as_its_bytes_take() {
        assert_eq!(pause(100, 100), Duration::from_secs(1));
        assert_eq!(pause(1000, 100), Duration::from_millis(100));
        assert_eq!(pause(1 << 20, 1), Duration::from_millis(50));
        assert_eq!(pause(100, u64::MAX), Duration::from_secs(1));
        assert_eq!(pause(1, 1), Duration::from_secs(1));
    }
}

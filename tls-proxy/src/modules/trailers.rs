//! `add_trailer` of nginx's headers module: fields behind an answer's body.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{Contexts, Spec};
use crate::directive::arguments;
use crate::directive::inherited::Inherited;
use crate::message::head::Version;
use crate::request::Request;
use crate::request::framing::Framing;
use crate::request::response::{Content, Response};
use crate::request::source::{Next, Source};
use crate::upstream::response_body::{Frame, ResponseBody};
use crate::vars::template::Template;

/// What the module keeps for each block: `add_trailer`, in order.
pub(crate) type Settings = Inherited<Trailer>;

/// One `add_trailer`.
#[derive(Clone, Debug)]
pub struct Trailer {
    name: Box<str>,
    value: Template,
    always: bool,
}

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::set(
    "add_trailer",
    Contexts::ALL.or(Contexts::IF),
    (2, 3),
    |scope, directive| {
        let always = arguments::always(directive)?;
        scope.settings.trailers.add(Trailer {
            name: directive.args[0].text.as_str().into(),
            value: Template::compile(&directive.args[1], &mut scope.draft.variables)?,
            always,
        });
        Ok(())
    },
)
.about("Adds a field behind the body; its value is that of the moment the head is sent.")
.repeats(),
Spec::set("add_trailer_inherit", Contexts::ALL.or(Contexts::IF), (1, 1), |scope, directive| {
    scope.settings.trailers.set_mode(directive)
})
.default("on")
.about("Whether the outer block's trailers are added: where there are no own ones, never (`off`), or besides them (`merge`)."),
];

/// Puts trailers behind the body, which is then sent in chunks.
pub(crate) fn apply(request: &mut Request, response: &mut Response) {
    let config = request.config.clone();
    let settings = &config.location(request.location).settings;
    let regular = response.is_regular();
    let plain = request.head.version < Version::Http11
        || response.framing(request) == Framing::None
        || matches!(response.content, Content::Empty);
    if settings.trailers.iter().next().is_none() || plain {
        return;
    }
    let mut lines = Vec::new();
    for trailer in settings
        .trailers
        .iter()
        .filter(|trailer| trailer.always || regular)
    {
        let value = trailer.value.evaluate(request);
        if !value.is_empty() {
            lines.extend_from_slice(trailer.name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(&value);
            lines.extend_from_slice(b"\r\n");
        }
    }
    if lines.is_empty() {
        return;
    }
    // HTTP/1 has trailers only behind chunks.
    if request.head.version < Version::Http2 {
        response.length = None;
    }
    request.own_trailers = true;
    let inner = std::mem::replace(&mut response.content, Content::Empty);
    response.content = Content::Stream(Box::new(Trailed {
        inner,
        lines: Some(lines.into()),
        upstreams: settings.proxy.pass_trailers,
    }));
}

struct Trailed {
    inner: Content,
    /// Gone once they are sent.
    lines: Option<Bytes>,
    /// The upstream's trailers go with them.
    upstreams: bool,
}

impl Source for Trailed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let Some(lines) = &self.lines else {
            return Poll::Ready(None);
        };
        let lines = match ready!(self.inner.poll_frame(cx)) {
            None => lines.clone(),
            Some(Ok(Frame::Trailers(first))) if self.upstreams => {
                [first, lines.clone()].concat().into()
            }
            Some(Ok(Frame::Trailers(_))) => lines.clone(),
            next => return Poll::Ready(next),
        };
        self.lines = None;
        Poll::Ready(Some(Ok(Frame::Trailers(lines))))
    }

    fn answer(&mut self) -> Option<&mut ResponseBody> {
        self.inner.answer()
    }
}

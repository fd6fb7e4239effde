//! `add_trailer` of nginx's headers module: trailer fields of responses.

use bytes::Bytes;

use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::directive::inherited::Inherited;
use crate::message::fields::value_of;
use crate::message::head::Version;
use crate::request::Request;
use crate::request::framing::Framing;
use crate::request::response::{Content, Refusal, Response};
use crate::request::source::UpstreamBody;
use crate::variables::template::Template;

/// What the module keeps for each block: `add_trailer`, in order.
pub(crate) type Settings = Inherited<Trailer>;

/// One `add_trailer`.
#[derive(Clone, Debug)]
pub(crate) struct Trailer {
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
        scope.settings.of_mut::<Settings>().add(Trailer {
            name: directive.args[0].text.as_str().into(),
            value: Template::compile(&directive.args[1], &mut scope.draft.variables)?,
            always,
        });
        Ok(())
    },
)
.about("Adds a trailer field; its value is computed at the end of the body.")
.repeats(),
Spec::set("add_trailer_inherit", Contexts::ALL.or(Contexts::IF), (1, 1), |scope, directive| {
    scope.settings.of_mut::<Settings>().set_mode(directive)
})
.default("on")
.about("Whether the outer block's trailers are inherited: without own ones (`on`), never (`off`), or in addition to them (`merge`)."),
];

/// Announces trailers, so that the body is sent in chunks.
pub(crate) fn apply(request: &mut Request, response: &mut Response) {
    let trailers = request.settings().of::<Settings>();
    let regular = response.is_regular();
    let none = !trailers.iter().any(|trailer| trailer.always || regular);
    let plain = request.head.version < Version::Http11
        || response.framing(request) == Framing::None
        || matches!(response.content, Content::Empty);
    if none || plain {
        return;
    }
    request.own_trailers = Some(regular);
    // HTTP/1 has trailers only after chunks.
    if request.head.version < Version::Http2 {
        response.length = None;
    }
    if matches!(response.content, Content::Memory(_)) {
        response.filter(|whole| whole);
    }
}

/// The trailer fields at the end of a body: the upstream's, then this server's own, whose values
/// are computed now.
///
/// # Errors
/// There is no memory for large values; the response is cut.
pub(crate) fn at_end(
    request: &mut Request,
    upstreams: Bytes,
    upstream: Option<&mut dyn UpstreamBody>,
) -> Result<Bytes, Refusal> {
    let Some(regular) = request.own_trailers else {
        if !upstreams.is_empty() {
            request.outcome.trailers = upstreams.to_vec();
        }
        return Ok(upstreams);
    };
    if let Some(upstream) = upstream {
        upstream.note_end(request);
    }
    request.outcome.trailers = upstreams.to_vec();
    let config = request.config.clone();
    let trailers = config.location(request.location).settings.of::<Settings>();
    for trailer in trailers.iter().filter(|trailer| trailer.always || regular) {
        let value = value_of(trailer.value.evaluate(request));
        if !value.is_empty() {
            let lines = &mut request.outcome.trailers;
            for part in [trailer.name.as_bytes(), b": ", &value, b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
    }
    // For the log, and as they are sent.
    request.keep_value(3 * request.outcome.trailers.len())?;
    Ok(Bytes::copy_from_slice(&request.outcome.trailers))
}

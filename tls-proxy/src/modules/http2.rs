//! nginx's `ngx_http_v2_module` (HTTP/2, RFC 9113).

use super::{Contexts, Effect, Spec, arguments};

/// What the module keeps for each server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `http2`.
    pub on: bool,
    /// `http2_max_concurrent_streams`.
    pub max_concurrent_streams: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: false,
            max_concurrent_streams: 128,
        }
    }
}

const HTTP_SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);
const OBSOLETE: &str = "obsolete in nginx too: the general limits hold for HTTP/2";

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("http2", HTTP_SERVER, (1, 1), |scope, directive| {
        scope.settings.http2.on = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about("Serves HTTP/2: by ALPN over TLS, with prior knowledge in clear text."),
    Spec::set(
        "http2_max_concurrent_streams",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            let count = arguments::number(directive)?;
            scope.settings.http2.max_concurrent_streams = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
    )
    .default("128")
    .about("Most streams of one connection at once."),
    Spec::new(
        "http2_chunk_size",
        Contexts::ALL,
        (1, 1),
        Effect::Accepted("frames are as large as the peer allows"),
    ),
    Spec::new(
        "http2_body_preread_size",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted("the stream's window bounds what is read ahead"),
    ),
    Spec::new(
        "http2_recv_buffer_size",
        Contexts::HTTP,
        (1, 1),
        Effect::Accepted("memory follows the frames"),
    ),
    Spec::new(
        "http2_idle_timeout",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted(OBSOLETE),
    ),
    Spec::new(
        "http2_max_field_size",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted(OBSOLETE),
    ),
    Spec::new(
        "http2_max_header_size",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted(OBSOLETE),
    ),
    Spec::new(
        "http2_max_requests",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted(OBSOLETE),
    ),
    Spec::new(
        "http2_recv_timeout",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted(OBSOLETE),
    ),
];

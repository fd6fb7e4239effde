//! nginx's `ngx_http_stub_status_module`: counts of connections and requests.

use bytes::Bytes;

use crate::config::settings::{Inside, ModuleSettings};
use crate::config::spec::{Contexts, Spec};
use crate::metrics::{Sums, sums};
use crate::modules::variables::Evaluate;
use crate::modules::variables::known::append;
use crate::request::Request;
use crate::request::content_result::ContentResult;
use crate::request::response::Response;

/// What the module keeps for each block; not inherited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `stub_status`.
    pub(crate) on: bool,
}

impl ModuleSettings for Settings {
    fn inside(&self, _: Inside) -> Option<Self> {
        self.on.then(Self::default)
    }

    fn is_used(&self) -> bool {
        self.on
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::set(
    "stub_status",
    Contexts::SERVER.or(Contexts::LOCATION),
    (0, 1),
    |scope, _| {
        scope.settings.of_mut::<Settings>().on = true;
        Ok(())
    },
)
.about("Responds with counts of connections and requests.")
.repeats()];

/// The page.
pub(crate) fn serve(request: &Request) -> ContentResult {
    if !matches!(&request.head.method[..], b"GET" | b"HEAD") {
        return ContentResult::refuse(405);
    }
    let kind = Some(Bytes::from_static(b"text/plain"));
    ContentResult::Response(Ok(
        Response::text(200, kind, page(sums()).into()).reading_body()
    ))
}

fn page(sums: Sums) -> String {
    let Sums {
        accepted,
        active,
        requests,
        reading,
        writing,
        ..
    } = sums;
    let waiting = sums.waiting();
    format!(
        "Active connections: {active} \nserver accepts handled requests\n \
         {accepted} {accepted} {requests} \nReading: {reading} Writing: {writing} Waiting: {waiting} \n"
    )
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[
    ("connections_active", |_, out| {
        append(out, format_args!("{}", sums().active))
    }),
    ("connections_reading", |_, out| {
        append(out, format_args!("{}", sums().reading))
    }),
    ("connections_waiting", |_, out| {
        append(out, format_args!("{}", sums().waiting()))
    }),
    ("connections_writing", |_, out| {
        append(out, format_args!("{}", sums().writing))
    }),
];

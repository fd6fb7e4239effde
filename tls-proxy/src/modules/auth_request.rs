//! nginx's `ngx_http_auth_request_module`: a subrequest to another location decides whether a
//! request is allowed.

use std::sync::Arc;

use bytes::Bytes;

use super::map::variable_name;
use super::rewrite::{self, SetTarget};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::log::level::Level;
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::{Refusal, Response};
use crate::variables::template::Template;

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `auth_request`: the path of the subrequest; `None` is off.
    path: Option<Arc<str>>,
    /// `auth_request_set`: slots and their values.
    set: Option<Arc<[(SetTarget, Template)]>>,
}

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        self.path.is_some()
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("auth_request", Contexts::ALL, (1, 1), |scope, directive| {
        let path = arguments::first(directive).text.as_str();
        scope.settings.of_mut::<Settings>().path = (path != "off").then(|| path.into());
        Ok(())
    })
    .default("off")
    .about("Sends a subrequest to a location first: 2xx allows, 401 and 403 are passed on, anything else is 500."),
    Spec::set("auth_request_set", Contexts::ALL, (2, 2), |scope, directive| {
        let word = arguments::first(directive);
        let name = variable_name(word)?;
        let variables = &mut scope.draft.variables;
        let value = Template::compile(&directive.args[1], variables)?;
        let slot = SetTarget::of(name, variables.receive(name, &word.at)?);
        let own = &mut scope.settings.of_mut::<Settings>().set;
        let before = own.take().filter(|_| !scope.first_here);
        let before = before.iter().flat_map(|before| before.iter().cloned());
        *own = Some(before.chain([(slot, value)]).collect());
        Ok(())
    })
    .about("Sets a variable after `auth_request`; `$upstream_*` is of the subrequest.")
    .repeats(),
];

/// The subrequest whose response decides; `None` without `auth_request`.
pub(crate) fn subrequest(settings: &Settings, request: &Request) -> Option<Box<Request>> {
    let path = settings.path.as_ref()?;
    // Boxed, since the future of every request would include it.
    Some(Box::new(Request::subrequest(request, path.as_bytes())))
}

/// What the response to the subrequest `asked` means for the request.
pub(crate) fn decide(
    settings: &Settings,
    request: &mut Request,
    asked: &mut Request,
    response: Response,
) -> Result<(), Refusal> {
    let status = response.status;
    // What its location has counted is counted until the request ends.
    request.limit_req_status = asked.limit_req_status;
    request.limit_conn_status = asked.limit_conn_status;
    request.counted = request.counted.take().or(asked.counted.take());
    asked.outcome.status = status;
    asked.outcome.fields = response.fields;
    for (slot, value) in settings.set.iter().flat_map(|set| set.iter()) {
        let value = value.evaluate(asked);
        request.count_values(value.len())?;
        rewrite::set(*slot, value, request);
    }
    match status {
        200..=299 => Ok(()),
        401 => {
            let is_challenge =
                |(name, _): &&(Bytes, Bytes)| name.eq_ignore_ascii_case(b"www-authenticate");
            // Those of a response that an error page has replaced count, not those of the page.
            let fields = match asked.kept_fields.iter().any(|field| is_challenge(&field)) {
                true => &asked.kept_fields,
                false => &asked.outcome.fields,
            };
            let challenges = fields.iter().filter(is_challenge);
            let size = challenges
                .clone()
                .map(|(name, value)| name.len() + value.len());
            request.keep_value(2 * size.sum::<usize>())?;
            // The head that they are a part of is counted with the subrequest.
            let copy = |(name, value): &(Bytes, Bytes)| {
                (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value))
            };
            request.kept_fields.extend(challenges.map(copy));
            Err(Refusal::new(401))
        }
        403 => Err(Refusal::new(403)),
        status => {
            let what = format!("auth request unexpected status: {status}");
            error_log::request(request, Level::Error, what);
            Err(Refusal::new(500))
        }
    }
}

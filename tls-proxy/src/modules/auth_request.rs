//! nginx's `ngx_http_auth_request_module`: another location decides whether a
//! request may come in.

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
    /// `auth_request`: the path that is asked; none is off.
    path: Option<Arc<str>>,
    /// `auth_request_set`: slots and the values they get.
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
    .about("Asks a location first: 2xx lets in, 401 and 403 are passed on, anything else is 500."),
    Spec::set("auth_request_set", Contexts::ALL, (2, 2), |scope, directive| {
        let word = arguments::first(directive);
        let name = variable_name(word)?;
        let variables = &mut scope.draft.variables;
        let value = Template::compile(&directive.args[1], variables)?;
        // Not `assign`: where nothing was asked the variable is not found, and nobody
        // is warned of that.
        let slot = SetTarget::of(name, variables.capture(name, &word.at)?);
        let own = &mut scope.settings.of_mut::<Settings>().set;
        let before = own.take().filter(|_| !scope.first_here);
        let before = before.iter().flat_map(|before| before.iter().cloned());
        *own = Some(before.chain([(slot, value)]).collect());
        Ok(())
    })
    .about("Gives a variable a value when `auth_request` has been answered; `$upstream_*` is of its answer.")
    .repeats(),
];

/// The request on behalf of this one whose response decides; `None` where no location
/// is asked.
pub(crate) fn subrequest(settings: &Settings, request: &Request) -> Option<Box<Request>> {
    let path = settings.path.as_ref()?;
    // On the heap: the future of every request has room for what it may await.
    Some(Box::new(Request::on_behalf_of(request, path.as_bytes())))
}

/// What the response to `asked`, the subrequest, means for the request.
pub(crate) fn decide(
    settings: &Settings,
    request: &mut Request,
    asked: &mut Request,
    response: Response,
) -> Result<(), Refusal> {
    let status = response.status;
    asked.outcome.status = status;
    asked.outcome.fields = response.fields;
    for (slot, value) in settings.set.iter().flat_map(|set| set.iter()) {
        let value = value.evaluate(asked);
        rewrite::set(*slot, value, request);
    }
    match status {
        200..=299 => Ok(()),
        401 => {
            let is_challenge =
                |(name, _): &&(Bytes, Bytes)| name.eq_ignore_ascii_case(b"www-authenticate");
            let challenges = asked.outcome.fields.iter().filter(is_challenge).cloned();
            request.kept_fields.extend(challenges);
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

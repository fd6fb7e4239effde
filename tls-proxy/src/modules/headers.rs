//! nginx's `ngx_http_headers_module`: fields added to answers.

use std::sync::Arc;

use bytes::Bytes;

use super::{Contexts, Spec, arguments};
use crate::server::request::Request;
use crate::server::response::Response;
use crate::vars::template::Template;

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `add_header`, in order.
    pub add: Arc<[Addition]>,
}

/// One `add_header`.
#[derive(Clone, Debug)]
pub struct Addition {
    name: Bytes,
    value: Template,
    always: bool,
}

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::set(
    "add_header",
    Contexts::ALL.or(Contexts::IF),
    (2, 3),
    |scope, directive| {
        let always = match directive.args.get(2) {
            None => false,
            Some(word) if word.text == "always" => true,
            Some(word) => return Err(arguments::invalid_parameter(word)),
        };
        let addition = Addition {
            name: Bytes::copy_from_slice(directive.args[0].text.as_bytes()),
            value: Template::compile(&directive.args[1], &mut scope.draft.variables)?,
            always,
        };
        let own = &mut scope.settings.headers.add;
        let inherited = if scope.first_here { &[] } else { &own[..] };
        *own = inherited.iter().cloned().chain([addition]).collect();
        Ok(())
    },
)
.about("Adds a field to answers of 200, 201, 204, 206, 301-304, 307, 308; `always`: to all.")
.repeats()];

/// Adds what the request's location says to its answer.
pub(crate) fn apply(settings: &Settings, request: &Request, response: &mut Response) {
    let regular = matches!(
        response.status,
        200 | 201 | 204 | 206 | 301..=304 | 307 | 308
    );
    for addition in settings
        .add
        .iter()
        .filter(|addition| addition.always || regular)
    {
        let value = addition.value.evaluate(request);
        if !value.is_empty() {
            response.fields.push((addition.name.clone(), value));
        }
    }
}

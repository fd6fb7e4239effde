//! nginx's `ngx_http_headers_module`: adds fields to responses.

use bytes::Bytes;

use crate::conf::Directive;
use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::directive::inherited::Inherited;
use crate::message::fields::value_of;
use crate::request::Request;
use crate::request::response::{self, Response};
use crate::time::http_date;
use crate::variables::template::Template;

/// What the module keeps for each block: `add_header`, in order.
pub(crate) type Settings = Inherited<Addition>;

/// One `add_header`.
#[derive(Clone, Debug)]
pub(crate) struct Addition {
    name: Bytes,
    value: Template,
    always: bool,
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "add_header",
        Contexts::ALL.or(Contexts::IF),
        (2, 3),
        |scope, directive| {
            let always = arguments::always(directive)?;
            scope.settings.of_mut::<Settings>().add(Addition {
                name: Bytes::copy_from_slice(directive.args[0].text.as_bytes()),
                value: Template::compile(&directive.args[1], &mut scope.draft.variables)?,
                always,
            });
            Ok(())
        },
    )
    .differs(is_forbidden_in_http2, "the field does not reach clients of HTTP/2", "fields-that-http2-forbids")
    .about("Adds a field to responses of 200, 201, 204, 206, 301-304, 307, 308; `always`: to all.")
    .repeats(),
    Spec::set(
        "add_header_inherit",
        Contexts::ALL.or(Contexts::IF),
        (1, 1),
        |scope, directive| scope.settings.of_mut::<Settings>().set_mode(directive),
    )
    .default("on")
    .about("Whether the outer block's fields are inherited: without own ones (`on`), never (`off`), or in addition to them (`merge`)."),
];

/// Whether the field is specific to HTTP/1 connections.
fn is_forbidden_in_http2(directive: &Directive) -> bool {
    let name = directive.args.first().map_or("", |word| &word.text);
    let mut forbidden = ["Connection", "Proxy-Connection", "Upgrade"].iter();
    forbidden.any(|own| own.eq_ignore_ascii_case(name))
}

/// Adds the fields of the request's location to its response; without memory for the request or for
/// them, only those that need not be computed.
pub(crate) fn apply(settings: &Settings, request: &mut Request, response: &mut Response) {
    let regular = response.is_regular();
    let computes = request.permit.is_some() && request.computes_response;
    let mut additions = settings
        .iter()
        .filter(|addition| addition.always || regular)
        .filter(|addition| computes || !addition.value.has_variables())
        .peekable();
    if additions.peek().is_some() {
        request.outcome.status = response.status;
    }
    for addition in additions {
        let is_computed = addition.value.has_variables();
        if is_computed {
            // Variables see the response as it is so far, with the previous lines.
            response.show(request);
        }
        let mut value = addition.value.evaluate(request);
        if is_computed {
            value = value_of(value);
            response.computed += value.len() as u64;
        }
        add(response, &addition.name, value);
    }
}

/// `ETag` and `Last-Modified` replace the field, and an empty value removes it; all others are
/// added.
fn add(response: &mut Response, name: &Bytes, value: Bytes) {
    let only = [&b"etag"[..], b"last-modified"];
    if only.iter().any(|only| name.eq_ignore_ascii_case(only)) {
        response::remove(&mut response.fields, name);
        if let Some(known) = &mut response.validators {
            match name.len() {
                4 => known.etag = Some(value.clone()).filter(|value| !value.is_empty()),
                _ => known.modified = http_date::parse(&value),
            }
        }
    }
    if !value.is_empty() {
        response.fields.push((name.clone(), value));
    }
}

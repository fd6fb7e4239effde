//! nginx's `ngx_http_charset_module`: the charset in `Content-Type`. Nothing is converted.

use bytes::Bytes;

use super::content_types::ContentTypes;
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, MANY, Spec};
use crate::directive::arguments;
use crate::directive::value::Value;
use crate::message::fields::value_of;
use crate::request::Request;
use crate::request::response::Response;
use crate::variables::template::Template;

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    name: Option<Template>,
    types: ContentTypes,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            types: ContentTypes::of(&[
                "text/xml",
                "text/plain",
                "text/vnd.wap.wml",
                "application/javascript",
                "application/rss+xml",
            ]),
        }
    }
}

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        self.name.is_some()
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "charset",
        Contexts::ALL.or(Contexts::IF),
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            scope.settings.of_mut::<Settings>().name = match word.text.as_str() {
                "off" => None,
                _ => Some(Template::compile(word, &mut scope.draft.variables)?),
            };
            Ok(())
        },
    )
    .default("off")
    .about("Added to the content type of texts; nothing is converted."),
    Spec::set(
        "charset_types",
        Contexts::ALL,
        (1, MANY),
        |scope, directive| ContentTypes::add(scope, directive, |own: &mut Settings| &mut own.types),
    )
    .default(
        "text/html text/xml text/plain text/vnd.wap.wml application/javascript application/rss+xml",
    )
    .about("Content types that `charset` is for, besides text/html.")
    .repeats(),
    Spec::new(
        "override_charset",
        Contexts::ALL.or(Contexts::IF),
        (1, 1),
        Effect::Accepted("nothing is converted"),
    )
    .takes(Value::Flag),
    Spec::new(
        "source_charset",
        Contexts::ALL.or(Contexts::IF),
        (1, 1),
        Effect::Refused("nothing is converted; remove the line"),
    ),
];

/// Adds the charset to a text's content type.
pub(crate) fn apply(settings: &Settings, request: &mut Request, response: &mut Response) {
    let Some(kind) = &response.content_type else {
        return;
    };
    // Old browsers applied it to the page they were redirected to.
    if matches!(response.status, 301 | 302) {
        return;
    }
    if settings.name.as_ref().is_some_and(Template::has_variables) {
        if !request.computes_response {
            return;
        }
        response.show(request);
    }
    if let Some(name) = of(settings, request, kind) {
        response.computed += name.len() as u64;
        response.content_type = Some(Bytes::from([kind, &b"; charset="[..], &name[..]].concat()));
    }
}

/// The charset of a text of this type.
pub(super) fn of(settings: &Settings, request: &Request, kind: &[u8]) -> Option<Bytes> {
    let name = settings.name.as_ref()?;
    let listed = settings.types.has(Some(kind));
    let name = listed.then(|| value_of(name.evaluate(request)));
    name.filter(|name| !name.is_empty())
}

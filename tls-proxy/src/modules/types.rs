//! `types` and `default_type` of nginx's core module: the content type of this server's own
//! responses, by the file extension.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::conf::{Directive, Problem};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, Scope, Spec};
use crate::directive::arguments;
use crate::directive::value::Value;
use crate::request::Request;

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `types`, by extension in lower case.
    types: Arc<HashMap<Box<[u8]>, Bytes>>,
    /// `default_type`.
    default: Bytes,
}

impl Default for Settings {
    fn default() -> Self {
        let own = [
            ("html", "text/html"),
            ("gif", "image/gif"),
            ("jpg", "image/jpeg"),
        ];
        let own = own.map(|(ending, kind)| (ending.as_bytes().into(), Bytes::from(kind)));
        Self {
            types: Arc::new(own.into()),
            default: Bytes::from_static(b"text/plain"),
        }
    }
}

const HASH: Effect = Effect::Accepted("tables grow as they need");

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::new("types", Contexts::ALL, (0, 0), Effect::Block(define))
        .default("text/html html; image/gif gif; image/jpeg jpg")
        .about("Content types by file extension, for files and `return`.")
        .repeats(),
    Spec::set("default_type", Contexts::ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().default = Bytes::copy_from_slice(word.text.as_bytes());
        Ok(())
    })
    .default("text/plain")
    .about("Content type for unknown extensions."),
    Spec::new("types_hash_max_size", Contexts::ALL, (1, 1), HASH).takes(Value::Number),
    Spec::new("types_hash_bucket_size", Contexts::ALL, (1, 1), HASH).takes(Value::Number),
];

fn define(scope: &mut Scope<'_>, _: &Directive, children: &[Directive]) -> Result<(), Problem> {
    let mut types = HashMap::new();
    for line in children {
        let kind = Bytes::copy_from_slice(line.name.text.as_bytes());
        for word in &line.args {
            let ending = word
                .text
                .to_ascii_lowercase()
                .into_bytes()
                .into_boxed_slice();
            if let Some(before) = types.insert(ending, kind.clone()) {
                let message = format!(
                    "duplicate extension \"{}\", content type: \"{}\", previous content type: \"{}\"",
                    word.text,
                    line.name.text,
                    String::from_utf8_lossy(&before)
                );
                scope.draft.problems.push(Problem::warn(&word.at, message));
            }
        }
    }
    scope.settings.of_mut::<Settings>().types = Arc::new(types);
    Ok(())
}

/// The extension of a path: what follows the last dot of its last segment.
fn ending(path: &[u8]) -> Option<&[u8]> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let dot = memchr::memrchr(b'.', name).filter(|dot| *dot > 0)?;
    Some(&name[dot + 1..]).filter(|ending| !ending.is_empty())
}

/// The content type of this server's own response; `None` with `default_type ""`.
pub(crate) fn of(request: &Request) -> Option<Bytes> {
    let settings = request.settings().of::<Settings>();
    let known = ending(&request.path)
        .and_then(|ending| settings.types.get(&ending.to_ascii_lowercase()[..]));
    let kind = known.unwrap_or(&settings.default);
    (!kind.is_empty()).then(|| kind.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_is_that_of_the_last_part() {
        for (path, expected) in [
            (&b"/a.html"[..], Some(&b"html"[..])),
            (b"/a.tar.gz", Some(b"gz")),
            (b"/a.b/c", None),
            (b"/.env", None),
            (b"/a.", None),
        ] {
            assert_eq!(ending(path), expected);
        }
    }
}

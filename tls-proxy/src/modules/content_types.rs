//! Lists of content types (`gzip_types`, `sub_filter_types`), and how a `Content-Type` is compared
//! with them.

use std::sync::Arc;

use crate::conf::{Directive, Problem};
use crate::directive::arguments;

/// Content types besides text/html; `None` is `*`.
#[derive(Clone, Debug)]
pub(crate) struct ContentTypes(Option<Arc<[Box<str>]>>);

impl Default for ContentTypes {
    fn default() -> Self {
        Self(Some(Arc::new([])))
    }
}

impl ContentTypes {
    /// Adds the types of a directive; the first one of a block starts a new list. `*` stays `*`.
    pub(crate) fn add(
        &mut self,
        directive: &Directive,
        first_here: bool,
        problems: &mut Vec<Problem>,
    ) {
        if first_here {
            *self = Self::default();
        }
        let Some(before) = &self.0 else {
            return;
        };
        let all = directive.args.iter().any(|word| word.text == "*");
        let types = arguments::add_types(directive, before, problems);
        self.0 = (!all).then(|| types.into());
    }

    /// Whether the list has the type; `*` includes a missing type.
    pub(crate) fn has(&self, kind: Option<&[u8]>) -> bool {
        let Some(types) = &self.0 else {
            return true;
        };
        let is = |own: &str| kind.is_some_and(|kind| kind.eq_ignore_ascii_case(own.as_bytes()));
        is("text/html") || types.iter().any(|own| is(own))
    }
}

/// A content type without its charset; as in nginx, other parameters stay.
pub(crate) fn without_charset(kind: &[u8]) -> &[u8] {
    let is_charset = |at: &usize| {
        let parameter = kind[at + 1..].trim_ascii_start();
        parameter
            .get(..8)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"charset="))
    };
    let end = memchr::memchr_iter(b';', kind).find(is_charset);
    &kind[..end.unwrap_or(kind.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_charset_is_cut_off() {
        for (kind, bare) in [
            ("text/html", "text/html"),
            ("text/html; charset=utf-8", "text/html"),
            ("text/html;CHARSET=utf-8; a=b", "text/html"),
            ("text/html; a=b", "text/html; a=b"),
            ("text/html; a=b; charset=x", "text/html; a=b"),
            ("text/html ;charset=x", "text/html "),
            ("text/html;", "text/html;"),
        ] {
            assert_eq!(without_charset(kind.as_bytes()), bare.as_bytes(), "{kind}");
        }
    }
}

//! Lists of content types (`gzip_types`, `sub_filter_types`, `charset_types`), and how a
//! `Content-Type` is compared with them.

use std::sync::Arc;

use crate::conf::{Directive, Problem};
use crate::config::settings::SettingsSlot;
use crate::config::spec::Scope;

/// Content types besides text/html; `None` is `*`.
#[derive(Clone, Debug)]
pub(crate) struct ContentTypes(Option<Arc<[Box<str>]>>);

impl Default for ContentTypes {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl ContentTypes {
    /// These types besides text/html.
    pub(crate) fn of(types: &[&str]) -> Self {
        Self(Some(types.iter().map(|own| Box::from(*own)).collect()))
    }

    /// Adds the types of a directive to the list in a module's settings; the first one of a block
    /// starts a new list. `*` stays `*`. nginx warns of duplicates.
    pub(crate) fn add<T: SettingsSlot>(
        scope: &mut Scope<'_>,
        directive: &Directive,
        of: fn(&mut T) -> &mut Self,
    ) -> Result<(), Problem> {
        let own = of(scope.settings.of_mut());
        if scope.first_here {
            *own = Self::default();
        }
        let Some(before) = &own.0 else {
            return Ok(());
        };
        let mut types = before.to_vec();
        for word in &directive.args {
            let kind: Box<str> = word.text.to_ascii_lowercase().into();
            if &*kind == "*" {
                own.0 = None;
                return Ok(());
            }
            if &*kind == "text/html" || types.contains(&kind) {
                let message = format!("duplicate MIME type \"{}\"", word.text);
                let problems = &mut scope.draft.problems;
                problems.push(Problem::warn(&word.at, message));
            } else {
                types.push(kind);
            }
        }
        own.0 = Some(types.into());
        Ok(())
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

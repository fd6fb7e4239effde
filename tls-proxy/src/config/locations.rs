//! Choosing a location by path, in nginx's order.

use super::LocationId;
use crate::vars::captured::Matcher;

/// The locations of one block, ready to be searched.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    exact: Vec<(Box<[u8]>, LocationId)>,
    /// The longest first.
    prefixes: Vec<Prefix>,
    patterns: Vec<(Matcher, LocationId)>,
    named: Vec<(Box<[u8]>, LocationId)>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<[u8]>,
    /// `^~`: no pattern is tried.
    final_: bool,
    /// The path without its last slash is redirected here (`proxy_pass`).
    auto_redirect: bool,
    id: LocationId,
}

/// The result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This location.
    Location(LocationId),
    /// This location begins with the path and a slash.
    Redirect(LocationId),
}

/// What a location matches.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Exact(String),
    Prefix { text: String, final_: bool },
    Regex { matcher: Matcher, text: String },
    Named(String),
}

impl Pattern {
    /// Whether nginx refuses one of the two beside the other. It does not look
    /// at patterns, nor at names, of which the first counts.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(own), Self::Exact(other)) => own == other,
            (Self::Prefix { text: own, .. }, Self::Prefix { text: other, .. }) => own == other,
            _ => false,
        }
    }

    /// Why the location cannot stand inside the location `around`.
    pub(crate) fn misplaced_in(&self, around: &Self) -> Option<String> {
        let (own, outer) = (self.text(), around.text());
        match (self, around) {
            (_, Self::Exact(_)) => Some(format!(
                "location \"{own}\" cannot be inside the exact location \"{outer}\""
            )),
            (_, Self::Named(_)) => Some(format!(
                "location \"{own}\" cannot be inside the named location \"{outer}\""
            )),
            (Self::Named(_), _) => Some(format!(
                "named location \"{own}\" can be on the server level only"
            )),
            (Self::Regex { .. }, _) => None,
            // Of a pattern nginx compares the text, too.
            _ if own.starts_with(outer) => None,
            _ => Some(format!(
                "location \"{own}\" is outside location \"{outer}\""
            )),
        }
    }

    /// The pattern's own text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Named(text) => text,
            Self::Prefix { text, .. } | Self::Regex { text, .. } => text,
        }
    }

    /// What a path in `proxy_pass` replaces; none where there is no prefix.
    pub(crate) fn prefix(&self) -> Option<&[u8]> {
        match self {
            Self::Exact(text) | Self::Prefix { text, .. } => Some(text.as_bytes()),
            Self::Regex { .. } | Self::Named(_) => None,
        }
    }
}

impl Tree {
    /// Adds a location.
    pub(crate) fn add(&mut self, pattern: &Pattern, id: LocationId, proxied: bool) {
        match pattern {
            Pattern::Exact(text) => self.exact.push((text.as_bytes().into(), id)),
            Pattern::Named(name) => self.named.push((name.as_bytes().into(), id)),
            Pattern::Regex { matcher, .. } => self.patterns.push((matcher.clone(), id)),
            Pattern::Prefix { text, final_ } => {
                let auto_redirect = proxied && text.len() > 1 && text.ends_with('/');
                let text = text.as_bytes().into();
                self.prefixes.push(Prefix {
                    text,
                    final_: *final_,
                    auto_redirect,
                    id,
                });
                self.prefixes
                    .sort_by_key(|prefix| std::cmp::Reverse(prefix.text.len()));
            }
        }
    }

    /// A location by its `@name`.
    pub(crate) fn named(&self, name: &[u8]) -> Option<LocationId> {
        self.named
            .iter()
            .find(|(own, _)| **own == *name)
            .map(|(_, id)| *id)
    }

    /// The location for `path`: `=` first, then the longest prefix unless a
    /// pattern matches and the prefix is not `^~`. `inside` leads to the
    /// locations within a location; `matches` tries a pattern, and may fail.
    pub(crate) fn find<'a, E>(
        &'a self,
        path: &[u8],
        inside: &impl Fn(LocationId) -> &'a Tree,
        matches: &impl Fn(&Matcher) -> Result<bool, E>,
    ) -> Result<Option<Found>, E> {
        if let Some((_, id)) = self.exact.iter().find(|(text, _)| **text == *path) {
            return Ok(Some(Found::Location(*id)));
        }
        let slashed = self.prefixes.iter().find(|prefix| prefix.redirects(path));
        if let Some(prefix) = slashed {
            return Ok(Some(Found::Redirect(prefix.id)));
        }
        let prefix = self
            .prefixes
            .iter()
            .find(|prefix| path.starts_with(&prefix.text));
        if let Some(prefix) = prefix {
            let found = inside(prefix.id).find(path, inside, matches)?;
            if found.is_some() {
                return Ok(found);
            }
            if prefix.final_ {
                return Ok(Some(Found::Location(prefix.id)));
            }
        }
        for (matcher, id) in &self.patterns {
            if matches(matcher)? {
                let found = inside(*id).find(path, inside, matches)?;
                return Ok(found.or(Some(Found::Location(*id))));
            }
        }
        Ok(prefix.map(|prefix| Found::Location(prefix.id)))
    }
}

impl Prefix {
    fn redirects(&self, path: &[u8]) -> bool {
        self.auto_redirect && self.text.strip_suffix(b"/") == Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(patterns: &[Pattern]) -> Tree {
        let mut tree = Tree::default();
        for (index, pattern) in patterns.iter().enumerate() {
            tree.add(pattern, LocationId(index), true);
        }
        tree
    }

    fn prefix(text: &str, final_: bool) -> Pattern {
        Pattern::Prefix {
            text: text.into(),
            final_,
        }
    }

    fn regex(text: &str) -> Pattern {
        let at = crate::conf::Position::in_a_test();
        let word = crate::conf::Word {
            text: text.into(),
            quoted: false,
            at,
        };
        let mut registry = crate::vars::registry::Registry::default();
        Pattern::Regex {
            matcher: Matcher::compile(text, false, &word, &mut registry).expect("valid"),
            text: text.into(),
        }
    }

    #[test]
    fn nginx_order_is_kept() {
        let tree = tree(&[
            prefix("/", false),
            prefix("/api/", false),
            prefix("/static/", true),
            regex(r"\.png$"),
            Pattern::Exact("/api/x.png".into()),
        ]);
        let empty = Tree::default();
        for (path, expected) in [
            ("/", 0),
            ("/a", 0),
            ("/api/a", 1),
            ("/api/a.png", 3),
            ("/static/a.png", 2),
            ("/api/x.png", 4),
        ] {
            let matches = |matcher: &Matcher| matcher.pattern().is_match(path.as_bytes());
            let found = tree.find(path.as_bytes(), &|_| &empty, &matches);
            assert_eq!(
                found.expect("bounded"),
                Some(Found::Location(LocationId(expected))),
                "{path}"
            );
        }
        let redirect = tree.find(b"/api", &|_| &empty, &|_| Ok::<_, ()>(false));
        assert_eq!(redirect, Ok(Some(Found::Redirect(LocationId(1)))));
    }
}

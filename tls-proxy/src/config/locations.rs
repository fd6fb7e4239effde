//! Choosing a location by path, in nginx's order.

use super::LocationId;
use crate::variables::matcher::Matcher;

/// The locations of one block, ready to be searched: sorted by bytes, so that the search is
/// logarithmic.
#[derive(Debug, Default)]
pub(crate) struct LocationTree {
    exact: Vec<(Box<[u8]>, LocationId)>,
    prefixes: Vec<Prefix>,
    /// Paths that are redirected: those of proxied locations without their last
    /// slash.
    slashed: Vec<(Box<[u8]>, LocationId)>,
    patterns: Vec<(Matcher, LocationId)>,
    named: Vec<(Box<[u8]>, LocationId)>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<[u8]>,
    /// `^~`: no pattern is tried.
    final_: bool,
    id: LocationId,
}

/// The result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LocationMatch {
    /// This location.
    Location(LocationId),
    /// This location begins with the path and a slash.
    Redirect(LocationId),
}

/// What a location matches.
#[derive(Clone, Debug)]
pub(crate) enum LocationPattern {
    Exact(String),
    Prefix { text: String, final_: bool },
    Regex { matcher: Matcher, text: String },
    Named(String),
}

impl LocationPattern {
    /// Whether nginx rejects the two as duplicates. It compares neither patterns nor names; the
    /// first name counts.
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
            // nginx compares the text of a pattern, too.
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

    /// What a path in `proxy_pass` replaces; `None` if there is no prefix.
    pub(crate) fn prefix(&self) -> Option<&[u8]> {
        match self {
            Self::Exact(text) | Self::Prefix { text, .. } => Some(text.as_bytes()),
            Self::Regex { .. } | Self::Named(_) => None,
        }
    }

    /// The path that is redirected to a proxied location whose own ends with a slash.
    fn without_last_slash(&self) -> Option<&[u8]> {
        let bare = self.prefix()?.strip_suffix(b"/")?;
        Some(bare).filter(|bare| !bare.is_empty())
    }
}

impl LocationTree {
    /// Adds a location.
    pub(crate) fn add(&mut self, pattern: &LocationPattern, id: LocationId, proxied: bool) {
        if proxied && let Some(bare) = pattern.without_last_slash() {
            insert(&mut self.slashed, bare, id);
        }
        match pattern {
            LocationPattern::Exact(text) => insert(&mut self.exact, text.as_bytes(), id),
            LocationPattern::Named(name) => self.named.push((name.as_bytes().into(), id)),
            LocationPattern::Regex { matcher, .. } => self.patterns.push((matcher.clone(), id)),
            LocationPattern::Prefix { text, final_ } => {
                let text = text.as_bytes().into();
                let at = self.prefixes.partition_point(|other| other.text < text);
                let prefix = Prefix {
                    text,
                    final_: *final_,
                    id,
                };
                self.prefixes.insert(at, prefix);
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
        inside: &impl Fn(LocationId) -> &'a LocationTree,
        matches: &impl Fn(&Matcher) -> Result<bool, E>,
    ) -> Result<Option<LocationMatch>, E> {
        let found = self.find_here(path, inside, matches)?;
        Ok(found.map(|(found, _)| found))
    }

    /// The same, and whether it is final: else the patterns of the blocks around it are tried, too.
    fn find_here<'a, E>(
        &'a self,
        path: &[u8],
        inside: &impl Fn(LocationId) -> &'a LocationTree,
        matches: &impl Fn(&Matcher) -> Result<bool, E>,
    ) -> Result<Option<(LocationMatch, bool)>, E> {
        if let Some(id) = search(&self.exact, path) {
            return Ok(Some((LocationMatch::Location(id), true)));
        }
        let prefix = self.longest(path);
        // A location of just this path takes precedence.
        let is_own = prefix.is_some_and(|prefix| *prefix.text == *path);
        if !is_own && let Some(id) = search(&self.slashed, path) {
            return Ok(Some((LocationMatch::Redirect(id), true)));
        }
        let mut longest = None;
        if let Some(prefix) = prefix {
            let nested = inside(prefix.id).find_here(path, inside, matches)?;
            let own = (LocationMatch::Location(prefix.id), false);
            let found = nested.unwrap_or(own);
            if found.1 || prefix.final_ {
                return Ok(Some(found));
            }
            longest = Some(found);
        }
        for (matcher, id) in &self.patterns {
            if matches(matcher)? {
                let nested = inside(*id).find(path, inside, matches)?;
                let found = nested.unwrap_or(LocationMatch::Location(*id));
                return Ok(Some((found, true)));
            }
        }
        Ok(longest)
    }

    /// The longest prefix of `path`. It stands at or before the path's own place in
    /// the order; if not right before it, it is a prefix, too, of what the path and
    /// its neighbour there have in common.
    fn longest(&self, path: &[u8]) -> Option<&Prefix> {
        let mut rest = path;
        loop {
            let at = self.prefixes.partition_point(|own| *own.text <= *rest);
            let neighbour = self.prefixes[..at].last()?;
            let both = neighbour.text.iter().zip(rest);
            let common = both.take_while(|(own, other)| own == other).count();
            if common == neighbour.text.len() {
                return Some(neighbour);
            }
            rest = &rest[..common];
        }
    }
}

fn insert(places: &mut Vec<(Box<[u8]>, LocationId)>, text: &[u8], id: LocationId) {
    let at = places.partition_point(|(other, _)| **other < *text);
    places.insert(at, (text.into(), id));
}

fn search(places: &[(Box<[u8]>, LocationId)], path: &[u8]) -> Option<LocationId> {
    let at = places.binary_search_by(|(text, _)| (**text).cmp(path));
    at.ok().map(|at| places[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(patterns: &[LocationPattern]) -> LocationTree {
        let mut tree = LocationTree::default();
        for (index, pattern) in patterns.iter().enumerate() {
            tree.add(pattern, LocationId(index), true);
        }
        tree
    }

    fn prefix(text: &str, final_: bool) -> LocationPattern {
        LocationPattern::Prefix {
            text: text.into(),
            final_,
        }
    }

    fn regex(text: &str) -> LocationPattern {
        let at = crate::conf::Position::in_a_test();
        let word = crate::conf::Word {
            text: text.into(),
            quoted: false,
            at,
        };
        let mut registry = crate::variables::registry::Registry::default();
        LocationPattern::Regex {
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
            LocationPattern::Exact("/api/x.png".into()),
        ]);
        let empty = LocationTree::default();
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
                Some(LocationMatch::Location(LocationId(expected))),
                "{path}"
            );
        }
        let redirect = tree.find(b"/api", &|_| &empty, &|_| Ok::<_, ()>(false));
        assert_eq!(redirect, Ok(Some(LocationMatch::Redirect(LocationId(1)))));
    }

    #[test]
    fn patterns_around_a_nested_prefix_are_tried() {
        let outer = tree(&[prefix("/a/", false), regex(r"\.php$")]);
        let (mut inner, empty) = (LocationTree::default(), LocationTree::default());
        let exact = LocationPattern::Exact("/a/exact.php".into());
        for (pattern, id) in [(prefix("/a/b/", true), 10), (exact, 11)] {
            inner.add(&pattern, LocationId(id), false);
        }
        for (path, expected) in [
            ("/a/b/c", 10),
            ("/a/b/c.php", 1),
            ("/a/exact.php", 11),
            ("/a/c", 0),
            ("/a/c.php", 1),
        ] {
            let inside = |id: LocationId| if id.0 == 0 { &inner } else { &empty };
            let matches = |matcher: &Matcher| matcher.pattern().is_match(path.as_bytes());
            let found = outer.find(path.as_bytes(), &inside, &matches);
            let expected = Some(LocationMatch::Location(LocationId(expected)));
            assert_eq!(found.expect("bounded"), expected, "{path}");
        }
    }

    #[test]
    fn the_longest_prefix_is_found_among_its_neighbours() {
        let texts = [
            "/", "/a", "/a/b", "/a/b/c", "/a/bb", "/aa", "/b", "/a/b/d/e",
        ];
        let tree = tree(&texts.map(|text| prefix(text, false)));
        let mut paths: Vec<String> = texts.map(str::to_owned).to_vec();
        for text in texts {
            paths.extend(
                ["", "/", "a", "b", "c", "0", "~", "/b", "/b/d/z"]
                    .map(|end| format!("{text}{end}")),
            );
        }
        for path in &paths {
            let found = tree.longest(path.as_bytes()).map(|own| own.id.0);
            let longest = (0..texts.len()).filter(|at| path.starts_with(texts[*at]));
            assert_eq!(found, longest.max_by_key(|at| texts[*at].len()), "{path}");
        }
        assert!(tree.longest(b"x").is_none());
    }
}

//! `server_name`: choosing a server by the name a client asks for.

use std::collections::HashMap;

use super::ServerId;
use crate::conf::{Problem, Word};
use crate::vars::captured::Matcher;
use crate::vars::registry::Registry;

/// One name of a server.
#[derive(Clone, Debug)]
pub(crate) enum ServerName {
    Exact(String),
    /// `*.example.com` as `.example.com`.
    Suffix(String),
    /// `.example.com`: the name and everything below it.
    Domain(String),
    /// `www.*` as `www.`.
    Prefix(String),
    /// `~…`, with its text.
    Pattern(Matcher, String),
}

impl ServerName {
    pub(crate) fn parse(
        word: &Word,
        hostname: &str,
        variables: &mut Registry,
    ) -> Result<Self, Problem> {
        let text = word.text.to_ascii_lowercase();
        let invalid = || {
            Problem::emerg(
                &word.at,
                format!("server name \"{}\" is invalid", word.text),
            )
            .with_help("`*` may stand for the first or the last label only")
        };
        if let Some(pattern) = word.text.strip_prefix('~') {
            let matcher = Matcher::compile(pattern, true, word, variables)?;
            return Ok(Self::Pattern(matcher, word.text.clone()));
        }
        if text == "$hostname" {
            return Ok(Self::Exact(hostname.to_ascii_lowercase()));
        }
        if let Some(suffix) = text.strip_prefix('*') {
            let valid = suffix.starts_with('.') && suffix.len() > 1 && !suffix.contains('*');
            return if valid {
                Ok(Self::Suffix(suffix.to_owned()))
            } else {
                Err(invalid())
            };
        }
        if let Some(prefix) = text.strip_suffix('*') {
            let valid = prefix.ends_with('.') && prefix.len() > 1 && !prefix.contains('*');
            return if valid {
                Ok(Self::Prefix(prefix.to_owned()))
            } else {
                Err(invalid())
            };
        }
        if text.contains('*') || text.contains('/') {
            return Err(invalid());
        }
        Ok(if text.starts_with('.') {
            Self::Domain(text)
        } else {
            Self::Exact(text)
        })
    }

    /// As the configuration wrote it, but without a leading dot
    /// (`$server_name`).
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Exact(name) => name.clone(),
            Self::Domain(domain) => domain[1..].to_owned(),
            Self::Suffix(suffix) => format!("*{suffix}"),
            Self::Prefix(prefix) => format!("{prefix}*"),
            Self::Pattern(_, text) => text.clone(),
        }
    }
}

/// The servers of one address, by name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<String, ServerId>,
    suffixes: Vec<(String, ServerId)>,
    prefixes: Vec<(String, ServerId)>,
    patterns: Vec<(Matcher, ServerId)>,
}

impl Names {
    /// Adds a name; `false` where another server has it already.
    pub(crate) fn add(&mut self, name: &ServerName, server: ServerId) -> bool {
        match name {
            ServerName::Exact(name) => {
                if self.exact.contains_key(name) {
                    return false;
                }
                self.exact.insert(name.clone(), server);
            }
            ServerName::Domain(domain) => {
                let name = self.add(&ServerName::Exact(domain[1..].to_owned()), server);
                return self.add(&ServerName::Suffix(domain.clone()), server) && name;
            }
            ServerName::Suffix(suffix) => {
                if self.suffixes.iter().any(|(own, _)| own == suffix) {
                    return false;
                }
                self.suffixes.push((suffix.clone(), server));
                self.suffixes
                    .sort_by_key(|(own, _)| std::cmp::Reverse(own.len()));
            }
            ServerName::Prefix(prefix) => {
                if self.prefixes.iter().any(|(own, _)| own == prefix) {
                    return false;
                }
                self.prefixes.push((prefix.clone(), server));
                self.prefixes
                    .sort_by_key(|(own, _)| std::cmp::Reverse(own.len()));
            }
            ServerName::Pattern(pattern, _) => self.patterns.push((pattern.clone(), server)),
        }
        true
    }

    /// The server for `host`, which is in lower case and without a port:
    /// exact name, longest `*.suffix`, longest `prefix.*`, first pattern.
    pub(crate) fn find<E>(
        &self,
        host: &str,
        matches: impl Fn(&Matcher) -> Result<bool, E>,
    ) -> Result<Option<ServerId>, E> {
        if let Some(server) = self.exact.get(host) {
            return Ok(Some(*server));
        }
        let suffix = self
            .suffixes
            .iter()
            .find(|(suffix, _)| host.len() > suffix.len() && host.ends_with(suffix.as_str()));
        let prefix = || {
            self.prefixes
                .iter()
                .find(|(prefix, _)| host.starts_with(prefix.as_str()))
        };
        if let Some((_, server)) = suffix.or_else(prefix) {
            return Ok(Some(*server));
        }
        for (matcher, server) in &self.patterns {
            if matches(matcher)? {
                return Ok(Some(*server));
            }
        }
        Ok(None)
    }

    /// The server for a host whose groups nobody asks for (SNI).
    pub(crate) fn find_quietly(&self, host: &str) -> Option<ServerId> {
        let matches = |matcher: &Matcher| matcher.pattern().is_match(host.as_bytes());
        self.find(host, matches).unwrap_or(None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::conf::Position;

    fn name(text: &str) -> Option<ServerName> {
        let at = Position {
            file: Path::new("t").into(),
            line: 1,
            column: 1,
        };
        ServerName::parse(
            &Word {
                text: text.into(),
                quoted: false,
                at,
            },
            "pod",
            &mut Registry::default(),
        )
        .ok()
    }

    #[test]
    fn the_most_exact_name_wins() {
        let mut names = Names::default();
        for (index, text) in ["~^a", "a.*", "*.b.c", "*.c", "a.b.c", ".d"]
            .iter()
            .enumerate()
        {
            assert!(names.add(&name(text).expect("valid"), ServerId(index)));
        }
        for (host, server) in [
            ("a.b.c", 4),
            ("x.b.c", 2),
            ("x.c", 3),
            ("a.x", 1),
            ("ab", 0),
            ("d", 5),
            ("e.d", 5),
        ] {
            assert_eq!(names.find_quietly(host), Some(ServerId(server)), "{host}");
        }
        assert_eq!(
            (names.find_quietly("z"), names.find_quietly("b.c")),
            (None, Some(ServerId(3)))
        );
    }

    #[test]
    fn a_name_is_given_away_once() {
        let mut names = Names::default();
        let own = name("a").expect("valid");
        assert!(names.add(&own, ServerId(0)));
        assert!(!names.add(&own, ServerId(1)));
    }

    #[test]
    fn misplaced_stars_are_refused() {
        for text in ["a.*.b", "*", "*a", "a*", "*.a.*", "a/b"] {
            assert!(name(text).is_none(), "{text}");
        }
    }
}

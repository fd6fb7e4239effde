//! `server_name`: choosing a server by the name a client asks for.

use super::ServerId;
use super::host_key::HostKey;
use super::host_table::HostTable;
use crate::conf::{Problem, Word};
use crate::variables::matcher::Matcher;
use crate::variables::registry::Registry;

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
    /// A wildcard that no name can match; rejected if servers share an address.
    Nobody(String),
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
        if let Some(pattern) = word.text.strip_prefix('~') {
            if pattern.is_empty() {
                let message = "empty regex in server name \"~\"";
                return Err(Problem::emerg(&word.at, message));
            }
            let matcher = Matcher::compile(pattern, true, word, variables)?;
            return Ok(Self::Pattern(matcher, word.text.clone()));
        }
        if text == "$hostname" {
            return Ok(Self::Exact(hostname.to_ascii_lowercase()));
        }
        let star = text.starts_with('*') && (text.len() < 3 || !text.starts_with("*."));
        if star || text == "." {
            let message = format!("server name \"{}\" is invalid", word.text);
            return Err(Problem::emerg(&word.at, message)
                .with_help("`*` may stand for the first or the last label only"));
        }
        Ok(match HostKey::parse(&text) {
            Some(HostKey::Exact(name)) => Self::Exact(name.to_owned()),
            Some(HostKey::Suffix(suffix)) => Self::Suffix(suffix.to_owned()),
            Some(HostKey::Domain(domain)) => Self::Domain(domain.to_owned()),
            Some(HostKey::Prefix(prefix)) => Self::Prefix(prefix.to_owned()),
            None => Self::Nobody(text),
        })
    }

    /// Whether nginx warns of it.
    pub(crate) fn is_suspicious(word: &Word) -> bool {
        word.text.contains('/')
    }

    /// As the configuration wrote it, but without a leading dot
    /// (`$server_name`).
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Exact(name) | Self::Nobody(name) => name.clone(),
            Self::Domain(domain) => domain[1..].to_owned(),
            Self::Suffix(suffix) => format!("*{suffix}"),
            Self::Prefix(prefix) => format!("{prefix}*"),
            Self::Pattern(_, text) => text.clone(),
        }
    }
}

/// The servers of one address, by name.
#[derive(Debug, Default)]
pub(crate) struct ServerNames {
    hosts: HostTable<ServerId>,
    patterns: Vec<(Matcher, ServerId)>,
}

impl ServerNames {
    /// The server of each name.
    pub(crate) fn servers(&self) -> impl Iterator<Item = ServerId> {
        let patterns = self.patterns.iter().map(|(_, server)| *server);
        self.hosts.values().copied().chain(patterns)
    }

    /// Adds a name; `false` where another server has it already.
    pub(crate) fn add(&mut self, name: &ServerName, server: ServerId) -> bool {
        let key = match name {
            ServerName::Exact(name) => HostKey::Exact(name),
            ServerName::Domain(domain) => HostKey::Domain(domain),
            ServerName::Suffix(suffix) => HostKey::Suffix(suffix),
            ServerName::Prefix(prefix) => HostKey::Prefix(prefix),
            ServerName::Nobody(_) => return true,
            ServerName::Pattern(pattern, _) => {
                self.patterns.push((pattern.clone(), server));
                return true;
            }
        };
        self.hosts.add(key, server)
    }

    /// The server for `host`, which is in lower case and without a port:
    /// exact name, longest `*.suffix`, longest `prefix.*`, first pattern.
    pub(crate) fn find<E>(
        &self,
        host: &str,
        matches: impl Fn(&Matcher) -> Result<bool, E>,
    ) -> Result<Option<ServerId>, E> {
        if let Some(server) = self.hosts.get(host.as_bytes()) {
            return Ok(Some(*server));
        }
        for (matcher, server) in &self.patterns {
            if matches(matcher)? {
                return Ok(Some(*server));
            }
        }
        Ok(None)
    }

    /// The server for a host, without keeping a pattern's groups (SNI).
    pub(crate) fn find_without_captures(&self, host: &str) -> Option<ServerId> {
        let matches = |matcher: &Matcher| matcher.pattern().is_match(host.as_bytes());
        self.find(host, matches).unwrap_or(None)
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn name(text: &str) -> Option<ServerName> {
        let at = crate::conf::Position::in_a_test();
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
        let mut names = ServerNames::default();
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
            assert_eq!(
                names.find_without_captures(host),
                Some(ServerId(server)),
                "{host}"
            );
        }
        assert_eq!(
            (
                names.find_without_captures("z"),
                names.find_without_captures("b.c")
            ),
            (None, Some(ServerId(3)))
        );
    }

    #[test]
    fn a_name_is_given_away_once() {
        let mut names = ServerNames::default();
        let own = name("a").expect("valid");
        assert!(names.add(&own, ServerId(0)));
        assert!(!names.add(&own, ServerId(1)));
    }

    #[test]
    fn misplaced_stars_are_refused() {
        for text in ["*", "*a", ".", "~"] {
            assert!(name(text).is_none(), "{text}");
        }
    }
}

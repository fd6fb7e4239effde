//! A table of hosts (nginx's `ngx_hash_combined_t`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::host_key::HostKey;

/// Values by names, some of which have a wildcard.
#[derive(Clone, Debug)]
pub(crate) struct HostTable<V> {
    exact: HashMap<Box<[u8]>, V>,
    /// By `.example.com` of `*.example.com`.
    suffixes: Wildcards<V>,
    /// By `example.` of `example.*`.
    prefixes: Wildcards<V>,
}

#[derive(Clone, Debug)]
struct Wildcards<V> {
    values: HashMap<Box<[u8]>, V>,
    /// Size of the longest key, bytes: more of a host is not compared.
    longest: usize,
}

impl<V> Default for HostTable<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            suffixes: Wildcards::default(),
            prefixes: Wildcards::default(),
        }
    }
}

impl<V> Default for Wildcards<V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            longest: 0,
        }
    }
}

impl<V: Clone> HostTable<V> {
    /// Adds the value of a name; `false`, and nothing is added, if the name or a part of it has one
    /// already.
    pub(crate) fn add(&mut self, key: HostKey<'_>, value: V) -> bool {
        match key {
            HostKey::Exact(name) => insert(&mut self.exact, name, value),
            HostKey::Suffix(suffix) => self.suffixes.add(suffix, value),
            HostKey::Prefix(prefix) => self.prefixes.add(prefix, value),
            HostKey::Domain(domain) => {
                let name = &domain[1..];
                !self.exact.contains_key(name.as_bytes())
                    && self.suffixes.add(domain, value.clone())
                    && insert(&mut self.exact, name, value)
            }
        }
    }
}

impl<V> HostTable<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        let wild = [&self.suffixes, &self.prefixes];
        let wild = wild.into_iter().flat_map(|own| own.values.values());
        self.exact.values().chain(wild)
    }

    /// The value for `host`, which is in lower case: that of the exact name, the longest
    /// `*.suffix` or the longest `prefix.*`.
    pub(crate) fn get(&self, host: &[u8]) -> Option<&V> {
        if let Some(value) = self.exact.get(host) {
            return Some(value);
        }
        let end = &host[host.len().saturating_sub(self.suffixes.longest)..];
        let ends = memchr::memchr_iter(b'.', end).map(|dot| &end[dot..]);
        let start = &host[..host.len().min(self.prefixes.longest)];
        let starts = memchr::memrchr_iter(b'.', start).map(|dot| &start[..=dot]);
        let suffix = self.suffixes.first_of(ends);
        suffix.or_else(|| self.prefixes.first_of(starts))
    }
}

impl<V> Wildcards<V> {
    fn add(&mut self, key: &str, value: V) -> bool {
        self.longest = self.longest.max(key.len());
        insert(&mut self.values, key, value)
    }

    fn first_of<'a>(&self, mut keys: impl Iterator<Item = &'a [u8]>) -> Option<&V> {
        // Most servers have no wildcards.
        if self.longest == 0 {
            return None;
        }
        keys.find_map(|key| self.values.get(key))
    }
}

fn insert<V>(values: &mut HashMap<Box<[u8]>, V>, key: &str, value: V) -> bool {
    match values.entry(key.as_bytes().into()) {
        Entry::Occupied(_) => false,
        Entry::Vacant(entry) => {
            entry.insert(value);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&'static str]) -> HostTable<&'static str> {
        let mut table = HostTable::default();
        for name in names {
            let key = HostKey::parse(name).expect("valid");
            assert!(table.add(key, *name), "{name}");
        }
        table
    }

    #[test]
    fn the_longest_wildcard_of_whole_labels_wins() {
        let table = table(&["a.b", "*.b", "*.x.b", "www.*", "www.x.*", ".d"]);
        for (host, found) in [
            ("a.b", Some("a.b")),
            ("b", None),
            (".b", Some("*.b")),
            ("c.b", Some("*.b")),
            ("xx.b", Some("*.b")),
            ("x.b", Some("*.b")),
            ("c.x.b", Some("*.x.b")),
            ("www.x.b", Some("*.x.b")),
            ("www.c", Some("www.*")),
            ("www.x.c", Some("www.x.*")),
            ("www.", Some("www.*")),
            ("www", None),
            ("ww.c", None),
            ("d", Some(".d")),
            ("c.c.d", Some(".d")),
            ("cd", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(table.get(host.as_bytes()).copied(), found, "{host}");
        }
    }

    #[test]
    fn a_name_has_one_value() {
        let mut table = table(&["a", "*.b", "c.*"]);
        for name in ["a", ".a", "*.b", ".b", "c.*"] {
            let key = HostKey::parse(name).expect("valid");
            assert!(!table.add(key, "another"), "{name}");
        }
        assert_eq!(table.get(b"a"), Some(&"a"));
        assert_eq!(table.get(b"x.b"), Some(&"*.b"));
        assert_eq!(table.get(b"x.a"), None);
        assert_eq!(table.get(b"b"), None);
    }
}

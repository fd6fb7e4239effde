//! A name that may have a wildcard, as nginx's hash tables of names read it
//! (`server_name`, `map` with `hostnames`).

/// What a name matches; the texts are in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostKey<'a> {
    Exact(&'a str),
    /// `*.example.com`, with its dot.
    Suffix(&'a str),
    /// `.example.com`, with its dot: the name and all below it.
    Domain(&'a str),
    /// `www.*`, with its dot.
    Prefix(&'a str),
}

impl<'a> HostKey<'a> {
    /// Parses a name; `None` if nginx rejects it.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let stars = text.matches('*').count();
        if stars > 1 || text.contains("..") || text.contains('\0') {
            return None;
        }
        if text.len() > 1 && text.starts_with('.') {
            return Some(Self::Domain(text));
        }
        if text.len() > 2 && text.starts_with("*.") {
            return Some(Self::Suffix(&text[1..]));
        }
        if text.len() > 2 && text.ends_with(".*") {
            return Some(Self::Prefix(&text[..text.len() - 1]));
        }
        (stars == 0).then_some(Self::Exact(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_whole_labels_at_an_end() {
        for (text, key) in [
            ("", Some(HostKey::Exact(""))),
            ("a.b", Some(HostKey::Exact("a.b"))),
            ("*.a", Some(HostKey::Suffix(".a"))),
            (".a", Some(HostKey::Domain(".a"))),
            (".*", Some(HostKey::Domain(".*"))),
            ("a.*", Some(HostKey::Prefix("a."))),
            ("*", None),
            ("a*", None),
            ("*a", None),
            ("a.*.b", None),
            ("*.a.*", None),
            ("a..b", None),
        ] {
            assert_eq!(HostKey::parse(text), key, "{text}");
        }
    }
}

//! Typing errors: the known word that is nearest to an unknown one.

/// A help line that names the nearest known word, if one is near enough.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean \"{near}\"?"))
}

/// The known word with the smallest edit distance, the first of several: insertion, deletion,
/// substitution, transposition. One error in three characters is near enough, as in rustc; so are
/// the same parts in another order (`set_proxy_header`).
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are not compared.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let most = word.len().max(3) / 3;
    let parts = sorted(&word);
    let distance = |own: &str| {
        // Known parameters end in `=`.
        let own = own.trim_end_matches('=');
        match sorted(own) == parts {
            true => 0,
            false => errors(word.as_bytes(), own.as_bytes()),
        }
    };
    let near = known.into_iter().filter(|own| !own.is_empty());
    near.map(|own| (distance(own), own))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, own)| own)
}

/// The optimal string alignment distance of two words, row by row.
fn errors(from: &[u8], to: &[u8]) -> usize {
    let mut before = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let other = last[j] + usize::from(a != b);
            let mut least = other.min(last[j + 1] + 1).min(row[j] + 1);
            let changed_places = i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b;
            if changed_places {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

fn sorted(word: &str) -> Vec<&str> {
    let mut parts: Vec<_> = word.split('_').collect();
    parts.sort_unstable();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = [
        "proxy_bind",
        "proxy_pass",
        "proxy_set_header",
        "root",
        "ssl",
        "http2",
    ];

    #[test]
    fn typing_errors_are_counted() {
        for (from, to, count) in [
            ("", "", 0),
            ("ab", "", 2),
            ("ab", "ba", 1),
            ("root", "rot", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!(errors(from.as_bytes(), to.as_bytes()), count, "{from} {to}");
            assert_eq!(errors(to.as_bytes(), from.as_bytes()), count, "{to} {from}");
        }
    }

    #[test]
    fn typing_errors_lead_to_the_nearest_word() {
        for (word, near) in [
            ("proxy_passs", Some("proxy_pass")),
            ("porxy_pass", Some("proxy_pass")),
            ("Proxy_Pass", Some("proxy_pass")),
            ("set_proxy_header", Some("proxy_set_header")),
            ("rot", Some("root")),
            ("sll", Some("ssl")),
            ("http3", Some("http2")),
            ("gzip", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, KNOWN), near, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(1 << 20), KNOWN), None);
    }
}

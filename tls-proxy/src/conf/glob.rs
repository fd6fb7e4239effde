//! Names of files that match a pattern, as glob(3) finds them for nginx:
//! `*`, `?`, `[…]`, `\` escapes, no hidden files, sorted by bytes.
//!
//! Not the `glob` crate: there `**` descends, `\` does not escape, `[^a]` is not a negation, an
//! unclosed `[` is an error, and results are sorted folder by folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Whether nginx would look the name up as a pattern at all.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The paths that match the absolute `pattern`, sorted. Folders that cannot
/// be read match nothing, as in glob(3).
pub(super) fn find(pattern: &str, searched: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in found {
            if is_pattern(part) {
                next.extend(matching(&folder, part.as_bytes()));
                searched.push(folder);
            } else {
                let path = folder.join(OsStr::from_bytes(&literal(part.as_bytes())));
                // A dangling link matches, and is reported when it is opened.
                next.extend(path.symlink_metadata().is_ok().then_some(path));
            }
        }
        found = next;
    }
    found.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    found
}

/// Whether an absolute path, existing or not, matches the absolute `pattern`.
pub(super) fn matches_path(pattern: &str, path: &Path) -> bool {
    let mut names = path.iter().skip(1);
    let mut parts = pattern.split('/').filter(|part| !part.is_empty());
    loop {
        let (part, name) = match (parts.next(), names.next()) {
            (Some(part), Some(name)) => (part.as_bytes(), name.as_bytes()),
            (part, name) => return part.is_none() && name.is_none(),
        };
        let hidden = name.first() == Some(&b'.') && part.first() != Some(&b'.');
        if hidden || !matches(part, name) {
            return false;
        }
    }
}

fn matching(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name().into_vec());
    names
        .filter(|name| name.first() != Some(&b'.') || pattern.first() == Some(&b'.'))
        .filter(|name| matches(pattern, name))
        .map(|name| folder.join(OsStr::from_bytes(&name)))
        .collect()
}

/// A part without wildcards, less its backslashes.
fn literal(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = part.iter();
    while let Some(&byte) = bytes.next() {
        let byte = if byte == b'\\' {
            bytes.next().copied().unwrap_or(byte)
        } else {
            byte
        };
        out.push(byte);
    }
    out
}

/// Matches one name. Backtracks to the last `*` only, so the work is bounded by the product of the
/// two lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (pattern, name);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', rest)) = p.split_first() {
            retry = Some((rest, n));
            p = rest;
            continue;
        }
        let step = match n.split_first() {
            None if p.is_empty() => return true,
            None => return false,
            Some((&byte, rest)) => one(p, byte).map(|after| (after, rest)),
        };
        (p, n) = match (step, retry) {
            (Some(step), _) => step,
            (None, Some((after, [_, shorter @ ..]))) => {
                retry = Some((after, shorter));
                (after, shorter)
            }
            (None, _) => return false,
        };
    }
}

/// Matches one byte; gives the pattern behind what matched it.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => match set(rest, byte) {
            Some((true, after)) => Some(after),
            Some((false, _)) => None,
            // Never closed: an ordinary bracket.
            None => (byte == b'[').then_some(rest),
        },
        [b'\\', escaped, rest @ ..] => (*escaped == byte).then_some(rest),
        [first, rest @ ..] => (*first == byte).then_some(rest),
        [] => None,
    }
}

/// `[a-z]`, `[!a]`, `[^a]`; a `]` directly behind the bracket is a member.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut hit = false;
    let mut first = true;
    loop {
        rest = match rest {
            [] => return None,
            [b']', after @ ..] if !first => return Some((hit != negated, after)),
            [low, b'-', high, after @ ..] if *high != b']' => {
                hit |= (*low..=*high).contains(&byte);
                after
            }
            [b'\\', member, after @ ..] | [member, after @ ..] => {
                hit |= *member == byte;
                after
            }
        };
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_glob_3() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?.conf", "ab.conf", false),
            ("[a-c]1", "b1", true),
            ("[!a-c]1", "b1", false),
            ("[^a-c]1", "d1", true),
            ("[]x]", "]", true),
            ("[x", "[x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("**", "anything", true),
            ("", "", true),
            ("*", "", true),
        ] {
            let matched = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(matched, expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_path_matches_part_by_part() {
        let path = Path::new("/etc/nginx/conf.d/sub/a.conf");
        for (pattern, expected) in [
            ("/etc/nginx/conf.d/*/*.conf", true),
            ("/etc//nginx/conf.d/sub/a.conf", true),
            ("/etc/nginx/conf.d/*.conf", false),
            ("/etc/nginx/conf.d/sub/*.conf/b", false),
            ("/etc/nginx/*", false),
        ] {
            assert_eq!(matches_path(pattern, path), expected, "{pattern}");
        }
        assert!(!matches_path("/a/*", Path::new("/a/.hidden")));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5_000).as_bytes()));
    }
}

//! Templates, which nginx's image expands to files before it starts nginx. Here no file is written,
//! so the root may be read-only: an `include` of the file finds the expanded text, even if the file
//! exists. `entry_point` says which templates, and with which variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Problem, glob, standard};

/// Deepest nesting of folders that is searched; links may form cycles.
const DEEPEST: u32 = 8;

/// Where templates are, and their variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The folder that is searched, recursively.
    pub folder: PathBuf,
    /// The suffix of templates; the rest is the file's name.
    pub suffix: OsString,
    /// The folder of the files that the templates stand for.
    pub output: PathBuf,
    /// The suffix of templates for nginx's stream module.
    pub stream_suffix: OsString,
    /// The values of `$NAME` and `${NAME}`. All other variables are left as they are: they are
    /// nginx's.
    pub variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The image's own server listens on IPv6, too.
    pub listens_on_ipv6: bool,
}

/// The templates that were found.
#[derive(Debug, Default)]
pub struct Templates {
    settings: Settings,
    /// By the file that each expands to.
    found: BTreeMap<PathBuf, PathBuf>,
    /// Folders that were searched.
    pub(super) folders: Vec<PathBuf>,
    pub(super) problems: Vec<Problem>,
}

impl Templates {
    /// Looks for templates. A missing folder has none.
    #[must_use]
    pub fn find(settings: &Settings) -> Self {
        let mut templates = Self {
            settings: settings.clone(),
            ..Self::default()
        };
        templates.search(Path::new(""), 0);
        templates
    }

    /// Whether a template expands to the file.
    #[must_use]
    pub fn stand_for(&self, file: &Path) -> bool {
        self.found.contains_key(file)
    }

    pub(super) fn template(&self, file: &Path) -> Option<&Path> {
        self.found.get(file).map(PathBuf::as_path)
    }

    /// The files that templates expand to and that match a pattern of `include`.
    pub(super) fn matching(&self, pattern: &str) -> impl Iterator<Item = PathBuf> {
        let files = self.found.keys();
        files
            .filter(move |file| glob::matches_path(pattern, file))
            .cloned()
    }

    pub(super) fn expand(&self, text: &[u8]) -> Vec<u8> {
        let variables = &self.settings.variables;
        expand(text, |name| variables.get(name).map(Vec::as_slice))
    }

    /// The text of a file that is no template, as the image's scripts leave it.
    pub(super) fn amend(&self, file: &Path, text: Vec<u8>) -> Vec<u8> {
        let ipv6 = self.settings.listens_on_ipv6;
        let own = ipv6.then(|| standard::server_on_ipv6(file, &text));
        own.flatten().map_or(text, String::into_bytes)
    }

    /// Searches the folder at `inside`, a path below that of the settings.
    fn search(&mut self, inside: &Path, depth: u32) {
        let folder = self.settings.folder.join(inside);
        let Ok(entries) = fs::read_dir(&folder) else {
            return;
        };
        self.folders.push(folder.clone());
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let path = folder.join(&name);
            // Kubernetes keeps a volume's files in hidden folders.
            if path.is_dir() && !name.as_bytes().starts_with(b"..") && depth < DEEPEST {
                self.search(&inside.join(&name), depth + 1);
            }
            if !path.is_file() {
                continue;
            }
            let bytes = name.as_bytes();
            if bytes.ends_with(self.settings.stream_suffix.as_bytes()) {
                let message = format!(
                    "\"{}\" is a template for nginx's stream module",
                    path.display()
                );
                let help = "plain TCP proxying is not this program's job: remove the template, \
                            or keep nginx for it";
                let problem = Problem::emerg_nowhere(message).with_help(help);
                self.problems.push(problem);
            } else if let Some(stem) = bytes.strip_suffix(self.settings.suffix.as_bytes()) {
                let stem = Path::new(std::ffi::OsStr::from_bytes(stem));
                let file = self.settings.output.join(inside).join(stem);
                self.found.insert(file, path);
            }
        }
    }
}

/// Replaces `$NAME` and `${NAME}` if there is a value, by the rules of GNU's `envsubst`.
pub fn expand<'a>(text: &[u8], mut value: impl FnMut(&[u8]) -> Option<&'a [u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        let (before, reference) = rest.split_at(dollar);
        out.extend_from_slice(before);
        let found = named(&reference[1..]).and_then(|(name, after)| Some((value(name)?, after)));
        rest = match found {
            Some((value, after)) => {
                out.extend_from_slice(value);
                after
            }
            None => {
                out.push(b'$');
                &reference[1..]
            }
        };
    }
    out.extend_from_slice(rest);
    out
}

/// The name behind a `$`, in braces or not, and what follows.
fn named(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"{");
    let start = inner.unwrap_or(text);
    let end = start
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    let (name, after) = start.split_at(end.unwrap_or(start.len()));
    if !is_name(name) {
        return None;
    }
    match inner {
        Some(_) => Some((name, after.strip_prefix(b"}")?)),
        None => Some((name, after)),
    }
}

/// Whether this is a valid variable name in a template.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    let all = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_defined_is_left_as_it_is() {
        let variables = [("A", "1"), ("EMPTY", ""), ("A_B", "2"), ("LINES", "x\ny")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let variables: BTreeMap<Vec<u8>, Vec<u8>> = variables.into();
        for (text, expected) in [
            ("$A ${A} $A_B $A-B", "1 1 2 1-B"),
            ("$AB ${AB} $host", "$AB ${AB} $host"),
            ("[$EMPTY${EMPTY}]", "[]"),
            ("$$A $ ${ ${} ${A $1 $", "$1 $ ${ ${} ${A $1 $"),
            ("${A}${A}$A$A", "1111"),
            ("${A:-b} ${A }", "${A:-b} ${A }"),
            ("$LINES", "x\ny"),
            ("a\0\u{fc}$A", "a\0\u{fc}1"),
        ] {
            let value = |name: &[u8]| variables.get(name).map(Vec::as_slice);
            let expanded = expand(text.as_bytes(), value);
            assert_eq!(String::from_utf8_lossy(&expanded), expected, "{text}");
        }
    }
}

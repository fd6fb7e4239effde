//! `envsubst`, which nginx's image has for commands such as
//! `sh -c "envsubst '$PORT' <a.template >a.conf && exec nginx"`: the program under this name.
//! As GNU's does, it replaces variables of its input by those of the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::ExitCode;

use crate::conf::templates::expand;

const USAGE: &str = "usage: envsubst [SHELL-FORMAT]\n";

/// Runs it if `arguments` begin with its name; else `None`.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let program = arguments.next()?;
    if Path::new(&program).file_name()? != "envsubst" {
        return None;
    }
    let format = arguments.next().map(OsString::into_vec);
    let is_option = format.as_ref().is_some_and(|word| word.starts_with(b"-"));
    if is_option || arguments.next().is_some() {
        let _ = io::stderr().write_all(USAGE.as_bytes());
        return Some(ExitCode::FAILURE);
    }
    let environment = std::env::vars_os();
    let environment = environment.map(|(name, value)| (name.into_vec(), value.into_vec()));
    let mut text = Vec::new();
    let done = io::stdin().read_to_end(&mut text).and_then(|_| {
        let text = substitute(&text, format.as_deref(), &environment.collect());
        io::stdout().write_all(&text)
    });
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "envsubst: {error}");
            ExitCode::FAILURE
        }
    })
}

/// With a format only the variables it names are replaced, without one all are. A variable that is
/// not in the environment is empty.
fn substitute(
    text: &[u8],
    format: Option<&[u8]>,
    environment: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Vec<u8> {
    let chosen = format.map(|format| {
        let mut names = BTreeSet::new();
        expand(format, |name| {
            names.insert(name.to_owned());
            None
        });
        names
    });
    expand(text, |name| {
        let is_chosen = chosen.as_ref().is_none_or(|names| names.contains(name));
        is_chosen.then(|| environment.get(name).map(Vec::as_slice).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_as_gnu_s_does() {
        let environment = [("A", "1"), ("B", "2")];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let environment = BTreeMap::from(environment);
        for (format, expected) in [
            (None, "1 2 []"),
            (Some("$A"), "1 ${B} [$C]"),
            (Some("${B},$C and words"), "$A 2 []"),
            (Some(""), "$A ${B} [$C]"),
        ] {
            let text = substitute(b"$A ${B} [$C]", format.map(str::as_bytes), &environment);
            assert_eq!(String::from_utf8_lossy(&text), expected, "{format:?}");
        }
    }
}

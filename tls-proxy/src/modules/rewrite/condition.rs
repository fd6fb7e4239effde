//! The condition of an `if`.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use super::note;
use crate::conf::{Directive, Problem, Word};
use crate::log::level::shown;
use crate::request::Request;
use crate::request::response::Refusal;
use crate::variables::matcher::Matcher;
use crate::variables::registry::Registry;
use crate::variables::template::Template;

/// What is tested.
#[derive(Debug)]
pub(crate) enum Test {
    Truthy(Template),
    Equal {
        left: Template,
        right: Template,
        negated: bool,
    },
    Match {
        value: Template,
        matcher: Matcher,
        negated: bool,
    },
    File {
        name: Template,
        kind: FileTest,
        negated: bool,
    },
}

/// A file test of an `if`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FileTest {
    File,
    Folder,
    Exists,
    Executable,
}

impl FileTest {
    fn parse(text: &str) -> Option<(Self, bool)> {
        let (text, negated) = text
            .strip_prefix('!')
            .map_or((text, false), |it| (it, true));
        let kind = match text {
            "-f" => Self::File,
            "-d" => Self::Folder,
            "-e" => Self::Exists,
            "-x" => Self::Executable,
            _ => return None,
        };
        Some((kind, negated))
    }

    fn holds(self, name: &[u8]) -> bool {
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name));
        std::fs::metadata(path).is_ok_and(|meta| match self {
            Self::File => meta.is_file(),
            Self::Folder => meta.is_dir(),
            Self::Exists => true,
            Self::Executable => meta.permissions().mode() & 0o111 != 0,
        })
    }
}

impl Test {
    /// Parses what stands between the parentheses of an `if`.
    pub(super) fn parse(directive: &Directive, variables: &mut Registry) -> Result<Self, Problem> {
        let words = unwrap_parentheses(directive)?;
        let at = &directive.name.at;
        let Some(first) = words.first() else {
            return Err(Problem::emerg(at, "invalid condition \"()\""));
        };
        if let Some((kind, negated)) = FileTest::parse(&first.text) {
            let [_, name] = &words[..] else {
                let message = format!("invalid condition \"{}\"", first.text);
                return Err(Problem::emerg(&first.at, message));
            };
            let name = Template::compile(name, variables)?;
            return Ok(Test::File {
                name,
                kind,
                negated,
            });
        }
        if !first.text.starts_with('$') || first.text == "$" {
            return Err(
                Problem::emerg(&first.at, format!("invalid condition \"{}\"", first.text))
                    .with_help("a condition begins with a variable, or with -f, -d, -e or -x"),
            );
        }
        // nginx takes the whole word after `$` as a name.
        let left = Template::variable(variables.named(&first.text[1..], &first.at));
        match &words[1..] {
            [] => Ok(Test::Truthy(left)),
            [operator, right] => match operator.text.as_str() {
                "=" | "!=" => Ok(Test::Equal {
                    left,
                    right: Template::compile(right, variables)?,
                    negated: operator.text == "!=",
                }),
                "~" | "~*" | "!~" | "!~*" => Ok(Test::Match {
                    value: left,
                    matcher: Matcher::compile(
                        &right.text,
                        operator.text.ends_with('*'),
                        right,
                        variables,
                    )?,
                    negated: operator.text.starts_with('!'),
                }),
                other => Err(Problem::emerg(
                    &operator.at,
                    format!("unexpected \"{other}\" in condition"),
                )),
            },
            [other, ..] => Err(Problem::emerg(
                &other.at,
                format!("invalid condition \"{}\"", other.text),
            )),
        }
    }

    /// Whether it is true for this request now.
    pub(super) fn holds(&self, request: &Request) -> Result<bool, Refusal> {
        Ok(match self {
            Self::Truthy(value) => !matches!(&value.evaluate(request)[..], b"" | b"0"),
            Self::Equal {
                left,
                right,
                negated,
            } => (left.evaluate(request) == right.evaluate(request)) != *negated,
            Self::File {
                name,
                kind,
                negated,
            } => kind.holds(&name.evaluate(request)) != *negated,
            Self::Match {
                value,
                matcher,
                negated,
            } => try_pattern(request, matcher, &value.evaluate(request))? != *negated,
        })
    }
}

/// Whether a pattern matches; if it does not, the groups are cleared.
pub(super) fn try_pattern(
    request: &Request,
    matcher: &Matcher,
    subject: &[u8],
) -> Result<bool, Refusal> {
    let found = matcher.matches(request, subject)?;
    if !found {
        request.captured.clear();
    }
    note(request, || {
        let (pattern, subject) = (matcher.pattern().text(), shown(subject));
        let verb = if found { "matches" } else { "does not match" };
        format!("\"{pattern}\" {verb} \"{subject}\"")
    });
    Ok(found)
}

/// The words between `(` and `)`, which may be words of their own or part of one.
fn unwrap_parentheses(directive: &Directive) -> Result<Vec<Word>, Problem> {
    let mut words = directive.args.clone();
    let whole = words
        .iter()
        .map(|word| word.text.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    let invalid = || Problem::emerg(&directive.name.at, format!("invalid condition \"{whole}\""));
    let first = words.first_mut().ok_or_else(invalid)?;
    first.text = first.text.strip_prefix('(').ok_or_else(invalid)?.to_owned();
    let last = words.last_mut().ok_or_else(invalid)?;
    last.text = last.text.strip_suffix(')').ok_or_else(invalid)?.to_owned();
    let drop_empty = |word: &Word| word.quoted || !word.text.is_empty();
    words.retain(drop_empty);
    Ok(words)
}

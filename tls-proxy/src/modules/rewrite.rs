//! nginx's `ngx_http_rewrite_module`: `return`, `rewrite`, `set`, `if`, `break`.
//!
//! The directives of a block become a short program that runs in file order.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use bytes::Bytes;
use regex::bytes::Regex;

use super::map::{compile_regex, variable_name};
use super::{Contexts, Effect, Scope, Spec, arguments, types};
use crate::conf::{Directive, Problem, Word};
use crate::config::LocationId;
use crate::config::build::walk_block;
use crate::http1::target;
use crate::server::request::Request;
use crate::server::response::{Refusal, Response};
use crate::vars::template::Template;

/// The program of one block.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Steps with their place in the file.
    pub(crate) steps: Vec<(usize, Step)>,
}

/// One directive of the program.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Set {
        slot: Slot,
        value: Template,
    },
    Return(Return),
    Rewrite(Arc<Rewrite>),
    If {
        test: Arc<Test>,
        steps: Arc<[(usize, Step)]>,
        location: Option<LocationId>,
    },
    Break,
}

/// What `set` writes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    User(usize),
    Args,
    LimitRate,
}

/// `return CODE [TEXT]`, `return CODE URL`, `return URL`.
#[derive(Clone, Debug)]
pub(crate) struct Return {
    status: u16,
    text: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct Rewrite {
    pattern: Regex,
    replacement: Template,
    /// The replacement ended with `?`: the old arguments are dropped.
    drop_args: bool,
    flag: Flag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    None,
    Last,
    Break,
    Redirect(u16),
}

/// The condition of an `if`.
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
        pattern: Regex,
        negated: bool,
    },
    File {
        name: Template,
        kind: FileTest,
        negated: bool,
    },
}

/// What an `if` asks of a file.
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

/// How a program ended.
pub(crate) enum Flow {
    /// Nothing was decided; an `if` may have chosen another location.
    Continue,
    /// The path was changed: choose the location anew.
    Relocate,
    /// The answer is known.
    Answer(Box<Result<Response, Refusal>>),
}

const PLACES: Contexts = Contexts::SERVER
    .or(Contexts::LOCATION)
    .or(Contexts::IF_SERVER)
    .or(Contexts::IF);

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("return", PLACES, (1, 2), |scope, directive| {
        let step = parse_return(scope, directive)?;
        push(scope, Step::Return(step));
        Ok(())
    })
    .about("Answers with a status, and a text or an address.")
    .repeats(),
    Spec::set("set", PLACES, (2, 2), |scope, directive| {
        let name = variable_name(&directive.args[0])?;
        let value = Template::compile(&directive.args[1], &mut scope.draft.variables)?;
        let slot = scope.draft.variables.assign(name, &directive.args[0].at)?;
        let slot = match name {
            "args" => Slot::Args,
            "limit_rate" => Slot::LimitRate,
            _ => Slot::User(slot),
        };
        push(scope, Step::Set { slot, value });
        Ok(())
    })
    .about("Gives a variable a value.")
    .repeats(),
    Spec::set("rewrite", PLACES, (2, 3), |scope, directive| {
        let rewrite = parse_rewrite(scope, directive)?;
        push(scope, Step::Rewrite(Arc::new(rewrite)));
        Ok(())
    })
    .about("Changes the path where it matches a regular expression.")
    .repeats(),
    Spec::set("break", PLACES, (0, 0), |scope, _| {
        push(scope, Step::Break);
        Ok(())
    })
    .about("Ends the block's `set`, `if` and `rewrite` lines.")
    .repeats(),
    Spec::new(
        "if",
        Contexts::SERVER.or(Contexts::LOCATION),
        (1, usize::MAX),
        Effect::Block(open_if),
    )
    .about("Runs its lines where a condition holds.")
    .repeats(),
    Spec::new(
        "rewrite_log",
        Contexts::ALL.or(Contexts::IF),
        (1, 1),
        Effect::Accepted("rewrites are not logged one by one"),
    ),
    Spec::new(
        "uninitialized_variable_warn",
        Contexts::ALL.or(Contexts::IF),
        (1, 1),
        Effect::Accepted("an unset variable is empty, without a warning"),
    ),
];

fn push(scope: &mut Scope<'_>, step: Step) {
    scope.settings.rewrite.steps.push((scope.order, step));
}

fn parse_return(scope: &mut Scope<'_>, directive: &Directive) -> Result<Return, Problem> {
    let word = arguments::first(directive);
    let text = |word, scope: &mut Scope<'_>| Template::compile(word, &mut scope.draft.variables);
    match (word.text.parse::<u16>(), directive.args.get(1)) {
        (Ok(status), _) if status > 999 => Err(Problem::emerg(
            &word.at,
            format!("invalid return code \"{}\"", word.text),
        )),
        (Ok(status), None) => Ok(Return { status, text: None }),
        (Ok(status), Some(body)) => Ok(Return {
            status,
            text: Some(text(body, scope)?),
        }),
        (Err(_), None) if is_address(&word.text) => Ok(Return {
            status: 302,
            text: Some(text(word, scope)?),
        }),
        (Err(_), _) => Err(Problem::emerg(
            &word.at,
            format!("invalid return code \"{}\"", word.text),
        )),
    }
}

fn is_address(text: &str) -> bool {
    ["http://", "https://", "$scheme"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

fn parse_rewrite(scope: &mut Scope<'_>, directive: &Directive) -> Result<Rewrite, Problem> {
    let pattern = compile_regex(&directive.args[0].text, false, &directive.args[0])?;
    let mut word = directive.args[1].clone();
    let address = is_address(&word.text);
    let drop_args = word.text.ends_with('?');
    if drop_args {
        word.text.pop();
    }
    let replacement = Template::compile(&word, &mut scope.draft.variables)?;
    let flag = match directive.args.get(2).map(|word| word.text.as_str()) {
        None if address => Flag::Redirect(302),
        None => Flag::None,
        Some("last") => Flag::Last,
        Some("break") => Flag::Break,
        Some("redirect") => Flag::Redirect(302),
        Some("permanent") => Flag::Redirect(301),
        Some(_) => return Err(arguments::invalid_parameter(&directive.args[2])),
    };
    Ok(Rewrite {
        pattern,
        replacement,
        drop_args,
        flag,
    })
}

fn open_if(
    scope: &mut Scope<'_>,
    directive: &Directive,
    children: &[Directive],
) -> Result<(), Problem> {
    let test = Arc::new(parse_test(scope, directive)?);
    let mut settings = scope.settings.for_block_inside();
    let in_location = scope.context == Contexts::LOCATION;
    let context = if in_location {
        Contexts::IF
    } else {
        Contexts::IF_SERVER
    };
    walk_block(
        children,
        context,
        &mut settings,
        scope.draft,
        &mut super::Place::default(),
    );
    let steps: Arc<[_]> = std::mem::take(&mut settings.rewrite.steps).into();
    let location = in_location.then(|| scope.draft.add_location(settings, Vec::new()));
    push(
        scope,
        Step::If {
            test,
            steps,
            location,
        },
    );
    Ok(())
}

fn parse_test(scope: &mut Scope<'_>, directive: &Directive) -> Result<Test, Problem> {
    let words = unwrap_parentheses(directive)?;
    let at = &directive.name.at;
    let variables = &mut scope.draft.variables;
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
    if !first.text.starts_with('$') {
        return Err(
            Problem::emerg(&first.at, format!("invalid condition \"{}\"", first.text))
                .with_help("a condition begins with a variable, or with -f, -d, -e or -x"),
        );
    }
    let left = Template::compile(first, variables)?;
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
                pattern: compile_regex(&right.text, operator.text.ends_with('*'), right)?,
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

/// The words between `(` and `)`, which may stand alone or stick to a word.
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

/// Runs a block's program.
pub(crate) fn run(steps: &[(usize, Step)], request: &mut Request) -> Flow {
    let mut changed = false;
    for (_, step) in steps {
        match step {
            Step::Set {
                slot: Slot::User(slot),
                value,
            } => {
                request.slots[*slot] = Some(value.evaluate(request));
            }
            Step::Set {
                slot: Slot::Args,
                value,
            } => {
                request.args = value.evaluate(request);
                request.rewritten = true;
            }
            Step::Set {
                slot: Slot::LimitRate,
                value,
            } => request.limit_rate = Some(value.evaluate(request)),
            Step::Return(step) => return Flow::Answer(step.answer(request).into()),
            Step::Break => break,
            Step::Rewrite(rewrite) => match rewrite.apply(request) {
                None => {}
                Some(Flow::Continue) if rewrite.flag == Flag::Break => return Flow::Continue,
                Some(Flow::Continue) => changed = true,
                Some(flow) => return flow,
            },
            Step::If {
                test,
                steps,
                location,
            } => {
                if !test.holds(request) {
                    continue;
                }
                if let Some(location) = location {
                    request.location = *location;
                }
                match run(steps, request) {
                    Flow::Continue => {}
                    flow => return flow,
                }
                if steps.iter().any(|(_, step)| matches!(step, Step::Break)) {
                    break;
                }
            }
        }
    }
    if changed {
        Flow::Relocate
    } else {
        Flow::Continue
    }
}

impl Return {
    fn answer(&self, request: &Request) -> Result<Response, Refusal> {
        let text = self.text.as_ref().map(|text| text.evaluate(request));
        let tokens = request.settings().core.server_tokens;
        match (self.status, text) {
            (301 | 302 | 303 | 307 | 308, Some(address)) => {
                Ok(Response::redirect(self.status, address, tokens))
            }
            (444, _) => Err(Refusal::silent(444)),
            (204, _) => Ok(Response::empty(204)),
            (304, _) => Ok(Response::text(304, Some(types::of(request)), Bytes::new())),
            (status, None) if status >= 300 => Err(Refusal::new(status)),
            (status, None) => {
                let kind = Some(types::of(request));
                Ok(Response::text(status, kind, Bytes::new()))
            }
            (status, Some(text)) => {
                let kind = types::of(request);
                Ok(Response::text(status, Some(kind), text))
            }
        }
    }
}

impl Rewrite {
    /// `None` where the pattern does not match.
    fn apply(&self, request: &mut Request) -> Option<Flow> {
        let captures = self.pattern.captures(&request.path)?;
        request.captures = captures
            .iter()
            .map(|group| Bytes::copy_from_slice(group.map_or(&b""[..], |group| group.as_bytes())))
            .collect();
        let replaced = self.replacement.evaluate(request);
        if let Flag::Redirect(status) = self.flag {
            let mut address = replaced.to_vec();
            self.append_args(&mut address, request);
            let tokens = request.settings().core.server_tokens;
            let response = Response::redirect(status, address.into(), tokens);
            return Some(Flow::Answer(Ok(response).into()));
        }
        let (path, args) = match memchr::memchr(b'?', &replaced) {
            Some(mark) => (&replaced[..mark], Some(replaced.slice(mark + 1..))),
            None => (&replaced[..], None),
        };
        if path.is_empty() {
            return Some(Flow::Answer(Err(Refusal::new(500)).into()));
        }
        request.path = path.to_vec();
        request.args = match args {
            Some(args) if self.drop_args || request.args.is_empty() => args,
            Some(args) => [&args[..], b"&", &request.args].concat().into(),
            None if self.drop_args => Bytes::new(),
            None => std::mem::take(&mut request.args),
        };
        request.rewritten = true;
        Some(if self.flag == Flag::Last {
            Flow::Relocate
        } else {
            Flow::Continue
        })
    }

    fn append_args(&self, address: &mut Vec<u8>, request: &Request) {
        if !self.drop_args && !request.args.is_empty() {
            address.push(if address.contains(&b'?') { b'&' } else { b'?' });
            address.extend_from_slice(&request.args);
        }
    }
}

impl Test {
    fn holds(&self, request: &mut Request) -> bool {
        match self {
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
                pattern,
                negated,
            } => {
                let value = value.evaluate(request);
                let captures = pattern.captures(&value);
                let matched = captures.is_some();
                if let Some(captures) = captures.filter(|_| !negated) {
                    request.captures = captures
                        .iter()
                        .map(|group| group.map_or(Bytes::new(), |it| value.slice(it.range())))
                        .collect();
                }
                matched != *negated
            }
        }
    }
}

/// The path of an internal redirect, split off its arguments.
pub(crate) fn split_target(address: &[u8]) -> (Vec<u8>, Bytes) {
    let mark = memchr::memchr(b'?', address).unwrap_or(address.len());
    let path = target::normalise(&address[..mark], true)
        .map_or_else(|_| address[..mark].to_vec(), |normal| normal.path);
    (
        path,
        Bytes::copy_from_slice(address.get(mark + 1..).unwrap_or_default()),
    )
}

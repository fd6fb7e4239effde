//! nginx's `ngx_http_rewrite_module`: `return`, `rewrite`, `set`, `if`, `break`.
//!
//! The directives of a block become a short program that runs in file order.

mod condition;
mod rule;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use self::condition::Test;
use self::rule::{Flag, Outcome, RewriteRule};
use super::blocks;
use super::limit_rate;
use super::map::variable_name;
use super::types;
use crate::conf::{Directive, Problem, units};
use crate::config::LocationId;
use crate::config::settings::{Inside, ModuleSettings};
use crate::config::spec::{BlockDraft, Contexts, Effect, Scope, Spec};
use crate::config::walk::walk_block;
use crate::directive::arguments;
use crate::log::level::Level;
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::{Refusal, Response};
use crate::variables::template::Template;

/// The program of one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Instructions with their position in the block; not inherited.
    pub(crate) steps: Vec<(usize, Instruction)>,
    /// `rewrite_log`.
    logs: bool,
}

impl ModuleSettings for Settings {
    fn inside(&self, _: Inside) -> Option<Self> {
        Some(Self {
            steps: Vec::new(),
            ..*self
        })
    }

    fn is_used(&self) -> bool {
        !self.steps.is_empty()
    }
}

/// One directive of the program.
#[derive(Clone, Debug)]
pub(crate) enum Instruction {
    Set {
        slot: SetTarget,
        value: Template,
    },
    Return(Return),
    Rewrite(Arc<RewriteRule>),
    If {
        test: Arc<Test>,
        steps: Arc<[(usize, Instruction)]>,
        location: Option<LocationId>,
    },
    Break,
}

/// The target of `set`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SetTarget {
    User(usize),
    Args,
    LimitRate,
}

impl SetTarget {
    /// The target for the variable `name`, which has `slot`.
    pub(super) fn of(name: &str, slot: usize) -> Self {
        match name {
            "args" => Self::Args,
            "limit_rate" => Self::LimitRate,
            _ => Self::User(slot),
        }
    }
}

/// `return CODE [TEXT]`, `return CODE URL`, `return URL`.
#[derive(Clone, Debug)]
pub(crate) struct Return {
    status: u16,
    text: Option<Template>,
}

/// How a program ended.
pub(crate) enum Flow {
    /// The request continues; an `if` may have chosen another location.
    Continue,
    /// The path was changed: choose the location again.
    Relocate,
    /// The request ends with this response.
    Respond(Result<Box<Response>, Refusal>),
}

const PLACES: Contexts = Contexts::SERVER
    .or(Contexts::LOCATION)
    .or(Contexts::IF_SERVER)
    .or(Contexts::IF);

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("return", PLACES, (1, 2), |scope, directive| {
        let step = parse_return(scope, directive)?;
        push(scope, Instruction::Return(step));
        Ok(())
    })
    .about("Responds with a status, and a text or a redirect.")
    .repeats(),
    Spec::set("set", PLACES, (2, 2), |scope, directive| {
        let name = variable_name(&directive.args[0])?;
        let value = Template::compile(&directive.args[1], &mut scope.draft.variables)?;
        let slot = scope.draft.variables.assign(name, &directive.args[0].at)?;
        let slot = SetTarget::of(name, slot);
        push(scope, Instruction::Set { slot, value });
        Ok(())
    })
    .about("Gives a variable a value.")
    .repeats(),
    Spec::set("rewrite", PLACES, (2, 3), |scope, directive| {
        let rule = RewriteRule::parse(directive, &mut scope.draft.variables)?;
        push(scope, Instruction::Rewrite(Arc::new(rule)));
        Ok(())
    })
    .about("Changes the path where it matches a regular expression.")
    .repeats(),
    Spec::set("break", PLACES, (0, 0), |scope, _| {
        push(scope, Instruction::Break);
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
    Spec::set(
        "rewrite_log",
        Contexts::ALL.or(Contexts::IF_SERVER).or(Contexts::IF),
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<Settings>().logs = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("off")
    .about("Each pattern that was tried is logged, with severity `notice`."),
    Spec::set(
        "uninitialized_variable_warn",
        Contexts::ALL.or(Contexts::IF_SERVER).or(Contexts::IF),
        (1, 1),
        |scope, directive| {
            scope.settings.core.warns_of_unset = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("on")
    .about("A variable that is used before it was `set` is logged."),
];

fn push(scope: &mut Scope<'_>, step: Instruction) {
    // `if` blocks are read after the other lines.
    let steps = &mut scope.settings.of_mut::<Settings>().steps;
    let at = steps.partition_point(|(order, _)| *order <= scope.order);
    steps.insert(at, (scope.order, step));
}

fn parse_return(scope: &mut Scope<'_>, directive: &Directive) -> Result<Return, Problem> {
    let word = arguments::first(directive);
    let text = |word, scope: &mut Scope<'_>| Template::compile(word, &mut scope.draft.variables);
    let status = units::parse_integer(&word.text).filter(|status| *status <= 999);
    match (status, directive.args.get(1)) {
        (Some(status), None) => Ok(Return { status, text: None }),
        // An empty text does not replace an error page.
        (Some(status), Some(body)) if body.text.is_empty() && status >= 400 => {
            Ok(Return { status, text: None })
        }
        (Some(status), Some(body)) => Ok(Return {
            status,
            text: Some(text(body, scope)?),
        }),
        (None, None) if is_address(&word.text) => Ok(Return {
            status: 302,
            text: Some(text(word, scope)?),
        }),
        _ => Err(Problem::emerg(
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

fn open_if(
    scope: &mut Scope<'_>,
    directive: &Directive,
    children: &[Directive],
) -> Result<(), Problem> {
    let test = Arc::new(Test::parse(directive, &mut scope.draft.variables)?);
    let mut settings = scope.settings.inside(Inside::Other);
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
        &mut BlockDraft::default(),
    );
    let steps: Arc<[_]> = std::mem::take(&mut settings.of_mut::<Settings>().steps).into();
    let location = in_location.then(|| blocks::add_location(scope.draft, settings, Vec::new()));
    push(
        scope,
        Instruction::If {
            test,
            steps,
            location,
        },
    );
    Ok(())
}

/// Runs a block's program.
pub(crate) fn run(steps: &[(usize, Instruction)], request: &mut Request) -> Flow {
    let mut relocate = false;
    match walk(steps, request, &mut relocate) {
        ControlFlow::Break(Some(response)) => Flow::Respond(response),
        _ if relocate => Flow::Relocate,
        _ => Flow::Continue,
    }
}

/// Runs instructions until one ends the program, with a response or without. Sets `relocate` if the
/// path then needs another location.
fn walk(
    steps: &[(usize, Instruction)],
    request: &mut Request,
    relocate: &mut bool,
) -> ControlFlow<Option<Result<Box<Response>, Refusal>>> {
    for (_, step) in steps {
        match step {
            Instruction::Set { slot, value } => {
                let value = value.evaluate(request);
                if let Err(refusal) = request.count_values(value.len()) {
                    return ControlFlow::Break(Some(Err(refusal)));
                }
                set(*slot, value, request);
            }
            Instruction::Return(step) => {
                return ControlFlow::Break(Some(step.response(request)));
            }
            Instruction::Break => {
                request.valid_location &= !*relocate;
                *relocate = false;
                return ControlFlow::Break(None);
            }
            Instruction::Rewrite(rule) => match rule.apply(request) {
                Outcome::NoMatch => {}
                Outcome::Respond(response) => return ControlFlow::Break(Some(response)),
                Outcome::Changed => {
                    *relocate = rule.flag != Flag::Break;
                    request.valid_location &= *relocate;
                    if rule.flag != Flag::None {
                        return ControlFlow::Break(None);
                    }
                }
            },
            Instruction::If {
                test,
                steps,
                location,
            } => match test.holds(request) {
                Err(refusal) => return ControlFlow::Break(Some(Err(refusal))),
                Ok(false) => {}
                Ok(true) => {
                    if let Some(location) = location {
                        request.location = *location;
                    }
                    walk(steps, request, relocate)?;
                }
            },
        }
    }
    ControlFlow::Continue(())
}

/// Gives a variable its value.
pub(super) fn set(slot: SetTarget, value: Bytes, request: &mut Request) {
    match slot {
        SetTarget::User(slot) => request.slots.set(slot, value),
        SetTarget::Args => {
            request.args = value;
            request.args_known = true;
            request.args_set = true;
        }
        SetTarget::LimitRate => limit_rate::set(request, &value),
    }
}

/// `rewrite_log`: logs what the program does.
fn note(request: &Request, what: impl FnOnce() -> String) {
    if request.settings().of::<Settings>().logs {
        error_log::request(request, Level::Notice, what());
    }
}

impl Return {
    fn response(&self, request: &mut Request) -> Result<Box<Response>, Refusal> {
        // The text may contain `$status`.
        request.outcome.status = self.status;
        let text = self.text.as_ref().map(|text| text.evaluate(request));
        // As it is, and as it is sent.
        request.keep_value(text.as_ref().map_or(0, |text| 2 * text.len()))?;
        let tokens = request.settings().core.server_tokens;
        match (self.status, text) {
            (301 | 302 | 303 | 307 | 308, address) => {
                let address = address.unwrap_or_default();
                Ok(Response::redirect(self.status, address, tokens).reading_body())
            }
            (204, _) => Ok(Response::empty(204, types::of(request)).reading_body()),
            (status @ (408 | 444 | 499), None) => Err(Refusal::silent(status)),
            (status @ 400.., None) => Err(Refusal::new(status)),
            (status, text) => {
                let kind = types::of(request);
                Ok(Response::text(status, kind, text.unwrap_or_default()).reading_body())
            }
        }
    }
}

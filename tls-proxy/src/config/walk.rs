//! Walks the directives of a block and applies each one's effect.

use std::collections::HashSet;

use super::draft::ConfigDraft;
use super::settings::Settings;
use super::spec::{BlockDraft, Contexts, Effect, MANY, Scope, Spec};
use crate::conf::{Directive, Problem};
use crate::directive::{arguments, differs};

/// Applies the directives of one block: first those that change its settings, then the nested
/// blocks, which start with a copy of the result. Servers come last, so that every `upstream` and
/// `map` is known.
pub(crate) fn walk_block(
    directives: &[Directive],
    context: Contexts,
    settings: &mut Settings,
    draft: &mut ConfigDraft,
    place: &mut BlockDraft,
) {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut blocks = Vec::new();
    for (order, directive) in directives.iter().enumerate() {
        let name = directive.name.text.as_str();
        let Some(spec) = check(directive, context, draft) else {
            continue;
        };
        let reason = match spec.effect {
            Effect::Accepted(why) => why,
            _ => "",
        };
        let notices = differs::of(directive, spec.differs, reason);
        draft.notices.extend(notices);
        let first_here = seen.insert(name);
        // Of one that is refused, each line is: whether it may repeat is another matter.
        let may_repeat = spec.repeats || matches!(spec.effect, Effect::Refused(_));
        if !first_here && !may_repeat {
            draft.problems.push(arguments::duplicate(directive));
            continue;
        }
        let mut scope = Scope {
            context,
            settings,
            draft,
            place,
            first_here,
            order,
        };
        let result = match spec.effect {
            Effect::Set(set) => set(&mut scope, directive),
            Effect::Block(open) => {
                blocks.push((order, directive, open));
                Ok(())
            }
            Effect::Accepted(_) => spec.value.check_with(directive, &mut scope.draft.hosts),
            Effect::Refused(help) => Err(arguments::unsupported(directive, help)),
        };
        draft.problems.extend(result.err());
    }
    blocks.sort_by_key(|(_, directive, _)| match directive.name.text.as_str() {
        // Locations start with a copy of them.
        "types" => 0,
        "server" => 2,
        _ => 1,
    });
    for (order, directive, open) in blocks {
        let children = directive.block.as_deref().unwrap_or_default();
        let mut scope = Scope {
            context,
            settings,
            draft,
            place,
            first_here: true,
            order,
        };
        let result = open(&mut scope, directive, children);
        draft.problems.extend(result.err());
    }
}

/// Looks a directive up and checks its context and arguments.
fn check(
    directive: &Directive,
    context: Contexts,
    draft: &mut ConfigDraft,
) -> Option<&'static Spec> {
    let directives = draft.directives?;
    let problems = &mut draft.problems;
    let name = directive.name.text.as_str();
    let at = &directive.name.at;
    let mut refuse = |problem: Problem| {
        problems.push(problem.with_help_if(directive.missing_semicolon()));
        None
    };
    let Some(spec) = (directives.find)(name, context) else {
        return refuse((directives.unknown)(directive, context));
    };
    if !spec.contexts.meets(context) {
        let help = format!("it may stand in: {}", spec.contexts.names().join(", "));
        let message = format!("\"{name}\" directive is not allowed here");
        problems.push(Problem::emerg(at, message).with_help(help));
        return None;
    }
    if matches!(spec.effect, Effect::Refused(_)) {
        return Some(spec);
    }
    let is_block = matches!(spec.effect, Effect::Block(_));
    if is_block && directive.block.is_none() {
        return refuse(Problem::emerg(
            at,
            format!("directive \"{name}\" has no opening \"{{\""),
        ));
    }
    if !is_block && directive.block.is_some() {
        let message = format!("directive \"{name}\" is not terminated by \";\"");
        return refuse(Problem::emerg(at, message));
    }
    let (least, most) = spec.arguments;
    if directive.args.len() < least || (most != MANY && directive.args.len() > most) {
        let message = format!("invalid number of arguments in \"{name}\" directive");
        return refuse(Problem::emerg(at, message));
    }
    Some(spec)
}

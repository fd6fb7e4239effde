//! `error_page` of nginx's core module.

use crate::conf::{Directive, Problem, Word, units};
use crate::config::core::{ErrorPage, ErrorPageStatus};
use crate::config::spec::Scope;
use crate::variables::template::Template;

/// `error_page CODE... [=[CODE]] URI`.
pub(super) fn add_error_page(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let (target, codes) = directive.args.split_last().ok_or_else(|| {
        Problem::emerg(
            &directive.name.at,
            "invalid number of arguments in \"error_page\" directive",
        )
    })?;
    let (replacement, codes) = match codes.split_last() {
        Some((word, rest)) if word.text.starts_with('=') => {
            let replacement = match &word.text[1..] {
                "" => ErrorPageStatus::FromPage,
                code => {
                    let code = units::parse_integer(code).ok_or_else(|| invalid_value(word))?;
                    ErrorPageStatus::Fixed(code)
                }
            };
            (replacement, rest)
        }
        _ => (ErrorPageStatus::Same, codes),
    };
    if codes.is_empty() {
        return Err(invalid_value(
            directive.args.first().unwrap_or(&directive.name),
        ));
    }
    let target = Template::compile(target, &mut scope.draft.variables)?;
    let mut pages = if scope.first_here {
        Vec::new()
    } else {
        scope.settings.core.error_pages.to_vec()
    };
    for word in codes {
        let status = units::parse_integer(&word.text).filter(|code| (300..=599).contains(code));
        if status == Some(499) {
            return Err(invalid_value(word));
        }
        let status = status.ok_or_else(|| {
            let message = format!("value \"{}\" must be between 300 and 599", word.text);
            Problem::emerg(&word.at, message)
        })?;
        pages.push(ErrorPage {
            status,
            replacement,
            target: target.clone(),
        });
    }
    scope.settings.core.error_pages = pages.into();
    Ok(())
}

fn invalid_value(word: &Word) -> Problem {
    Problem::emerg(&word.at, format!("invalid value \"{}\"", word.text))
}

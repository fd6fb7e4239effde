//! `proxy_redirect`: rewrites an upstream's `Location` and `Refresh`.

use super::redirect::{Redirect, RedirectRule, RewritePattern};
use super::settings::Settings;
use super::{Pass, PassTarget};
use crate::conf::{Directive, Problem};
use crate::config::spec::Scope;
use crate::directive::arguments;
use crate::request::Request;
use crate::variables::template::Template;

pub(super) fn set_redirect(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let before = match &scope.settings.of::<Settings>().redirect {
        _ if scope.first_here => Vec::new(),
        Redirect::Rules(rules) => rules.to_vec(),
        Redirect::Off => return Err(arguments::duplicate(directive)),
        Redirect::Default => Vec::new(),
    };
    let variables = &mut scope.draft.variables;
    let word = arguments::first(directive);
    let rule = match &directive.args[..] {
        [word] if word.text == "off" => {
            if !scope.first_here {
                return Err(arguments::duplicate(directive));
            }
            scope.settings.of_mut::<Settings>().redirect = Redirect::Off;
            return Ok(());
        }
        [word] if word.text == "default" => match scope.settings.of::<Settings>().pass.as_deref() {
            None => {
                let message = "\"proxy_redirect default\" should be placed after the \
                                   \"proxy_pass\" directive";
                return Err(Problem::emerg(&directive.name.at, message));
            }
            Some(Pass {
                target: PassTarget::Template(_),
                ..
            }) => {
                let message = "\"proxy_redirect default\" cannot be used with \"proxy_pass\" \
                                   directive with variables";
                return Err(Problem::emerg(&directive.name.at, message));
            }
            Some(_) => RedirectRule::Default,
        },
        [from, to] => {
            let found = RewritePattern::parse(from, false, variables)?;
            RedirectRule::Replace(found, Template::compile(to, variables)?)
        }
        _ => {
            return Err(arguments::invalid_parameter(word)
                .with_help("write `default`, `off`, or a prefix and its replacement"));
        }
    };
    let rules = before.into_iter().chain([rule]).collect();
    scope.settings.of_mut::<Settings>().redirect = Redirect::Rules(rules);
    Ok(())
}

/// `Location` as the client should see it; `None` leaves it alone.
pub(crate) fn rewrite_location(request: &Request, value: &[u8]) -> Option<Vec<u8>> {
    let config = request.config.clone();
    let settings = config.location(request.location).settings.of::<Settings>();
    match &settings.redirect {
        Redirect::Off => None,
        Redirect::Default => by_default(request, value),
        Redirect::Rules(rules) => rules.iter().find_map(|rule| match rule {
            RedirectRule::Default => by_default(request, value),
            RedirectRule::Replace(found, to) => found.replace(to, request, value),
        }),
    }
}

/// `Refresh` as the client should see it: the address behind `url=`.
pub(crate) fn rewrite_refresh(request: &Request, value: &[u8]) -> Option<Vec<u8>> {
    let start = value
        .windows(4)
        .position(|window| window.eq_ignore_ascii_case(b"url="))?
        + 4;
    let (before, address) = value.split_at(start);
    Some([before, &rewrite_location(request, address)?].concat())
}

/// From the address of `proxy_pass`, as it is written, to the location; one with variables is
/// replaced by nothing.
fn by_default(request: &Request, value: &[u8]) -> Option<Vec<u8>> {
    let settings = request.settings().of::<Settings>();
    let pass = settings.pass.as_ref()?;
    if matches!(pass.target, PassTarget::Template(_)) {
        return None;
    }
    let rest = value.strip_prefix(pass.url.as_bytes())?;
    match &pass.path {
        Some(_) => Some([settings.location.as_deref().unwrap_or_default(), rest].concat()),
        None => rest.starts_with(b"/").then(|| rest.to_vec()),
    }
}

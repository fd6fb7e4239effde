//! `proxy_redirect`: addresses of the upstream's in the client's eyes.

use std::sync::Arc;

use super::super::{Scope, arguments};
use super::PassTarget;
use crate::conf::{Directive, Problem};
use crate::server::request::Request;
use crate::vars::template::Template;

/// `proxy_redirect`.
#[derive(Clone, Debug)]
pub enum Redirect {
    /// From the address of `proxy_pass` to the location.
    Default,
    /// `off`.
    Off,
    /// Pairs of prefix and replacement.
    Pairs(Arc<[(Template, Template)]>),
}

pub(super) fn set_redirect(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let own = &mut scope.settings.proxy.redirect;
    let variables = &mut scope.draft.variables;
    match (&directive.args[..], &*own) {
        ([word], _) if word.text == "off" => *own = Redirect::Off,
        ([word], _) if word.text == "default" => *own = Redirect::Default,
        ([from, to], before) if !from.text.starts_with('~') => {
            let pair = (
                Template::compile(from, variables)?,
                Template::compile(to, variables)?,
            );
            let pairs = match before {
                Redirect::Pairs(pairs) if !scope.first_here => pairs.to_vec(),
                _ => Vec::new(),
            };
            *own = Redirect::Pairs(pairs.into_iter().chain([pair]).collect());
        }
        _ => {
            let word = arguments::first(directive);
            return Err(
                Problem::emerg(&word.at, format!("invalid parameter \"{}\"", word.text))
                    .with_help("write `default`, `off`, or a prefix and its replacement"),
            );
        }
    }
    Ok(())
}

/// `Location` as the client should see it; `None` leaves it alone.
pub(crate) fn rewrite_location(request: &Request, value: &[u8]) -> Option<Vec<u8>> {
    let settings = &request.settings().proxy;
    match &settings.redirect {
        Redirect::Off => None,
        Redirect::Pairs(pairs) => pairs.iter().find_map(|(from, to)| {
            let rest = value.strip_prefix(&from.evaluate(request)[..])?;
            Some([&to.evaluate(request), rest].concat())
        }),
        Redirect::Default => {
            let pass = settings.pass.as_ref()?;
            if !matches!(pass.target, PassTarget::Group(_)) {
                return None;
            }
            let rest = value
                .strip_prefix(pass.to.scheme.prefix().as_bytes())?
                .strip_prefix(pass.to.host.as_bytes())?;
            match &pass.path {
                Some(path) => {
                    let rest = rest.strip_prefix(path.as_bytes())?;
                    Some([settings.location.as_deref().unwrap_or(b"/"), rest].concat())
                }
                None => rest.starts_with(b"/").then(|| rest.to_vec()),
            }
        }
    }
}

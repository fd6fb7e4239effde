//! `limit_except` of nginx's core module: other settings for all methods but the named ones.

use std::sync::Arc;

use super::blocks;
use crate::conf::{Directive, Problem};
use crate::config::LocationId;
use crate::config::settings::{Inside, ModuleSettings};
use crate::config::spec::{BlockDraft, Contexts, Effect, MANY, Scope, Spec};
use crate::config::walk::walk_block;
use crate::request::Request;

/// What the module keeps for each block; not inherited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(Option<Arc<LimitExcept>>);

impl ModuleSettings for Settings {
    fn inside(&self, _: Inside) -> Option<Self> {
        self.0.as_ref().map(|_| Self::default())
    }

    fn is_used(&self) -> bool {
        self.0.is_some()
    }
}

/// One `limit_except`.
#[derive(Debug)]
pub(crate) struct LimitExcept {
    methods: Vec<String>,
    others: LocationId,
}

const METHODS: [&str; 15] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "PATCH",
    "QUERY",
];

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::new(
    "limit_except",
    Contexts::LOCATION,
    (1, MANY),
    Effect::Block(open),
)
.about("Settings (`allow`, `deny`, `auth_basic`, `proxy_pass`) for all methods but these; GET names HEAD too.")];

fn open(scope: &mut Scope<'_>, directive: &Directive, lines: &[Directive]) -> Result<(), Problem> {
    let mut methods = Vec::new();
    for word in &directive.args {
        let method = word.text.to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            let message = format!("invalid method \"{}\"", word.text);
            return Err(Problem::emerg(&word.at, message));
        }
        if method == "GET" {
            methods.push("HEAD".to_owned());
        }
        methods.push(method);
    }
    let mut settings = scope.settings.inside(Inside::Other);
    let place = &mut BlockDraft::default();
    walk_block(
        lines,
        Contexts::LIMIT_EXCEPT,
        &mut settings,
        scope.draft,
        place,
    );
    let others = blocks::add_location(scope.draft, settings, Vec::new());
    scope.settings.of_mut::<Settings>().0 = Some(Arc::new(LimitExcept { methods, others }));
    Ok(())
}

/// Switches a request whose method is not named to those settings.
pub(crate) fn apply(request: &mut Request) {
    if !request.settings().uses::<Settings>() {
        return;
    }
    let config = request.config.clone();
    let Some(limit) = &config
        .location(request.location)
        .settings
        .of::<Settings>()
        .0
    else {
        return;
    };
    let named = |own: &String| own.as_bytes() == &request.head.method[..];
    if !limit.methods.iter().any(named) {
        request.location = limit.others;
    }
}

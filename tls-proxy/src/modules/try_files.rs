//! nginx's `ngx_http_try_files_module`: the first file that exists, or the last argument.

use std::sync::Arc;

use super::document_root;
use crate::conf::{Directive, Problem, units};
use crate::config::settings::{Inside, ModuleSettings};
use crate::config::spec::{Contexts, MANY, Scope, Spec};
use crate::message::internal_path;
use crate::modules::static_files;
use crate::request::Request;
use crate::request::content_result::ContentResult;
use crate::variables::template::Template;

/// What the module keeps for each block; not inherited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(pub(crate) Option<Arc<TryFiles>>);

impl ModuleSettings for Settings {
    fn inside(&self, _: Inside) -> Option<Self> {
        self.0.as_ref().map(|_| Self::default())
    }

    fn is_used(&self) -> bool {
        self.0.is_some()
    }
}

/// One `try_files`.
#[derive(Debug)]
pub(crate) struct TryFiles {
    /// Each with whether it must be a folder.
    files: Vec<(Template, bool)>,
    last: Fallback,
}

/// The last argument.
#[derive(Debug)]
enum Fallback {
    Status(u16),
    Target(Template),
}

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::set(
    "try_files",
    Contexts::SERVER.or(Contexts::LOCATION),
    (2, MANY),
    |scope, directive| {
        let parsed = parse(scope, directive)?;
        scope.settings.of_mut::<Settings>().0 = Some(Arc::new(parsed));
        Ok(())
    },
)
.about("Serves the first file or folder (`…/`) that exists; else the last argument: a path, `@name`, `=code`.")];

fn parse(scope: &mut Scope<'_>, directive: &Directive) -> Result<TryFiles, Problem> {
    let variables = &mut scope.draft.variables;
    let (last, files) = directive.args.split_last().ok_or_else(|| {
        let message = "invalid number of arguments in \"try_files\" directive";
        Problem::emerg(&directive.name.at, message)
    })?;
    let last = match last.text.strip_prefix('=') {
        Some(code) => {
            let code = units::parse_integer(code).filter(|code| *code <= 999);
            let invalid = || Problem::emerg(&last.at, format!("invalid code \"{}\"", last.text));
            Fallback::Status(code.ok_or_else(invalid)?)
        }
        None => Fallback::Target(Template::compile(last, variables)?),
    };
    let mut compiled = Vec::new();
    for word in files {
        let mut word = word.clone();
        let folder = word.text.ends_with('/');
        if folder {
            word.text.pop();
        }
        compiled.push((Template::compile(&word, variables)?, folder));
    }
    Ok(TryFiles {
        files: compiled,
        last,
    })
}

impl TryFiles {
    /// Finds the file; `None` if the location continues with it.
    pub(crate) fn run(&self, request: &mut Request) -> Option<ContentResult> {
        if document_root::lacks_prefix(request) {
            return Some(ContentResult::refuse(500));
        }
        let documents = &request.settings().of::<static_files::Settings>().documents;
        let replaced = documents.replaced();
        let whole = documents.replaces_all();
        let prefix = request.path.get(..replaced).unwrap_or_default().to_vec();
        for (file, folder) in &self.files {
            let mut path = file.evaluate(request).to_vec();
            // nginx takes the prefix off what variables give, and off nothing else.
            if !(file.has_variables() && path.starts_with(&prefix)) {
                path.splice(0..0, prefix.iter().copied());
            }
            if internal_path::has_dot_dot(&path) {
                continue;
            }
            let name = document_root::path(document_root::candidate(request, &path));
            let found = std::fs::metadata(&name);
            if !found.is_ok_and(|meta| meta.is_dir() == *folder) {
                continue;
            }
            // For a folder below a whole-name alias nginx leaves the path as it is.
            if !(whole && *folder) {
                // As in nginx, an upstream still gets the path of the client.
                request.path = path.into();
                request.behind_alias = whole;
            }
            return None;
        }
        Some(self.give_up(request))
    }

    fn give_up(&self, request: &mut Request) -> ContentResult {
        let target = match &self.last {
            Fallback::Status(status) => return ContentResult::refuse(*status),
            Fallback::Target(target) => target.evaluate(request),
        };
        if target.starts_with(b"@") {
            return ContentResult::Named(target);
        }
        match request.relocate(internal_path::split(&target)) {
            Ok(()) => ContentResult::Relocate,
            Err(refusal) => ContentResult::Response(Err(refusal)),
        }
    }
}

//! `root` and `alias` of nginx's core module: the file of a path.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::conf::{Directive, Problem};
use crate::config::spec::{Contexts, Scope, Spec};
use crate::directive::arguments;
use crate::log::level::Level;
use crate::modules::proxy;
use crate::modules::static_files;
use crate::modules::variables::{Evaluate, write};
use crate::request::Request;
use crate::request::error_log;
use crate::variables::template::Template;

/// Where files are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Documents {
    /// `None` is `html` below the prefix.
    folder: Option<Template>,
    alias: Option<Alias>,
    /// The one set in this very location: nginx allows one of the two.
    pub(super) declared: Option<&'static str>,
}

/// How `alias` replaces the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alias {
    /// The location's prefix of this length is replaced.
    Prefix(usize),
    /// The location is a pattern: the whole path is replaced.
    Whole,
}

impl Documents {
    /// Whether `alias` names the whole file, since its location is a pattern.
    pub(crate) fn replaces_all(&self) -> bool {
        self.alias == Some(Alias::Whole)
    }

    /// The location's prefix that `alias` replaces.
    pub(crate) fn replaced(&self) -> usize {
        match self.alias {
            Some(Alias::Prefix(length)) => length,
            _ => 0,
        }
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("root", Contexts::ALL.or(Contexts::IF), (1, 1), set_root)
        .default("html")
        .about("The folder that paths are below."),
    Spec::set("alias", Contexts::LOCATION, (1, 1), set_alias)
        .about("What replaces the location's prefix."),
];

fn set_root(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let folder = declare(scope, directive, "root")?;
    let documents = &mut scope.settings.of_mut::<static_files::Settings>().documents;
    documents.folder = Some(folder);
    documents.alias = None;
    Ok(())
}

fn set_alias(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let folder = declare(scope, directive, "alias")?;
    let prefix = scope.settings.of::<proxy::Settings>().location.as_ref();
    let alias = prefix.map_or(Alias::Whole, |prefix| Alias::Prefix(prefix.len()));
    let documents = &mut scope.settings.of_mut::<static_files::Settings>().documents;
    documents.folder = Some(folder);
    documents.alias = Some(alias);
    Ok(())
}

fn declare(
    scope: &mut Scope<'_>,
    directive: &Directive,
    name: &'static str,
) -> Result<Template, Problem> {
    let documents = &mut scope.settings.of_mut::<static_files::Settings>().documents;
    if let Some(other) = documents.declared.filter(|other| *other != name) {
        let message = format!(
            "\"{name}\" directive is duplicate, \"{other}\" directive was specified earlier"
        );
        return Err(Problem::emerg(&directive.name.at, message));
    }
    documents.declared = Some(name).filter(|_| scope.context == Contexts::LOCATION);
    let mut word = arguments::first(directive).clone();
    if word.text.contains("$document_root") || word.text.contains("$realpath_root") {
        let message =
            format!("the $document_root variable cannot be used in the \"{name}\" directive");
        return Err(Problem::emerg(&word.at, message));
    }
    if name == "root" {
        while word.text.ends_with('/') {
            word.text.pop();
        }
    }
    // `root /` lost its only slash above.
    let absolute = word.text.starts_with(['/', '$']) || (name == "root" && word.text.is_empty());
    if !absolute {
        let full = scope.draft.paths.in_prefix(&word.text);
        word.text = full.to_string_lossy().into_owned();
    }
    Template::compile(&word, &mut scope.draft.variables)
}

/// `$document_root`.
pub(crate) fn folder(request: &Request) -> Vec<u8> {
    let documents = &request.settings().of::<static_files::Settings>().documents;
    match &documents.folder {
        Some(folder) => {
            let mut folder = folder.evaluate(request).to_vec();
            if !folder.starts_with(b"/") {
                // It begins with a variable; other paths were made absolute before.
                let prefix = request.config.prefix.as_os_str().as_bytes();
                folder.splice(0..0, [prefix, b"/"].concat());
            }
            folder
        }
        None => request.config.html.as_os_str().as_bytes().to_vec(),
    }
}

/// `$request_filename`: the file of the request's path.
pub(crate) fn file(request: &Request) -> PathBuf {
    path(file_name(request, &request.path))
}

/// Whether `alias` has no prefix to replace, since the path was rewritten; that is logged.
pub(crate) fn lacks_prefix(request: &Request) -> bool {
    let documents = &request.settings().of::<static_files::Settings>().documents;
    let lacks = documents.alias.is_some() && !request.valid_location;
    if lacks {
        let what = "\"alias\" cannot be used in a location where the URI was rewritten";
        error_log::request(request, Level::Alert, what);
    }
    lacks
}

/// The file of a path in the request's location.
pub(crate) fn file_name(request: &Request, of: &[u8]) -> Vec<u8> {
    name_of(request, of, request.behind_alias)
}

/// The file that `try_files` looks for; it is appended to an alias that names the whole file, too.
pub(crate) fn candidate(request: &Request, of: &[u8]) -> Vec<u8> {
    name_of(request, of, true)
}

fn name_of(request: &Request, of: &[u8], behind_alias: bool) -> Vec<u8> {
    let mut name = folder(request);
    match request
        .settings()
        .of::<static_files::Settings>()
        .documents
        .alias
    {
        None => name.extend_from_slice(of),
        Some(Alias::Prefix(length)) => name.extend_from_slice(of.get(length..).unwrap_or_default()),
        Some(Alias::Whole) if behind_alias => name.extend_from_slice(of),
        Some(Alias::Whole) => {}
    }
    name
}

/// Bytes as a path.
pub(crate) fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[
    ("document_root", |request, out| {
        write(Some(&folder(request)), out)
    }),
    ("realpath_root", |request, out| {
        let real = std::fs::canonicalize(path(folder(request))).ok();
        write(real.as_ref().map(|it| it.as_os_str().as_bytes()), out)
    }),
    ("request_filename", |request, out| {
        let name = (!lacks_prefix(request)).then(|| file_name(request, &request.path));
        write(name.as_deref(), out)
    }),
];

//! nginx's `ngx_http_autoindex_module`: lists folders without an index file. `autoindex_page.rs`
//! writes the lists.

use std::fs::{Metadata, ReadDir};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::autoindex_page::{Entry, EntryKind, Format, Page};
use super::{charset, static_files};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, Spec};
use crate::directive::arguments;
use crate::directive::value::Value;
use crate::log::level::{Level, shown};
use crate::modules::variables::families;
use crate::request::content_result::ContentResult;
use crate::request::response::{Content, Refusal, Response};
use crate::request::source::{FilterContext, Frame, Next, Source};
use crate::request::{Request, error_log};

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `autoindex`.
    pub(super) on: bool,
    format: Written,
    exact_size: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: false,
            format: Written::Html,
            exact_size: true,
        }
    }
}

/// `autoindex_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Html,
    Xml,
    Json,
    Jsonp,
}

const FORMATS: [(&str, Written); 4] = [
    ("html", Written::Html),
    ("xml", Written::Xml),
    ("json", Written::Json),
    ("jsonp", Written::Jsonp),
];

const ALL: Contexts = Contexts::ALL;

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        self.on
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("autoindex", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().on = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about("Lists folders that have no index file."),
    Spec::set("autoindex_format", ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().format = arguments::choice(word, &FORMATS)?;
        Ok(())
    })
    .default("html")
    .about("How lists are written: `html`, `xml`, `json`, or `jsonp` for the function that the argument `callback` names."),
    Spec::set("autoindex_exact_size", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().exact_size = arguments::flag(directive)?;
        Ok(())
    })
    .default("on")
    .about("Sizes in bytes; `off` rounds them to K, M and G (HTML only)."),
    Spec::new(
        "autoindex_localtime",
        ALL,
        (1, 1),
        Effect::Accepted("local times are UTC"),
    )
    .takes(Value::Flag),
];

impl Source for Page {
    fn poll_frame(&mut self, _: &dyn FilterContext, _: &mut Context<'_>) -> Poll<Next> {
        let part = self.part();
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::Data(part.into()))))
    }
}

/// Files that are read in before the task yields.
const AT_ONCE: usize = 64;

/// Longest name of a function for `jsonp`, bytes, as in nginx.
const LONGEST_CALLBACK: usize = 128;

/// Lists a folder.
pub(crate) async fn serve(request: &Request, folder: PathBuf) -> ContentResult {
    ContentResult::Response(list(request, &folder).await)
}

async fn list(request: &Request, folder: &Path) -> Result<Box<Response>, Refusal> {
    let settings = request.settings().of::<Settings>();
    let (format, kind) = match settings.format {
        Written::Html => {
            let kind = "text/html";
            let charset = charset::of(
                request.settings().of::<charset::Settings>(),
                request,
                kind.as_bytes(),
            );
            let format = Format::Html {
                exact: settings.exact_size,
                utf8: charset.is_some_and(|name| name.eq_ignore_ascii_case(b"utf-8")),
            };
            (format, kind)
        }
        Written::Xml => (Format::Xml, "text/xml; charset=utf-8"),
        Written::Json => (Format::Json { callback: None }, "application/json"),
        Written::Jsonp => match callback(request)? {
            None => (Format::Json { callback: None }, "application/json"),
            callback => (Format::Json { callback }, "application/javascript"),
        },
    };
    let opened = std::fs::read_dir(folder)
        .map_err(|error| static_files::refuse(request, "opendir()", folder, &error))?;
    let mut entries = match request.is_head() {
        true => Vec::new(),
        false => read(request, folder, opened).await?,
    };
    entries.sort_unstable_by(Entry::compare);
    let page = Page::new(format, &request.path, entries);
    let kind = Some(Bytes::from_static(kind.as_bytes()));
    let mut response = Response::file(kind, 0, Content::Stream(Box::new(page)));
    response.length = None;
    Ok(response.reading_body())
}

/// The callback function of `jsonp`; `None` if no name is given.
fn callback(request: &Request) -> Result<Option<Bytes>, Refusal> {
    let mut name = Vec::new();
    families::argument(request, b"callback", &mut name);
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let fault = match name.len() > LONGEST_CALLBACK {
        true => Some("too long"),
        false => (!name.iter().all(allowed)).then_some("invalid"),
    };
    if let Some(fault) = fault {
        let what = format!("client sent {fault} callback name: \"{}\"", shown(&name));
        error_log::request(request, Level::Info, what);
        return Err(Refusal::closing(400));
    }
    Ok((!name.is_empty()).then(|| name.into()))
}

/// The entries of a folder but for names that begin with a dot. Yields to other requests in
/// between, and reserves memory before it is used.
async fn read(request: &Request, folder: &Path, opened: ReadDir) -> Result<Vec<Entry>, Refusal> {
    let failed = |error: &io::Error| static_files::refuse(request, "readdir()", folder, error);
    let mut entries = Vec::new();
    let mut size = 0;
    for (number, found) in opened.enumerate() {
        let found = found.map_err(|error| failed(&error))?;
        let name = found.file_name();
        if !name.as_bytes().starts_with(b".")
            && let Some(meta) = look(request, &found.path())?
        {
            let entry = entry(name.as_bytes(), &meta);
            size += entry.size_in_memory();
            entries.push(entry);
        }
        if number % AT_ONCE == AT_ONCE - 1 {
            reserve(request, folder, &mut size, entries.len())?;
            tokio::task::yield_now().await;
        }
    }
    reserve(request, folder, &mut size, entries.len())?;
    Ok(entries)
}

fn reserve(
    request: &Request,
    folder: &Path,
    size: &mut usize,
    count: usize,
) -> Result<(), Refusal> {
    if request.try_reserve(std::mem::take(size) as u64) {
        return Ok(());
    }
    let folder = shown(folder.as_os_str().as_bytes());
    let what = format!("not enough memory to list \"{folder}\", {count} of its files are known");
    error_log::request(request, Level::Error, what);
    Err(Refusal::new(503))
}

/// The metadata of a file, or of a dangling link itself; `None` without permission.
fn look(request: &Request, path: &Path) -> Result<Option<Metadata>, Refusal> {
    let error = match std::fs::metadata(path) {
        Ok(meta) => return Ok(Some(meta)),
        Err(error) => error,
    };
    let is_dangling =
        matches!(error.kind(), io::ErrorKind::NotFound) || static_files::is_loop(&error);
    // It may have been deleted meanwhile.
    if is_dangling {
        return Ok(std::fs::symlink_metadata(path).ok());
    }
    let name = shown(path.as_os_str().as_bytes());
    let reason = crate::conf::reason(&error);
    let what = format!("stat() \"{name}\" failed ({reason})");
    error_log::request(request, Level::Crit, what);
    match error.kind() {
        io::ErrorKind::PermissionDenied => Ok(None),
        _ => Err(Refusal::new(500)),
    }
}

fn entry(name: &[u8], meta: &Metadata) -> Entry {
    let kind = match meta.file_type() {
        kind if kind.is_dir() => EntryKind::Folder,
        kind if kind.is_file() => EntryKind::File,
        _ => EntryKind::Other,
    };
    Entry {
        name: name.into(),
        kind,
        modified: u64::try_from(meta.mtime()).unwrap_or_default(),
        size: meta.len(),
    }
}

//! nginx's `ngx_http_static_module` and `ngx_http_index_module`: files below
//! `root` or behind `alias`.
//!
//! A request's path is normalised before it comes here, so it has no `..`; symbolic links are
//! followed, as in nginx (`disable_symlinks off`).

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::document_root::{self, Documents};
use super::{autoindex, gzip_static, types};
use crate::conf::{Directive, Problem};
use crate::config::settings::{Inside, ModuleSettings};
use crate::config::spec::{Contexts, Effect, MANY, Spec};
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value::{Parameter, Value};
use crate::log::level::{Level, shown};
use crate::message::{internal_path, target::escape_path};
use crate::request::Request;
use crate::request::content_result::ContentResult;
use crate::request::error_log;
use crate::request::file_body::FileBody;
use crate::request::response::{Content, Refusal, Response, Validators};
use crate::variables::template::Template;

/// `directio`: a size, or `off`.
fn check_directio(directive: &Directive) -> Result<(), Problem> {
    if arguments::first(directive).text == "off" {
        return Ok(());
    }
    arguments::offset(directive).map(drop)
}

/// What the modules keep for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `root` or `alias`.
    pub(crate) documents: Documents,
    /// `index`.
    index: Arc<[Template]>,
    /// `etag`.
    etag: bool,
    /// `log_not_found`.
    pub(crate) log_not_found: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            documents: Documents::default(),
            index: Arc::new([]),
            etag: true,
            log_not_found: true,
        }
    }
}

impl ModuleSettings for Settings {
    fn inside(&self, _: Inside) -> Option<Self> {
        let declared = self.documents.declared.as_ref();
        declared.map(|_| {
            let mut own = self.clone();
            own.documents.declared = None;
            own
        })
    }
}

const ALL: Contexts = Contexts::ALL;
const ALL_IF: Contexts = ALL.or(Contexts::IF);
const CACHE: Effect = Effect::Accepted("files are opened for each request; the kernel caches them");
const READS: Effect = Effect::Accepted("files are read in small pieces through the page cache");

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("index", ALL, (1, MANY), |scope, directive| {
        let own = &mut scope.settings.of_mut::<Settings>().index;
        let mut names = if scope.first_here {
            Vec::new()
        } else {
            own.to_vec()
        };
        for word in &directive.args {
            if word.text.is_empty() {
                let message = "index \"\" in \"index\" directive is invalid";
                return Err(Problem::emerg(&word.at, message));
            }
            names.push(Template::compile(word, &mut scope.draft.variables)?);
        }
        *own = names.into();
        Ok(())
    })
    .default("index.html")
    .about("Index files of a folder; the first that exists is used.")
    .repeats(),
    Spec::set("etag", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().etag = arguments::flag(directive)?;
        Ok(())
    })
    .default("on")
    .about("Files carry an `ETag` of their time and size."),
    Spec::set("log_not_found", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().log_not_found = arguments::flag(directive)?;
        Ok(())
    })
    .default("on")
    .about("Missing files are logged in the error log."),
    Spec::new("open_file_cache", ALL, (1, 2), CACHE)
        .differs(differs::not_off, "", "directives-without-effect")
        .takes(Value::Cache(&[
            ("max", Parameter::Count),
            ("inactive", Parameter::Seconds),
        ])),
    Spec::new("open_file_cache_valid", ALL, (1, 1), CACHE).takes(Value::Seconds),
    Spec::new("open_file_cache_min_uses", ALL, (1, 1), CACHE).takes(Value::Number),
    Spec::new("open_file_cache_errors", ALL, (1, 1), CACHE).takes(Value::Flag),
    Spec::new("open_file_cache_events", ALL, (1, 1), CACHE).takes(Value::Flag),
    Spec::new("read_ahead", ALL, (1, 1), READS).takes(Value::Size),
    Spec::new("sendfile", ALL_IF, (1, 1), READS).takes(Value::Flag),
    Spec::new("sendfile_max_chunk", ALL, (1, 1), READS).takes(Value::Size),
    Spec::new("aio", ALL, (1, 1), READS).takes(Value::OneOf(&[
        "on",
        "off",
        "threads",
        "threads=default",
    ])),
    Spec::new("aio_write", ALL, (1, 1), READS).takes(Value::Flag),
    Spec::new("directio", ALL, (1, 1), READS).takes(Value::Checked(check_directio)),
    Spec::new("directio_alignment", ALL, (1, 1), READS).takes(Value::Offset),
    Spec::new("output_buffers", ALL, (2, 2), READS).takes(Value::Buffers),
    Spec::new(
        "disable_symlinks",
        ALL,
        (1, 2),
        Effect::Set(|_, directive| {
            let word = arguments::first(directive);
            match word.text.as_str() {
                "off" if directive.args.len() == 1 => Ok(()),
                "on" | "if_not_owner" => {
                    let message = format!("\"disable_symlinks {}\" is not supported", word.text);
                    Err(crate::conf::Problem::emerg(&word.at, message)
                        .with_help("links are followed; a mounted ConfigMap is made of them"))
                }
                _ => Err(arguments::unknown_parameter(
                    word,
                    &["off", "on", "if_not_owner"],
                )),
            }
        }),
    )
    .default("off")
    .about("Only `off`: symbolic links are followed; a mounted ConfigMap consists of them."),
];

/// The result of a request for a file.
pub(crate) enum Served {
    Result(ContentResult),
    /// A folder without an index file, to be listed (`autoindex`).
    Folder(PathBuf),
}

/// Responds with a file.
pub(crate) fn serve(request: &mut Request) -> Served {
    let method = &request.head.method[..];
    if !matches!(method, b"GET" | b"HEAD" | b"POST") {
        return Served::Result(ContentResult::refuse(405));
    }
    if document_root::lacks_prefix(request) {
        return Served::Result(ContentResult::refuse(500));
    }
    let replaced = request.settings().of::<Settings>().documents.replaced();
    if internal_path::has_dot_dot(request.path.get(replaced..).unwrap_or_default()) {
        let what = format!("\"{}\" leads out of its folder", shown(&request.path));
        error_log::request(request, Level::Error, what);
        return Served::Result(ContentResult::refuse(404));
    }
    if request.path.ends_with(b"/") {
        return open_index(request);
    }
    Served::Result(serve_file(request))
}

fn serve_file(request: &mut Request) -> ContentResult {
    let method = &request.head.method[..];
    let beside = gzip_static::find(request);
    request.varies = beside.varies;
    let path = document_root::file(request);
    let is_packed = beside.packed.is_some();
    match beside.packed.map_or_else(|| open(&path), Ok) {
        Ok((_, meta)) if meta.is_dir() => ContentResult::Response(Ok(to_folder(request))),
        Ok((_, meta)) if !meta.is_file() => {
            let what = format!("\"{}\" is not a regular file", path.display());
            error_log::request(request, Level::Crit, what);
            ContentResult::refuse(404)
        }
        Ok(_) if method == b"POST" => ContentResult::refuse(405),
        Ok((file, meta)) => {
            let mut response = file_response(request, file, &meta);
            if is_packed {
                let encoding = (
                    Bytes::from_static(b"Content-Encoding"),
                    Bytes::from_static(b"gzip"),
                );
                response.fields.push(encoding);
                response.names_encoding = true;
            }
            ContentResult::Response(Ok(response))
        }
        Err(error) => ContentResult::Response(Err(refuse(request, "open()", &path, &error))),
    }
}

/// Opens without blocking on a pipe.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let meta = file.metadata()?;
    Ok((file, meta))
}

fn file_response(request: &Request, file: File, meta: &Metadata) -> Box<Response> {
    let modified = u64::try_from(meta.mtime()).unwrap_or_default();
    let etag = request.settings().of::<Settings>().etag;
    let etag = etag.then(|| Bytes::from(format!("\"{modified:x}-{:x}\"", meta.len())));
    let body = FileBody::new(file, meta.len());
    let mut response = Response::file(types::of(request), meta.len(), Content::File(body));
    response.validators = Some(Box::new(Validators {
        modified: Some(modified),
        etag,
    }));
    response.reading_body()
}

/// Redirects a folder without its slash.
fn to_folder(request: &Request) -> Box<Response> {
    let mut address = Vec::with_capacity(request.path.len() + 1);
    escape_path(&request.path, &mut address);
    address.push(b'/');
    if !request.args.is_empty() {
        address.push(b'?');
        address.extend_from_slice(&request.args);
    }
    Response::redirect(301, address.into(), request.settings().core.server_tokens)
}

/// Whether a path leads through links in a circle.
pub(super) fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// The status for an error of the file system, which is logged.
pub(super) fn refuse(request: &Request, call: &str, path: &Path, error: &io::Error) -> Refusal {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    let (status, level) = match error.kind() {
        NotFound | NotADirectory | InvalidFilename => (404, Level::Error),
        PermissionDenied => (403, Level::Error),
        _ if is_loop(error) => (403, Level::Error),
        _ => (500, Level::Crit),
    };
    if status != 404 || request.settings().of::<Settings>().log_not_found {
        let reason = crate::conf::reason(error);
        let path = shown(path.as_os_str().as_bytes());
        error_log::request(
            request,
            level,
            format!("{call} \"{path}\" failed ({reason})"),
        );
    }
    Refusal::new(status)
}

/// A folder: an internal redirect to the first index file that exists.
fn open_index(request: &mut Request) -> Served {
    let folder = document_root::file(request);
    let config = request.config.clone();
    let index = &config
        .location(request.location)
        .settings
        .of::<Settings>()
        .index;
    let names: Vec<Bytes> = match &index[..] {
        [] => vec![Bytes::from_static(b"index.html")],
        own => own.iter().map(|name| name.evaluate(request)).collect(),
    };
    for name in names {
        if name.starts_with(b"/") {
            return Served::Result(go_on(request, name.to_vec()));
        }
        let path = joined(&folder, &name);
        match std::fs::metadata(&path) {
            Ok(_) => {
                let target = [&request.path[..], &name].concat();
                return Served::Result(go_on(request, target));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder.is_dir() => {}
            Err(error) => {
                let refusal = refuse(request, "open()", &path, &error);
                return Served::Result(ContentResult::Response(Err(refusal)));
            }
        }
    }
    if request.settings().of::<autoindex::Settings>().on
        && matches!(&request.head.method[..], b"GET" | b"HEAD")
    {
        return Served::Folder(folder);
    }
    let path = shown(folder.as_os_str().as_bytes());
    let what = format!("directory index of \"{path}\" is forbidden");
    error_log::request(request, Level::Error, what);
    Served::Result(ContentResult::refuse(403))
}

fn joined(folder: &Path, name: &[u8]) -> PathBuf {
    let mut path = folder.as_os_str().as_bytes().to_vec();
    path.extend_from_slice(name);
    document_root::path(path)
}

/// An internal redirect to a path; the arguments stay.
fn go_on(request: &mut Request, path: Vec<u8>) -> ContentResult {
    request.path = path.into();
    request.rewritten = true;
    ContentResult::Relocate
}

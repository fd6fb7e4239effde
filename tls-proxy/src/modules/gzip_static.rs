//! nginx's `ngx_http_gzip_static_module`: sends the compressed file beside the requested one, with
//! `.gz` appended to its name.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use super::{document_root, gzip, static_files};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::log::level::{Level, shown};
use crate::request::{Request, error_log};

/// `gzip_static`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Settings {
    /// Not looked for.
    #[default]
    Off,
    /// For clients that accept gzip.
    On,
    /// For all clients.
    Always,
}

const CHOICES: [(&str, Settings); 3] = [
    ("off", Settings::Off),
    ("on", Settings::On),
    ("always", Settings::Always),
];

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        *self != Self::Off
    }
}

pub(crate) const DIRECTIVES: &[Spec] =
    &[
        Spec::set("gzip_static", Contexts::ALL, (1, 1), |scope, directive| {
            let word = arguments::first(directive);
            *scope.settings.of_mut::<Settings>() = arguments::choice(word, &CHOICES)?;
            Ok(())
        })
        .default("off")
        .about("Sends the compressed file beside the requested one, with `.gz` appended to its name: to clients that accept it (`on`), or to all (`always`)."),
    ];

/// What was found beside a file.
#[derive(Default)]
pub(super) struct Beside {
    /// The compressed file; not necessarily a regular one.
    pub(super) packed: Option<(File, Metadata)>,
    /// The response varies by `Accept-Encoding`.
    pub(super) varies: bool,
}

/// Looks for the compressed file.
pub(super) fn find(request: &Request) -> Beside {
    let settings = request.settings();
    let nothing = Beside::default();
    if !settings.uses::<Settings>() || !matches!(&request.head.method[..], b"GET" | b"HEAD") {
        return nothing;
    }
    let always = *settings.of::<Settings>() == Settings::Always;
    let wanted = always || gzip::is_for(settings.of::<gzip::Settings>(), request, None);
    // `Vary` is for clients that do not get it as well.
    if !wanted && !settings.of::<gzip::Settings>().vary {
        return nothing;
    }
    let mut name = document_root::file_name(request, &request.path);
    name.extend_from_slice(b".gz");
    let path = document_root::path(name);
    let opened = match static_files::open(&path) {
        Ok(opened) => opened,
        Err(error) => {
            use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
            let level = match error.kind() {
                NotFound | NotADirectory | InvalidFilename => return nothing,
                PermissionDenied => Level::Error,
                _ if static_files::is_loop(&error) => Level::Error,
                _ => Level::Crit,
            };
            let path = shown(path.as_os_str().as_bytes());
            let reason = crate::conf::reason(&error);
            let what = format!("open() \"{path}\" failed ({reason})");
            error_log::request(request, level, what);
            return nothing;
        }
    };
    Beside {
        packed: Some(opened).filter(|(_, meta)| wanted && !meta.is_dir()),
        varies: !always,
    }
}

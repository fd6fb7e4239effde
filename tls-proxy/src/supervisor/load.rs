//! From the command line's options to a configuration.

use std::fs::File;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pod::small_file;

use super::sources::Origin;
use crate::cli::Options;
use crate::conf::templates::Templates;
use crate::conf::{self, Entry, LoadedFile, Main, Problem, Severity, standard};
use crate::config::Config;
use crate::config::draft::Paths;
use crate::configure::{Built, build};
use crate::log::files::{LogFile, OpenError, stand_in_for_reader};

/// The result of [`load`].
pub struct Configuration {
    /// The configuration; `None` if it was rejected.
    pub config: Option<Config>,
    /// All errors and warnings.
    pub problems: Vec<Problem>,
    /// What has another effect than in nginx, for `-t`.
    pub notices: Vec<Problem>,
    /// What it was read from, for `-T`, for messages, and to be watched.
    pub origin: Origin,
    /// `pid`, if it could be read.
    pub pid: PathBuf,
    /// The main configuration's name in messages.
    pub name: String,
    /// Logs that are pipes, open until every worker has opened them: a reader that waits for the
    /// first writer leaves when the last one closes the pipe.
    pub pipes: Vec<File>,
}

/// How long a pipe is waited for on request: who writes to it does so at once, and signals wait.
pub(crate) const ON_REQUEST: Duration = Duration::from_secs(2);

/// Reads the configuration according to `options`, and waits for pipes as nginx does.
pub fn load(options: &Options) -> Configuration {
    load_with(options, Duration::MAX, false)
}

/// The same for `-s`, which needs `pid` and whether directives and files are valid: no name is
/// looked up, so that name servers that do not respond cannot delay a signal.
pub fn load_for_signal(options: &Options) -> Configuration {
    load_with(options, ON_REQUEST, true)
}

/// The same, but waits for each pipe for `patience` at most; reads none if that is zero.
pub(crate) fn load_within(options: &Options, patience: Duration) -> Configuration {
    load_with(options, patience, false)
}

/// Takes every name for known if `assumes_hosts`.
fn load_with(options: &Options, patience: Duration, assumes_hosts: bool) -> Configuration {
    let entry_point = options.entry_point.as_ref();
    let templates =
        entry_point.map_or_else(Templates::default, |it| Templates::find(&it.templates));
    let main = options.named_conf().or_else(|| {
        let main = PathBuf::from(standard::MAIN);
        (main.exists() || templates.stand_for(&main)).then_some(main)
    });
    let (main, folder, name) = match main {
        Some(path) => {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            let name = path.display().to_string();
            (Main::File(path), folder, name)
        }
        None => {
            let name = "built-in configuration".to_owned();
            let folder = options.prefix().to_owned();
            let text = standard::main_configuration();
            (
                Main::BuiltIn {
                    name: name.clone(),
                    text,
                    folder: folder.clone(),
                },
                folder,
                name,
            )
        }
    };
    let began = SystemTime::now();
    let entry = Entry {
        main,
        globals: options.globals.clone(),
    };
    let loaded = conf::load_with(&entry, templates, patience);
    let paths = Paths {
        conf: std::path::absolute(&folder).unwrap_or(folder),
        prefix: options.prefix().to_owned(),
        error_log: options.error_log.clone(),
        hostname: hostname(),
        patience,
        assumes_hosts,
        form: options.log_format,
    };
    let mut origin = Origin {
        began,
        texts: loaded.files.clone(),
        files: on_disk(&loaded.files),
        folders: loaded.folders.clone(),
        pipes: Vec::new(),
    };
    let Built {
        mut config,
        problems,
        notices,
        pid,
    } = build(loaded, paths);
    if let Some(config) = &mut config {
        // In nginx's image a script writes the number into nginx's main configuration.
        if options.conf.is_none() && entry_point.is_some_and(|it| it.tune_workers) {
            config.main.workers = None;
        }
        origin.files.clone_from(&config.sources);
    }
    // A pipe that has come since was not read.
    if !patience.is_zero() {
        let pipes = origin.files.iter().filter(|file| small_file::is_pipe(file));
        origin.pipes = pipes.cloned().collect();
    }
    Configuration {
        config,
        problems,
        notices,
        pid,
        origin,
        name,
        pipes: Vec::new(),
    }
}

/// The texts that are files.
fn on_disk(texts: &[LoadedFile]) -> Vec<PathBuf> {
    let files = texts.iter().filter_map(LoadedFile::read);
    files.map(Path::to_owned).collect()
}

impl Configuration {
    /// Reports log files that cannot be opened, as nginx does at the start and with `-t`.
    /// Creates those that do not exist.
    #[must_use]
    pub fn opened(self) -> Self {
        self.open_logs(|_, error| Err(error))
    }

    /// The same for a running server: it serves on while nobody reads a pipe.
    #[must_use]
    pub(crate) fn opened_again(self) -> Self {
        self.open_logs(|file, error| match file.path() {
            Some(path) if error.is_unread_pipe => {
                let pipe = stand_in_for_reader(path);
                let pipe = pipe.map_err(|source| OpenError::new(file, source))?;
                let problem = format!("{error}; lines are lost until somebody does");
                Ok((pipe, Some(Problem::warn_nowhere(problem))))
            }
            _ => Err(error),
        })
    }

    /// Opens every log file, or else what `instead` returns.
    fn open_logs(
        mut self,
        instead: impl Fn(&LogFile, OpenError) -> Result<(File, Option<Problem>), OpenError>,
    ) -> Self {
        let Some(config) = &self.config else {
            return self;
        };
        for file in config.log_files.iter().filter(|it| it.path().is_some()) {
            let opened = file.open().map(|open| (open, None));
            let opened = opened.map_err(|error| OpenError::new(file, error));
            let error = match opened.or_else(|error| instead(file, error)) {
                Ok((open, problem)) => {
                    self.problems.extend(problem);
                    if open.metadata().is_ok_and(|it| it.file_type().is_fifo()) {
                        self.pipes.push(open);
                    }
                    continue;
                }
                Err(error) => error,
            };
            let help = match error.is_unread_pipe {
                true => "start what reads the pipe first, and let it run as long as this program",
                false => "log to /dev/stdout or /dev/stderr, or mount a folder there",
            };
            let problem = Problem::emerg_nowhere(error.to_string());
            self.problems.push(problem.with_help(help));
        }
        if self
            .problems
            .iter()
            .any(|it| it.severity == Severity::Emerg)
        {
            self.config = None;
        }
        self
    }
}

fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase()
}

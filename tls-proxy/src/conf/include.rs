//! Where the text comes from: the main configuration, `-g`, and every file
//! that `include` names.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pod::small_file::{self, Most};

use super::parse::{MAX_PROBLEMS, TextKind, parse};
use super::templates::Templates;
use super::{Directive, Problem, Severity, Word, glob, standard};

/// Deepest nesting of files. nginx has no bound and crashes on a file that includes itself.
const DEEPEST: usize = 32;

/// Inclusions in all, so that files that include others twice stay finite.
const MAX: usize = 10_000;

/// Largest file, bytes, if there is memory for it; anything larger is not a configuration.
const LARGEST: u64 = 16 << 20;

/// The main configuration.
#[derive(Clone, Debug)]
pub enum Main {
    /// `-c`, or nginx's default path.
    File(PathBuf),
    /// Text built into the program.
    BuiltIn {
        /// What its problems and `-T` call it.
        name: String,
        /// The configuration.
        text: String,
        /// The folder its relative includes begin at.
        folder: PathBuf,
    },
}

/// What [`load`] begins with.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The main configuration.
    pub main: Main,
    /// The text given with `-g`; it is read before the main configuration.
    pub globals: Option<String>,
}

/// A text that was read, each once, in the order of reading.
#[derive(Clone, Debug)]
pub struct LoadedFile {
    /// Its path, or the name of a text that is not a file.
    pub path: Arc<Path>,
    /// Its text; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line, or the program itself.
    Own,
    /// A file, or the built-in text of one that is missing.
    File,
    /// A template that stands for this file.
    Template(PathBuf),
}

impl LoadedFile {
    /// The file that was read, to be watched.
    #[must_use]
    pub fn read(&self) -> Option<&Path> {
        (self.source != Source::Own).then_some(&self.path)
    }

    /// The file that the configuration includes, to be shown by `-T`.
    #[must_use]
    pub fn included(&self) -> Option<&Path> {
        match &self.source {
            Source::Template(file) => Some(file),
            _ => self.read(),
        }
    }
}

/// The result of [`load`].
#[derive(Debug)]
pub struct Loaded {
    /// The directives, with those of included files in place.
    pub tree: Vec<Directive>,
    /// Everything wrong with the text; what a directive means is not checked.
    pub problems: Vec<Problem>,
    /// Every text that was read.
    pub files: Vec<LoadedFile>,
    /// Folders that a pattern was looked up in: a new file there counts as a change.
    pub folders: Vec<PathBuf>,
}

impl Loaded {
    /// Whether a problem so far is an error.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Emerg)
    }
}

/// Parses `entry` and everything it includes, and collects every problem.
#[must_use]
pub fn load(entry: &Entry) -> Loaded {
    load_with(entry, Templates::default(), Duration::MAX)
}

/// [`load`], where templates stand for files, and a pipe is waited for no longer than `patience`.
#[must_use]
pub fn load_with(entry: &Entry, mut templates: Templates, patience: Duration) -> Loaded {
    let folder = match &entry.main {
        Main::File(path) => path.parent().unwrap_or(Path::new("")),
        Main::BuiltIn { folder, .. } => folder,
    };
    // As in nginx, relative to the folder of the main file, whichever file includes.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut files = Files {
        folder,
        problems: std::mem::take(&mut templates.problems),
        files: Vec::new(),
        folders: std::mem::take(&mut templates.folders),
        templates,
        largest: Most::within_memory(LARGEST),
        patience,
        reading: Vec::new(),
        read: 0,
    };
    let mut tree = Vec::new();
    if let Some(text) = &entry.globals {
        tree = files.text(Path::new("command line"), text, TextKind::CommandLine);
    }
    tree.extend(match &entry.main {
        Main::File(path) => files.file(path, None, 0),
        Main::BuiltIn { name, text, .. } => files.text(Path::new(name), text, TextKind::File),
    });
    files.folders.sort();
    files.folders.dedup();
    let Files {
        problems,
        files,
        folders,
        ..
    } = files;
    Loaded {
        tree,
        problems,
        files,
        folders,
    }
}

/// What has been read so far, and its problems.
pub(super) struct Files {
    folder: PathBuf,
    pub(super) problems: Vec<Problem>,
    files: Vec<LoadedFile>,
    folders: Vec<PathBuf>,
    templates: Templates,
    largest: Most,
    patience: Duration,
    /// The file being read, and those that include it.
    reading: Vec<Arc<Path>>,
    read: usize,
}

impl Files {
    /// The directives that stand in place of `include NAME;`.
    pub(super) fn include(&mut self, include: &Directive, depth: usize) -> Vec<Directive> {
        let [name] = include.args.as_slice() else {
            let message = "invalid number of arguments in \"include\" directive";
            let problem = Problem::emerg(&include.name.at, message)
                .with_help("write one file name or pattern: include conf.d/*.conf;")
                .with_help_if(include.missing_semicolon());
            self.problems.push(problem);
            return Vec::new();
        };
        let path = self.folder.join(&name.text);
        let paths = match path.to_str() {
            Some(pattern) if glob::is_pattern(&name.text) => self.find(pattern),
            _ => vec![path],
        };
        let mut found = Vec::new();
        for path in paths {
            if self.problems.len() >= MAX_PROBLEMS {
                break;
            }
            found.extend(self.file(&path, Some(name), depth));
        }
        found
    }

    /// The files that match a pattern, in the order of their names.
    fn find(&mut self, pattern: &str) -> Vec<PathBuf> {
        let mut found = glob::find(pattern, &mut self.folders);
        let before = found.len();
        found.extend(self.templates.matching(pattern));
        if found.len() > before {
            found.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
            found.dedup();
        }
        found
    }

    fn file(&mut self, path: &Path, include: Option<&Word>, depth: usize) -> Vec<Directive> {
        let refused = self.refuse(path);
        let template = self.templates.template(path).map(Path::to_owned);
        let (path, source) = match &template {
            Some(template) => (template.as_path(), Source::Template(path.to_owned())),
            None => (path, Source::File),
        };
        let bytes = match refused.map_or_else(|| self.read(path), Err) {
            Ok(bytes) if template.is_some() => self.templates.expand(&bytes),
            Ok(bytes) => self.templates.amend(path, bytes),
            Err(message) => {
                self.problems.push(match include {
                    Some(name) => Problem::emerg(&name.at, message),
                    None => Problem::emerg_nowhere(message),
                });
                return Vec::new();
            }
        };
        let path = self.remember(path, &bytes, source);
        self.reading.push(path.clone());
        let tree = parse(self, &path, &bytes, TextKind::File, depth);
        self.reading.pop();
        tree
    }

    fn text(&mut self, name: &Path, text: &str, kind: TextKind) -> Vec<Directive> {
        let name = self.remember(name, text.as_bytes(), Source::Own);
        parse(self, &name, text.as_bytes(), kind, 0)
    }

    /// Why `path` must not be read here at all.
    fn refuse(&mut self, path: &Path) -> Option<String> {
        self.read += 1;
        let shown = path.display();
        if self.reading.iter().any(|reading| **reading == *path) {
            return Some(format!("\"{shown}\" includes itself"));
        }
        if self.reading.len() >= DEEPEST {
            return Some(format!(
                "\"{shown}\" is included through more than {DEEPEST} files"
            ));
        }
        (self.read > MAX).then(|| format!("more than {MAX} files are included"))
    }

    /// The bytes of a file, or nginx's words for why not. Files that nginx's image has there are built
    /// in.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        if let (Some(text), Ok(false)) = (standard::included(path), path.try_exists()) {
            return Ok(text.as_bytes().to_vec());
        }
        small_file::read(path, self.largest, self.patience).map_err(|error| {
            let (shown, why) = (path.display(), reason(&error));
            match error.raw_os_error() {
                None => format!("cannot read \"{shown}\": {why}"),
                Some(_) if error.kind() == io::ErrorKind::IsADirectory => {
                    format!("read() \"{shown}\" failed ({why})")
                }
                Some(_) => format!("open() \"{shown}\" failed ({why})"),
            }
        })
    }

    fn remember(&mut self, path: &Path, bytes: &[u8], source: Source) -> Arc<Path> {
        if let Some(known) = self.files.iter().find(|file| *file.path == *path) {
            return known.path.clone();
        }
        let path: Arc<Path> = Arc::from(path);
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.files.push(LoadedFile {
            path: path.clone(),
            text,
            source,
        });
        path
    }
}

/// `2: No such file or directory`, as nginx writes the system's errors.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => {
            let text = text.trim_end_matches(&format!(" (os error {code})"));
            format!("{code}: {text}")
        }
        None => text,
    }
}

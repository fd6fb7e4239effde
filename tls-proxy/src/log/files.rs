//! The files of logs, listed once and opened by each worker.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::syslog::Syslog;

/// A log file of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFileId(pub(crate) usize);

impl LogFileId {
    /// Standard output; always present.
    pub const STDOUT: Self = Self(0);
    /// Standard error; always present.
    pub const STDERR: Self = Self(1);

    /// Its index in `Config::log_files`.
    pub fn index(self) -> usize {
        self.0
    }
}

/// The destination of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file that lines are appended to.
    Path(PathBuf),
    /// A file with compressed blocks.
    Compressed(Compressed),
    /// A server that gets each line as a datagram.
    Syslog(Syslog),
}

/// `access_log FILE FORMAT gzip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// The file.
    pub path: PathBuf,
    /// From 1, fastest, to 9, smallest.
    pub level: u32,
    /// The size of a block before compression, bytes.
    pub size: usize,
    /// How long a line may wait for its block, at most.
    pub flush: Option<Duration>,
}

impl LogFile {
    /// The log file named `path`. As in nginx's image, log files there are links to the
    /// standard streams.
    pub(crate) fn named(path: &Path) -> Self {
        let linked = || Self::standard(&std::fs::read_link(path).ok()?);
        Self::standard(path)
            .or_else(linked)
            .unwrap_or_else(|| Self::Path(path.to_owned()))
    }

    fn standard(path: &Path) -> Option<Self> {
        match path.to_str()? {
            "/dev/stdout" | "/proc/self/fd/1" | "/dev/fd/1" => Some(Self::Stdout),
            "/dev/stderr" | "/proc/self/fd/2" | "/dev/fd/2" => Some(Self::Stderr),
            _ => None,
        }
    }

    /// Its path, if it is a file on disk.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Compressed(compressed) => Some(&compressed.path),
            Self::Stdout | Self::Stderr | Self::Syslog(_) => None,
        }
    }

    /// Opens it for appending.
    ///
    /// # Errors
    /// The error of the operating system; a syslog server is not a file.
    pub fn open(&self) -> io::Result<File> {
        match self {
            // A path under /dev cannot be opened if the descriptor is a socket.
            Self::Stdout => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            Self::Stderr => Ok(io::stderr().as_fd().try_clone_to_owned()?.into()),
            Self::Path(path) => append_to(path),
            Self::Compressed(compressed) => append_to(&compressed.path),
            Self::Syslog(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A log that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("open() \"{name}\" failed ({})", crate::conf::reason(source))]
pub(crate) struct OpenError {
    name: String,
    source: io::Error,
}

impl OpenError {
    pub(crate) fn new(log: &LogFile, source: io::Error) -> Self {
        let name = match log {
            LogFile::Stdout => "/dev/stdout".to_owned(),
            LogFile::Stderr => "/dev/stderr".to_owned(),
            LogFile::Path(path) | LogFile::Compressed(Compressed { path, .. }) => {
                path.display().to_string()
            }
            LogFile::Syslog(_) => "syslog".to_owned(),
        };
        Self { name, source }
    }
}

/// Opens a file for appending; creates it if it does not exist.
pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

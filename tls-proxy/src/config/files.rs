//! The files that logs go to, named once and opened by each worker.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A log file of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFileId(pub(crate) usize);

impl LogFileId {
    /// Standard output; always there.
    pub const STDOUT: Self = Self(0);
    /// Standard error; always there.
    pub const STDERR: Self = Self(1);

    /// Its place in `Config::log_files`.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file that lines are appended to.
    Path(PathBuf),
}

impl LogFile {
    /// The log file a configuration calls `path`.
    pub(crate) fn named(path: &Path) -> Self {
        match path.to_str() {
            Some("/dev/stdout" | "/proc/self/fd/1" | "/dev/fd/1") => Self::Stdout,
            Some("/dev/stderr" | "/proc/self/fd/2" | "/dev/fd/2") => Self::Stderr,
            _ => Self::Path(path.to_owned()),
        }
    }

    /// Opens it for appending.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(&self) -> io::Result<File> {
        match self {
            // A path under /dev would fail where the descriptor is a socket.
            Self::Stdout => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            Self::Stderr => Ok(io::stderr().as_fd().try_clone_to_owned()?.into()),
            // nginx's image links its log files to the standard streams.
            Self::Path(path) => match std::fs::read_link(path).as_deref().map(Self::named) {
                Ok(standard @ (Self::Stdout | Self::Stderr)) => standard.open(),
                _ => OpenOptions::new().append(true).create(true).open(path),
            },
        }
    }
}

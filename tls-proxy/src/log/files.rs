//! The files of logs, listed once and opened by each worker.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;

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
    /// The size of a block before compression.
    pub size: BlockSize,
    /// How long a line may wait for its block, at most.
    pub flush: Option<Duration>,
}

/// What a block may have, bytes: `buffer=`, or less where the memory limit leaves no more.
#[derive(Clone, Debug)]
pub struct BlockSize(Arc<AtomicU64>);

/// That of the same log.
impl PartialEq for BlockSize {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for BlockSize {}

impl BlockSize {
    pub(crate) fn new(allowed: Arc<AtomicU64>) -> Self {
        Self(allowed)
    }

    /// At this time, bytes.
    pub(crate) fn allowed(&self) -> usize {
        usize::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }
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

    /// Opens it for appending, as [`append_to`] does.
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

    /// The same, but writing to a pipe that is full is an error.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn open_nonblocking(&self) -> io::Result<File> {
        self.path().map_or_else(|| self.open(), open_nonblocking)
    }
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("/dev/stdout"),
            Self::Stderr => f.write_str("/dev/stderr"),
            Self::Path(path) | Self::Compressed(Compressed { path, .. }) => {
                write!(f, "{}", path.display())
            }
            Self::Syslog(syslog) => write!(f, "syslog:server={}", syslog.server),
        }
    }
}

/// A log that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("open() \"{name}\" failed ({}){}", crate::conf::reason(source), self.about_pipe())]
pub(crate) struct OpenError {
    name: String,
    source: io::Error,
    /// It is a pipe that nobody has opened for reading.
    pub(crate) is_unread_pipe: bool,
}

impl OpenError {
    pub(crate) fn new(log: &LogFile, source: io::Error) -> Self {
        let name = log.to_string();
        let is_pipe = || log.path().is_some_and(pod::small_file::is_pipe);
        Self {
            name,
            is_unread_pipe: source.raw_os_error() == Some(Errno::NXIO.raw_os_error()) && is_pipe(),
            source,
        }
    }

    fn about_pipe(&self) -> &'static str {
        match self.is_unread_pipe {
            true => ": nobody reads this pipe",
            false => "",
        }
    }
}

/// Opens a file for appending; creates it if it does not exist. A pipe that nobody reads is an
/// error (`ENXIO`): waiting for its reader, as nginx does, would keep the main thread from
/// signals. Later a full pipe is waited for, so that a slow reader gets every line.
pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    let file = open_nonblocking(path)?;
    fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

fn open_nonblocking(path: &Path) -> io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.append(true).create(true).custom_flags(nonblocking);
    options.open(path)
}

/// Opens a pipe in place of its reader, and reads nothing: until this file is closed,
/// [`append_to`] can open it.
pub(crate) fn stand_in_for_reader(pipe: &Path) -> io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    // Also for writing: then opening does not fail or wait (fifo(7)).
    options.read(true).write(true).custom_flags(nonblocking);
    options.open(pipe)
}

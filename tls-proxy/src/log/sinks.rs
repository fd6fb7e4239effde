//! A worker's log files: lines are gathered while it works and written when
//! it comes to rest, with one system call for many lines.
//!
//! The main thread opens them, for every worker, before any worker is told: who
//! opens a file can still say no to the whole.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::files::{Compressed, LogFile, LogFileId, OpenError};
use super::syslog::SyslogSender;
use crate::log::level::Level;

/// Lines are written at once when this many bytes wait.
const WRITE_AT: usize = 16 * 1024;
/// More than this is dropped where nobody takes the lines.
const MOST: usize = 1024 * 1024;

/// The open log files of one worker.
#[derive(Debug)]
pub(crate) struct Logs {
    sinks: RefCell<Vec<Sink>>,
    /// Memory for one value and for one line.
    scratch: RefCell<(Vec<u8>, Vec<u8>)>,
    /// There are lines to write, or there will be none any more.
    waiting: Arc<Notify>,
}

#[derive(Debug)]
struct Sink {
    to: To,
    lines: Vec<u8>,
    /// When the oldest line is to be written at the latest.
    due: Option<Instant>,
}

#[derive(Debug)]
enum To {
    File(File),
    Compressed(File, Compressed),
    Syslog(SyslogSender),
}

impl Logs {
    /// Opens every file.
    ///
    /// # Errors
    /// The first one that cannot be opened.
    pub(crate) fn open(files: &[LogFile]) -> Result<Self, OpenError> {
        let sinks: Result<_, _> = files.iter().map(Sink::open).collect();
        Ok(Self {
            sinks: RefCell::new(sinks?),
            scratch: RefCell::default(),
            waiting: Arc::default(),
        })
    }

    /// Adds what `write` appends; its first argument is memory it may use.
    /// `level` is that of an error.
    pub(crate) fn append(
        &self,
        id: LogFileId,
        level: Option<Level>,
        write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>),
    ) {
        // Nothing is borrowed while a value is computed: it may have an error
        // to log.
        let (mut value, mut line) = self.scratch.take();
        line.clear();
        write(&mut value, &mut line);
        let mut sinks = self.sinks.borrow_mut();
        let Some(sink) = sinks.get_mut(id.0) else {
            return;
        };
        if sink.lines.is_empty() {
            sink.due = sink.patience().map(|patience| Instant::now() + patience);
            self.waiting.notify_one();
        }
        sink.lines.extend_from_slice(&line);
        self.scratch.replace((value, line));
        match &sink.to {
            To::Syslog(sender) => {
                sender.send(level, &sink.lines);
                sink.lines.clear();
            }
            To::File(_) if sink.lines.len() >= WRITE_AT => sink.write(),
            To::Compressed(_, how) if sink.lines.len() >= how.size => sink.write(),
            To::File(_) | To::Compressed(..) => {}
        }
    }

    /// Told when there are lines to write.
    pub(crate) fn waiting(&self) -> Arc<Notify> {
        self.waiting.clone()
    }

    /// When the next lines are to be written at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.sinks.borrow().iter().filter_map(|it| it.due).min()
    }

    /// Writes the lines whose time has come; most are written as soon as the
    /// worker comes to rest.
    pub(crate) fn write_due(&self) {
        let now = Instant::now();
        for sink in self.sinks.borrow_mut().iter_mut() {
            let waits = matches!(sink.to, To::Compressed(..));
            if !waits || sink.due.is_some_and(|due| due <= now) {
                sink.write();
            }
        }
    }

    /// Writes what waits.
    pub(crate) fn flush(&self) {
        for sink in self.sinks.borrow_mut().iter_mut() {
            sink.write();
        }
    }

    /// Writes what waits to the old files, and all that follows to those in
    /// `reopened`.
    pub(crate) fn replace(&self, reopened: Reopened) {
        for (sink, to) in self.sinks.borrow_mut().iter_mut().zip(reopened.0) {
            if let Some(to) = to {
                sink.write();
                sink.to = to;
            }
        }
    }
}

/// The files of [`Logs`], opened again after a rotation (USR1). None stands for
/// one that could not be: as in nginx, its lines go on to the old file.
#[derive(Debug)]
pub(crate) struct Reopened(Vec<Option<To>>);

impl Reopened {
    /// Opens each of `files` for every one of `workers`, or for none.
    pub(crate) fn open(files: &[LogFile], workers: usize) -> Vec<Self> {
        let mut all: Vec<_> = (0..workers).map(|_| Self(Vec::new())).collect();
        for file in files {
            let opened: Result<Vec<_>, _> = all.iter().map(|_| To::open(file)).collect();
            let opened: Vec<_> = match opened {
                Ok(opened) => opened.into_iter().map(Some).collect(),
                Err(error) => {
                    tracing::error!("{error}; the file that was open before is written to");
                    all.iter().map(|_| None).collect()
                }
            };
            for (own, to) in all.iter_mut().zip(opened) {
                own.0.push(to);
            }
        }
        all
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.flush();
        self.waiting.notify_one();
    }
}

impl To {
    fn open(name: &LogFile) -> Result<Self, OpenError> {
        let opened = match name {
            LogFile::Syslog(syslog) => syslog.open().map(Self::Syslog),
            LogFile::Compressed(how) => name.open().map(|it| Self::Compressed(it, how.clone())),
            _ => name.open().map(Self::File),
        };
        opened.map_err(|source| OpenError::new(name, source))
    }
}

impl Sink {
    fn open(name: &LogFile) -> Result<Self, OpenError> {
        Ok(Self {
            to: To::open(name)?,
            lines: Vec::new(),
            due: None,
        })
    }

    /// How long a line may wait for its piece.
    fn patience(&self) -> Option<std::time::Duration> {
        match &self.to {
            To::Compressed(_, how) => how.flush,
            To::File(_) | To::Syslog(_) => None,
        }
    }

    fn write(&mut self) {
        self.due = None;
        let file = match &mut self.to {
            To::File(file) => file,
            To::Compressed(file, how) => {
                // There is nowhere to say that this failed.
                let _ = write_compressed(file, how.level, &self.lines);
                self.lines.clear();
                return;
            }
            To::Syslog(_) => return,
        };
        let mut written = 0;
        while written < self.lines.len() {
            match file.write(&self.lines[written..]) {
                Ok(0) => break,
                Ok(size) => written += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A full pipe that does not block: the lines wait for the next
                // time, up to a bound.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody reads, or the disk is full: there is nowhere to say so.
                Err(_) => written = self.lines.len(),
            }
        }
        self.lines.drain(..written);
        if self.lines.len() > MOST {
            self.lines.clear();
        }
        if self.lines.capacity() > 2 * WRITE_AT {
            self.lines.shrink_to(WRITE_AT);
        }
    }
}

/// One member of a gzip file (RFC 1952, section 2.2).
fn write_compressed(file: &mut File, level: u32, lines: &[u8]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(lines)?;
    file.write_all(&encoder.finish()?)
}

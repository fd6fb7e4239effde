//! The open log files of a worker: lines are collected while it works and written when it
//! is idle, many lines with one system call.
//!
//! The main thread opens them for every worker before any worker is notified, so that an
//! error can still cancel a reload.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::files::{Compressed, LogFile, LogFileId, OpenError};
use super::losses::Losses;
use super::syslog::SyslogSender;
use crate::log::level::Level;

/// Lines are written at once when there are this many bytes.
const WRITE_AT: usize = 16 * 1024;
/// More than this is dropped if lines cannot be written, bytes.
const MAX: usize = 1024 * 1024;

/// The open log files of one worker.
#[derive(Debug)]
pub(crate) struct Logs {
    sinks: RefCell<Vec<Sink>>,
    /// Buffers for one value and for one line.
    scratch: RefCell<(Vec<u8>, Vec<u8>)>,
    /// Lines are waiting, or the files are closed.
    waiting: Arc<Notify>,
}

#[derive(Debug)]
struct Sink {
    to: To,
    lines: Vec<u8>,
    /// The latest time to write the oldest line.
    due: Option<Instant>,
    losses: Losses,
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
    /// The first file that cannot be opened.
    pub(crate) fn open(files: &[LogFile]) -> Result<Self, OpenError> {
        let sinks: Result<_, _> = files.iter().map(Sink::open).collect();
        Ok(Self {
            sinks: RefCell::new(sinks?),
            scratch: RefCell::default(),
            waiting: Arc::default(),
        })
    }

    /// Adds the output of `write`, whose first argument is a scratch buffer. `level` is set
    /// for error logs.
    pub(crate) fn append(
        &self,
        id: LogFileId,
        level: Option<Level>,
        write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>),
    ) {
        // Nothing is borrowed while a value is computed, which may log an error.
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
                if let Err(reason) = sender.send(level, &sink.lines) {
                    sink.losses.add(1, reason);
                }
                sink.lines.clear();
            }
            To::File(_) if sink.lines.len() >= WRITE_AT => sink.write(),
            To::Compressed(_, how) if sink.lines.len() >= how.size => sink.write(),
            To::File(_) | To::Compressed(..) => {}
        }
    }

    /// Notified when there are lines to write.
    pub(crate) fn waiting(&self) -> Arc<Notify> {
        self.waiting.clone()
    }

    /// The latest time to write the next lines, or to say that some are lost.
    pub(crate) fn due(&self) -> Option<Instant> {
        let sinks = self.sinks.borrow();
        let all = sinks.iter().flat_map(|it| [it.due, it.losses.due()]);
        all.flatten().min()
    }

    /// Writes the lines that are due; most are written as soon as the worker is idle.
    pub(crate) fn write_due(&self) {
        let now = Instant::now();
        for sink in self.sinks.borrow_mut().iter_mut() {
            let waits = matches!(sink.to, To::Compressed(..));
            if !waits || sink.due.is_some_and(|due| due <= now) {
                sink.write();
            }
            sink.losses.say_due();
        }
    }

    /// Writes all waiting lines.
    pub(crate) fn flush(&self) {
        for sink in self.sinks.borrow_mut().iter_mut() {
            sink.write();
        }
    }

    /// Writes waiting lines to the old files, and later ones to `reopened`.
    pub(crate) fn replace(&self, reopened: Reopened) {
        for (sink, to) in self.sinks.borrow_mut().iter_mut().zip(reopened.0) {
            if let Some(to) = to {
                sink.write();
                sink.to = to;
            }
        }
    }
}

/// The files of [`Logs`], reopened after a rotation (USR1). `None` for a file that cannot
/// be opened: as in nginx, its lines continue to go to the old file.
#[derive(Debug)]
pub(crate) struct Reopened(Vec<Option<To>>);

impl Reopened {
    /// Reopens each of `files` for all `workers`, or for none.
    pub(crate) fn open(files: &[LogFile], workers: usize) -> Vec<Self> {
        let mut all: Vec<_> = (0..workers).map(|_| Self(Vec::new())).collect();
        for file in files {
            let opened: Result<Vec<_>, _> = all.iter().map(|_| To::open(file)).collect();
            let opened: Vec<_> = match opened {
                Ok(opened) => opened.into_iter().map(Some).collect(),
                Err(error) => {
                    tracing::error!("{error}; continuing to write to the old file");
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
            losses: Losses::new(format!("\"{name}\"")),
        })
    }

    /// How long a line may wait for its block.
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
                let written = write_compressed(file, how.level, &self.lines);
                if let Err(reason) = written {
                    self.losses.add(count(&self.lines), reason);
                }
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
                // A non-blocking pipe is full: the lines wait for the next time, up to a
                // limit.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // There is no reader, or the disk is full.
                Err(reason) => {
                    self.losses.add(count(&self.lines[written..]), reason);
                    written = self.lines.len();
                }
            }
        }
        self.lines.drain(..written);
        if self.lines.len() > MAX {
            let reason = io::ErrorKind::WouldBlock.into();
            self.losses.add(count(&self.lines), reason);
            self.lines.clear();
        }
        if self.lines.capacity() > 2 * WRITE_AT {
            self.lines.shrink_to(WRITE_AT);
        }
    }
}

/// The number of lines.
fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
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

//! A worker's log files: lines are gathered while it works and written when
//! it comes to rest, with one system call for many lines.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::files::{Compressed, LogFile, LogFileId};
use crate::error_log::Level;
use crate::modules::syslog::Sender;

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
    Syslog(Sender),
}

impl Logs {
    /// Opens every file.
    pub(crate) fn open(files: &[LogFile]) -> io::Result<Self> {
        Ok(Self {
            sinks: RefCell::new(open_all(files)?),
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
    pub(super) fn waiting(&self) -> Arc<Notify> {
        self.waiting.clone()
    }

    /// When the next lines are to be written at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        self.sinks.borrow().iter().filter_map(|it| it.due).min()
    }

    /// Writes the lines whose time has come; most are written as soon as the
    /// worker comes to rest.
    pub(super) fn write_due(&self) {
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

    /// Opens the files anew, after a rotation (USR1).
    pub(crate) fn reopen(&self, files: &[LogFile]) -> io::Result<()> {
        let fresh = open_all(files)?;
        self.flush();
        *self.sinks.borrow_mut() = fresh;
        Ok(())
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.flush();
        self.waiting.notify_one();
    }
}

fn open_all(files: &[LogFile]) -> io::Result<Vec<Sink>> {
    files
        .iter()
        .map(|name| {
            let to = match name {
                LogFile::Syslog(syslog) => To::Syslog(syslog.open()?),
                LogFile::Compressed(how) => To::Compressed(name.open()?, how.clone()),
                _ => To::File(name.open()?),
            };
            Ok(Sink {
                to,
                lines: Vec::new(),
                due: None,
            })
        })
        .collect()
}

impl Sink {
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

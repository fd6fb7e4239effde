//! The open log files of a worker: lines are collected while it works and written when it
//! is idle, many lines with one system call.
//!
//! The main thread opens them for every worker before any worker is notified, so that an
//! error can still cancel a reload.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::files::{LogFile, LogFileId, OpenError};
use super::sink::{Sink, To, WRITE_AT};
use super::syslog;
use crate::log::level::Level;

/// Scratch buffers that are larger are freed, bytes.
const KEPT: usize = 16 * 1024;

/// What a log can have of a long line, and what the line takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineBounds {
    /// Bytes of the line that are of use, at most.
    pub(crate) longest: usize,
    /// How often the line is in memory while it is written, at most.
    pub(crate) copies: u64,
}

impl LineBounds {
    /// Those of a log that is written to at once.
    pub(crate) const WHOLE: Self = Self {
        longest: usize::MAX,
        copies: 1,
    };
}

/// The open log files of one worker.
#[derive(Debug)]
pub(crate) struct Logs {
    sinks: RefCell<Vec<Sink>>,
    /// Buffers for one value and for one line.
    scratch: RefCell<(Vec<u8>, Vec<u8>)>,
    /// Lines are waiting, or the files are closed.
    waiting: Arc<Notify>,
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
        if let To::Syslog(sender) = &sink.to {
            if let Err(reason) = sender.send(level, &line) {
                sink.losses.add(1, reason);
            }
        } else if line.len() > WRITE_AT {
            sink.add_long(std::mem::take(&mut line));
        } else {
            sink.add(&line);
        }
        if value.capacity() <= KEPT && line.capacity() <= KEPT {
            self.scratch.replace((value, line));
        }
        match &sink.to {
            To::File(_) if sink.lines.len() >= WRITE_AT => sink.write(),
            To::Compressed(_, how, _) if sink.lines.len() >= how.size.allowed() => sink.write(),
            To::File(_) | To::Compressed(..) | To::Syslog(_) => {}
        }
    }

    /// Those of a long line of this log.
    pub(crate) fn bounds(&self, id: LogFileId) -> LineBounds {
        let sinks = self.sinks.borrow();
        match sinks.get(id.0).map(|sink| &sink.to) {
            Some(To::Syslog(_)) => LineBounds {
                longest: syslog::LARGEST,
                copies: 2,
            },
            // Compressed, it is hardly larger; the buffer for that doubles.
            Some(To::Compressed(..)) => LineBounds {
                copies: 4,
                ..LineBounds::WHOLE
            },
            Some(To::File(_)) | None => LineBounds::WHOLE,
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
                sink.turn_to(to);
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
        for sink in self.sinks.borrow_mut().iter_mut() {
            sink.lose(0, io::ErrorKind::WouldBlock.into());
            sink.lose_rest("only a part was written");
        }
        self.waiting.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_long_line_is_returned() {
        let name = format!("sinks-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let files = [LogFile::Stdout, LogFile::Path(path.clone())];
        let logs = Logs::open(&files).expect("files");
        for size in [100, 20_000, 3 << 20, 15_000, 100] {
            logs.append(LogFileId(1), None, |value, line| {
                value.resize(size, b'a');
                line.resize(size - 1, b'a');
                line.push(b'\n');
            });
            let (value, line) = &*logs.scratch.borrow();
            let kept = value.capacity() + line.capacity();
            let sink = &logs.sinks.borrow()[1];
            assert!(kept + sink.lines.capacity() <= 6 * KEPT, "{size}: {kept}");
        }
        logs.flush();
        let size = std::fs::metadata(&path).expect("there").len();
        assert_eq!(size, 100 + 20_000 + (3 << 20) + 15_000 + 100);
        std::fs::remove_file(&path).expect("there");
    }
}

//! A worker's log files: lines are gathered while it works and written when
//! it comes to rest, with one system call for many lines.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write as _};

use tokio::sync::Notify;

use crate::config::files::{LogFile, LogFileId};

/// Lines are written at once when this many bytes wait.
const WRITE_AT: usize = 16 * 1024;
/// More than this is dropped where nobody takes the lines.
const MOST: usize = 1024 * 1024;

/// The open log files of one worker.
#[derive(Debug)]
pub(crate) struct Logs {
    sinks: RefCell<Vec<Sink>>,
    scratch: RefCell<Vec<u8>>,
    waiting: Notify,
}

#[derive(Debug)]
struct Sink {
    file: File,
    lines: Vec<u8>,
}

impl Logs {
    /// Opens every file.
    pub(crate) fn open(files: &[LogFile]) -> io::Result<Self> {
        Ok(Self {
            sinks: RefCell::new(open_all(files)?),
            scratch: RefCell::new(Vec::new()),
            waiting: Notify::new(),
        })
    }

    /// Adds what `write` appends; its first argument is memory it may use.
    pub(crate) fn append(&self, id: LogFileId, write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) {
        let mut sinks = self.sinks.borrow_mut();
        let Some(sink) = sinks.get_mut(id.0) else {
            return;
        };
        if sink.lines.is_empty() {
            self.waiting.notify_one();
        }
        write(&mut self.scratch.borrow_mut(), &mut sink.lines);
        if sink.lines.len() >= WRITE_AT {
            sink.write();
        }
    }

    /// Writes lines whenever there are some; runs as a task of the worker, so
    /// it comes after the requests that are ready now.
    pub(crate) async fn run(&self) {
        loop {
            self.waiting.notified().await;
            self.flush();
        }
    }

    /// Writes what waits.
    pub(crate) fn flush(&self) {
        for sink in self.sinks.borrow_mut().iter_mut() {
            sink.write();
        }
    }

    /// Opens the files anew, after a rotation (USR1) or for a new
    /// configuration.
    pub(crate) fn reopen(&self, files: &[LogFile]) -> io::Result<()> {
        let fresh = open_all(files)?;
        self.flush();
        *self.sinks.borrow_mut() = fresh;
        Ok(())
    }
}

fn open_all(files: &[LogFile]) -> io::Result<Vec<Sink>> {
    files
        .iter()
        .map(|name| {
            Ok(Sink {
                file: name.open()?,
                lines: Vec::new(),
            })
        })
        .collect()
}

impl Sink {
    fn write(&mut self) {
        let mut written = 0;
        while written < self.lines.len() {
            match self.file.write(&self.lines[written..]) {
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

//! Log lines of the process itself: writes `tracing` events to `error_log`, formatted by
//! `form`.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::files::LogFile;
use super::form::{ErrorLogLine, Form};
use super::losses;
use crate::log::level::Level;
use crate::time::clock::Stamp;

/// Writes events to the main `error_log`.
#[derive(Debug)]
pub struct Diagnostics {
    files: Vec<(LogFile, Level)>,
    form: Form,
}

impl Diagnostics {
    /// Writes events to each of the files, from its level on.
    pub fn install(files: Vec<(LogFile, Level)>, form: Form) {
        // Set once, by main; in tests a second call has no effect.
        let _ = tracing::subscriber::set_global_default(Self { files, form });
    }
}

/// A line about the process itself, with its line end.
#[must_use]
pub fn line(form: Form, level: Level, message: &str) -> String {
    let line = ErrorLogLine {
        level,
        worker: 0,
        connection: None,
        message: &message,
        facts: &[],
    };
    line.written(form, &Stamp::now())
}

fn severity(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Notice,
        tracing::Level::DEBUG => Level::Info,
        tracing::Level::TRACE => Level::Debug,
    }
}

impl Subscriber for Diagnostics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
            && self
                .files
                .iter()
                .any(|(_, least)| severity(metadata.level()) >= *least)
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let level = severity(event.metadata().level());
        let line = line(self.form, level, &message.0);
        for (file, _) in self.files.iter().filter(|(_, least)| level >= *least) {
            let written = match file {
                LogFile::Syslog(syslog) => syslog
                    .open()
                    .and_then(|sender| sender.send(Some(level), line.as_bytes())),
                // The main thread must not wait for the reader of a pipe.
                file => file
                    .open_nonblocking()
                    .and_then(|mut file| file.write_all(line.as_bytes())),
            };
            if written.is_err() {
                // There is nowhere else to say why.
                losses::count(1);
            }
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to memory cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

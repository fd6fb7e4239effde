//! `error_log`: what went wrong, from which severity on, and where it is
//! written. How a line looks is `log_form`'s part.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use crate::conf::{Directive, Problem};
use crate::config::draft::Draft;
use crate::config::files::LogFileId;
use crate::log_form::Line;
use crate::modules::arguments;
use crate::server::connection::Connection;
use crate::server::current::Current;
use crate::server::request::Request;

/// nginx's severities, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not written by this program.
    Debug,
    /// What a client does wrong.
    Info,
    /// The course of the process.
    Notice,
    /// Something to look at.
    Warn,
    /// A request could not be served.
    Error,
    /// TLS or resources fail.
    Crit,
    /// A defect.
    Alert,
    /// The process cannot go on.
    Emerg,
}

/// The parts of nginx that can be debugged alone.
const DEBUG: [&str; 7] = [
    "debug_core",
    "debug_alloc",
    "debug_mutex",
    "debug_event",
    "debug_http",
    "debug_mail",
    "debug_stream",
];

const NAMES: [(&str, Level); 8] = [
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("notice", Level::Notice),
    ("warn", Level::Warn),
    ("error", Level::Error),
    ("crit", Level::Crit),
    ("alert", Level::Alert),
    ("emerg", Level::Emerg),
];

impl Level {
    /// nginx's word for it.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, level)| *level == self)
            .map_or("", |(name, _)| name)
    }
}

/// One `error_log` line.
#[derive(Clone, Debug)]
pub struct ErrorLog {
    /// Where to.
    pub file: LogFileId,
    /// From this severity on.
    pub level: Level,
}

/// The `error_log` lines of a block; each gets what is severe enough for it.
#[derive(Clone, Debug)]
pub struct ErrorLogs(Arc<[ErrorLog]>);

impl Default for ErrorLogs {
    fn default() -> Self {
        Self::to(LogFileId::STDERR)
    }
}

impl ErrorLogs {
    /// Errors go to one file.
    pub(crate) fn to(file: LogFileId) -> Self {
        let level = Level::Error;
        Self(Arc::new([ErrorLog { file, level }]))
    }

    /// Every line.
    pub fn iter(&self) -> impl Iterator<Item = &ErrorLog> {
        self.0.iter()
    }

    /// Adds `error_log FILE [LEVEL]`; the first one in a block begins anew.
    pub(crate) fn add(
        &mut self,
        first_here: bool,
        directive: &Directive,
        draft: &mut Draft,
    ) -> Result<(), Problem> {
        let log = ErrorLog::parse(directive, draft)?;
        let inherited = if first_here { &[] } else { &self.0[..] };
        self.0 = inherited.iter().cloned().chain([log]).collect();
        Ok(())
    }

    /// Whether anybody wants to know of it.
    fn want(&self, level: Level) -> bool {
        self.0.iter().any(|log| level >= log.level)
    }
}

impl ErrorLog {
    fn parse(directive: &Directive, draft: &mut Draft) -> Result<Self, Problem> {
        let file = draft.log_file(arguments::first(directive))?;
        let mut level = None;
        for word in directive.args.iter().skip(1) {
            let found = NAMES.iter().find(|(name, _)| *name == word.text);
            let debug = DEBUG.contains(&word.text.as_str());
            let own = match found {
                Some((_, own)) => *own,
                None if debug => Level::Debug,
                None => {
                    let message = format!("invalid log level \"{}\"", word.text);
                    return Err(Problem::emerg(&word.at, message));
                }
            };
            if level.replace(own).is_some_and(|_| !debug) {
                let message = format!("duplicate log level \"{}\"", word.text);
                return Err(Problem::emerg(&word.at, message));
            }
        }
        let level = level.unwrap_or(Level::Error);
        Ok(Self { file, level })
    }
}

/// Writes a line about a connection that has no request yet.
pub(crate) fn connection(connection: &Connection, level: Level, what: impl Display) {
    tell_of_connection(connection, level, &what);
}

fn tell_of_connection(connection: &Connection, level: Level, what: &dyn Display) {
    let standing = connection.standing();
    let logs = &standing.settings().core.error_log;
    if !logs.want(level) {
        return;
    }
    let place = standing.listen();
    let facts = [
        ("client", connection.peer.ip().to_string()),
        ("server", place.listen.address.to_string()),
    ];
    let what = what.to_string();
    line(connection, &standing.config, logs, level, &what, &facts);
}

/// Writes a line about a request.
pub(crate) fn request(request: &Request, level: Level, what: impl Display) {
    tell_of_request(request, level, &what);
}

// One copy, whatever there is to say.
fn tell_of_request(request: &Request, level: Level, what: &dyn Display) {
    let log = &request.settings().core.error_log;
    if !log.want(level) {
        return;
    }
    let server = request.config.server(request.server);
    let mut facts = vec![
        ("client", request.peer.ip().to_string()),
        ("server", server.name.clone()),
        ("request", shown(&request.head.line)),
    ];
    if let (Some(attempt), Some(to)) = (request.attempts.last(), &request.proxy) {
        let target = shown(&request.head.target);
        let peer: &dyn Display = if attempt.is_another_round() {
            &to.host
        } else {
            &attempt.peer
        };
        let scheme = to.scheme.prefix();
        facts.push(("upstream", format!("{scheme}{peer}{target}")));
    }
    if let Some(host) = request.head.fields.first(b"host") {
        facts.push(("host", shown(host)));
    }
    let (connection, config) = (&request.connection, &request.config);
    line(connection, config, log, level, &what.to_string(), &facts);
}

fn line(
    connection: &Connection,
    config: &Current,
    logs: &ErrorLogs,
    level: Level,
    message: &str,
    facts: &[(&'static str, String)],
) {
    let worker = &connection.worker;
    let line = Line {
        level,
        worker: worker.number,
        connection: Some(connection.number),
        message,
        facts,
    };
    let text = line.written(config.form, &worker.clock.now());
    for log in logs.iter().filter(|log| level >= log.level) {
        config.logs().append(log.file, Some(level), |_, out| {
            out.extend_from_slice(text.as_bytes());
        });
    }
}

/// A client's words, fit for a line of their own.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            _ => out.push(char::from(*byte)),
        }
    }
    out
}

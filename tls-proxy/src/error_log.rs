//! `error_log`: what went wrong, from which severity on, and where it is
//! written. The lines have nginx's form.

use std::fmt::{Display, Write as _};

use crate::conf::{Directive, Problem};
use crate::config::draft::Draft;
use crate::config::files::LogFileId;
use crate::modules::arguments;
use crate::server::connection::Connection;
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

impl Default for ErrorLog {
    fn default() -> Self {
        Self {
            file: LogFileId::STDERR,
            level: Level::Error,
        }
    }
}

impl ErrorLog {
    /// Reads `error_log FILE [LEVEL]`.
    pub(crate) fn parse(directive: &Directive, draft: &mut Draft) -> Result<Self, Problem> {
        let file = draft.log_file(arguments::first(directive))?;
        let level = match directive.args.get(1) {
            None => Level::Error,
            Some(word) => {
                let found = NAMES.iter().find(|(name, _)| *name == word.text);
                let unknown = || format!("invalid log level \"{}\"", word.text);
                found.ok_or_else(|| Problem::emerg(&word.at, unknown()))?.1
            }
        };
        Ok(Self { file, level })
    }
}

/// Writes a line about a connection that has no request yet.
pub(crate) fn connection(connection: &Connection, level: Level, what: impl Display) {
    let settings = connection.default_settings();
    if level < settings.core.error_log.level {
        return;
    }
    let place = connection.listen();
    line(connection, &settings.core.error_log, level, |text| {
        write!(
            text,
            "{what}, client: {}, server: {}",
            connection.peer.ip(),
            place.listen.address
        )
    });
}

/// Writes a line about a request.
pub(crate) fn request(request: &Request, level: Level, what: impl Display) {
    let log = &request.settings().core.error_log;
    if level < log.level {
        return;
    }
    let connection = &request.connection;
    line(connection, log, level, |text| {
        let server = request.config.server(request.server);
        let line = shown(&request.head.line);
        write!(
            text,
            "{what}, client: {}, server: {}",
            request.peer.ip(),
            server.name
        )?;
        write!(text, ", request: \"{line}\"")?;
        if let (Some(attempt), Some(to)) = (request.attempts.last(), &request.proxy) {
            let target = shown(&request.head.target);
            let peer = if attempt.peer.is_empty() {
                &to.host
            } else {
                &attempt.peer
            };
            let scheme = to.scheme.prefix();
            write!(text, ", upstream: \"{scheme}{peer}{target}\"")?;
        }
        match request.head.fields.first(b"host") {
            Some(host) => write!(text, ", host: \"{}\"", shown(host)),
            None => Ok(()),
        }
    });
}

fn line(
    connection: &Connection,
    log: &ErrorLog,
    level: Level,
    tell: impl FnOnce(&mut String) -> std::fmt::Result,
) {
    let worker = &connection.worker;
    let mut text = String::with_capacity(256);
    let (pid, number) = (std::process::id(), connection.number);
    let now = worker.clock.now();
    // Writing into memory does not fail.
    let _ = write!(
        text,
        "{} [{}] {pid}#{}: *{number} ",
        now.error_log,
        level.name(),
        worker.number
    )
    .and_then(|()| tell(&mut text));
    text.push('\n');
    worker
        .logs
        .append(log.file, |_, out| out.extend_from_slice(text.as_bytes()));
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

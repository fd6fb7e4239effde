//! Lines of the error log about a request or its connection.

use std::fmt::Display;

use super::Request;
use super::connection::Connection;
use super::live_config::ConfigHandle;
use crate::log::error_logs::ErrorLogs;
use crate::log::form::ErrorLogLine;
use crate::log::level::{Level, shown};

/// Writes a line about a connection that has no request yet.
pub(crate) fn connection(connection: &Connection, level: Level, what: impl Display) {
    log_connection(connection, level, &what);
}

fn log_connection(connection: &Connection, level: Level, what: &dyn Display) {
    let conn_config = connection.conn_config();
    let logs = &conn_config.settings().core.error_log;
    if !logs.want(level) {
        return;
    }
    let place = conn_config.listen();
    let facts = [
        ("client", connection.peer.ip().to_string()),
        ("server", place.listen.address.to_string()),
    ];
    line(connection, &conn_config.config, logs, level, what, &facts);
}

/// Most lines that one response may cause by the fields that are wrong in it.
pub(crate) const LINES_OF_FIELDS: usize = 10;

/// Whether a line about a request would be written: for callers with many of them.
pub(crate) fn wants(request: &Request, level: Level) -> bool {
    request.settings().core.error_log.want(level)
}

/// Writes a line about a request.
pub(crate) fn request(request: &Request, level: Level, what: impl Display) {
    log_request(request, level, &what);
}

// Not generic, so that it is compiled once.
fn log_request(request: &Request, level: Level, what: &dyn Display) {
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
    line(connection, config, log, level, what, &facts);
}

fn line(
    connection: &Connection,
    config: &ConfigHandle,
    logs: &ErrorLogs,
    level: Level,
    message: &dyn Display,
    facts: &[(&'static str, String)],
) {
    let worker = &connection.worker;
    let line = ErrorLogLine {
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

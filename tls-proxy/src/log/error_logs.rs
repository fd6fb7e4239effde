//! The files that get a line of the error log, by severity.

use std::sync::Arc;

use super::files::LogFileId;
use super::level::Level;

/// One `error_log` line.
#[derive(Clone, Debug)]
pub struct ErrorLog {
    /// The file.
    pub file: LogFileId,
    /// The lowest severity.
    pub level: Level,
}

/// The `error_log` directives of a block; each gets the lines of its severity.
#[derive(Clone, Debug)]
pub struct ErrorLogs(Arc<[ErrorLog]>);

impl Default for ErrorLogs {
    fn default() -> Self {
        Self::to(LogFileId::STDERR)
    }
}

impl ErrorLogs {
    /// One file for errors.
    pub(crate) fn to(file: LogFileId) -> Self {
        let level = Level::Error;
        Self(Arc::new([ErrorLog { file, level }]))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ErrorLog> {
        self.0.iter()
    }

    /// Adds one; the first one in a block replaces the inherited ones.
    pub(crate) fn add(&mut self, first_here: bool, log: ErrorLog) {
        let inherited = if first_here { &[] } else { &self.0[..] };
        self.0 = inherited.iter().cloned().chain([log]).collect();
    }

    /// Whether a line of this severity is written to any of them.
    pub(crate) fn want(&self, level: Level) -> bool {
        self.0.iter().any(|log| level >= log.level)
    }
}

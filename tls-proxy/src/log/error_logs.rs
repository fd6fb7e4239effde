//! Which files get a line about what went wrong, from which severity on.

use std::sync::Arc;

use super::files::LogFileId;
use super::level::Level;

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

    /// Adds one; the first one in a block begins anew.
    pub(crate) fn add(&mut self, first_here: bool, log: ErrorLog) {
        let inherited = if first_here { &[] } else { &self.0[..] };
        self.0 = inherited.iter().cloned().chain([log]).collect();
    }

    /// Whether anybody wants to know of it.
    pub(crate) fn want(&self, level: Level) -> bool {
        self.0.iter().any(|log| level >= log.level)
    }
}

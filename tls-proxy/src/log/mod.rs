//! Logs: files, standard streams and syslog, and the format of their lines.

pub mod diagnostics;
pub(crate) mod error_logs;
pub(crate) mod files;
pub mod form;
pub mod level;
pub(crate) mod losses;
mod sink;
pub(crate) mod sinks;
pub(crate) mod syslog;

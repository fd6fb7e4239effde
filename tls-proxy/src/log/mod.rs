//! Where lines go: files, standard streams, syslog; and the form they have.

pub mod diagnostics;
pub(crate) mod error_logs;
pub(crate) mod files;
pub mod form;
pub mod level;
pub(crate) mod sinks;
pub(crate) mod syslog;

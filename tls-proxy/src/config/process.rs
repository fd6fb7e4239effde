//! Settings of the process, not of requests (`main` and `events`).

use std::path::PathBuf;
use std::time::Duration;

use crate::log::error_logs::ErrorLogs;

/// The settings of the process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `worker_processes`; `None` follows the cgroup's CPU quota.
    pub workers: Option<usize>,
    /// `worker_connections`, of each worker; `None` follows the cgroup's
    /// memory limit.
    pub connections: Option<usize>,
    /// `worker_shutdown_timeout`.
    pub shutdown_timeout: Option<Duration>,
    /// `pid`.
    pub pid: PathBuf,
    /// `error_log` of the main context.
    pub error_log: ErrorLogs,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: None,
            connections: None,
            shutdown_timeout: None,
            pid: PathBuf::from("/run/nginx.pid"),
            error_log: ErrorLogs::default(),
        }
    }
}

//! The configuration in force, as one worker holds it, with its log files open.

use std::ops::Deref;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::time::sleep_until;

use crate::config::Config;
use crate::log::sinks::Logs;

/// A worker's own reference to a configuration, cloned for each request without touching a
/// counter that workers share. When the last clone is dropped, after the last request that
/// began with it, its log files are closed.
#[derive(Clone, Debug)]
pub(crate) struct ConfigHandle(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    logs: Logs,
}

impl ConfigHandle {
    /// `logs` are those of `config`; a task of the worker writes their lines.
    pub(crate) fn new(config: Arc<Config>, logs: Logs) -> Self {
        let shared = Rc::new(Shared { config, logs });
        tokio::task::spawn_local(write_logs(Rc::downgrade(&shared)));
        Self(shared)
    }

    pub(crate) fn logs(&self) -> &Logs {
        &self.0.logs
    }

    /// Whether both are the same load of the configuration.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for ConfigHandle {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0.config
    }
}

/// Writes log lines whenever some are due. It is a task of its own, so it runs after the
/// requests that are ready now.
async fn write_logs(of: Weak<Shared>) {
    let Some(waiting) = of.upgrade().map(|shared| shared.logs.waiting()) else {
        return;
    };
    while let Some(due) = of.upgrade().map(|shared| shared.logs.due()) {
        let expired = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = waiting.notified() => {}
            () = expired => {}
        }
        if let Some(shared) = of.upgrade() {
            shared.logs.write_due();
        }
    }
}

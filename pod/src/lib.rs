//! What a process in a pod needs, whatever it serves: cgroup limits, mounted files,
//! the sockets of the pod's other processes, threads with a runtime, log escaping, dates,
//! numbers, metrics.
//!
//! Nothing here knows HTTP, TLS or a configuration language.

pub mod calendar;
pub mod cgroup;
pub mod decimal;
pub mod escape;
pub mod exposition;
pub mod mounts;
pub mod neighbours;
pub mod orphans;
pub mod ports;
pub mod process;
pub mod runtime_thread;
pub mod small_file;
pub mod watch;

//! What the life of a process in a pod needs, whatever the process serves: the
//! limits it was given, the files mounted into it, the processes beside it, text
//! made safe for its log, pages of metrics and what it takes itself.
//!
//! Nothing here knows HTTP, TLS or a configuration language.

pub mod cgroup;
pub mod escape;
pub mod exposition;
pub mod mounts;
pub mod neighbours;
pub mod orphans;
pub mod ports;
pub mod process;
pub mod watch;

//! What the life of a process in a pod needs, whatever the process serves: the
//! limits it was given, the files mounted into it, text made safe for its log.
//!
//! Nothing here knows HTTP, TLS or a configuration language.

pub mod cgroup;
pub mod escape;
pub mod watch;

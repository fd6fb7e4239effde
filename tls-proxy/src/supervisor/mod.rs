//! The process: loads configurations, opens their sockets and files, runs the workers and
//! sends new configurations to them.

pub(crate) mod announce;
pub(crate) mod handover;
pub(crate) mod load;
pub(crate) mod run;
pub(crate) mod sources;
pub(crate) mod workers;

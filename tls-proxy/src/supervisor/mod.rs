//! The process: loads configurations, opens their sockets and files, runs the workers and
//! sends new configurations to them.

pub(crate) mod announce;
pub(crate) mod load;
pub(crate) mod loading;
pub(crate) mod reload;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod sources;
pub(crate) mod workers;

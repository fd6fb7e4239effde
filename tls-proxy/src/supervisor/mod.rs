//! The process: reads configurations, opens what they name, runs the workers and
//! hands new configurations to them.

pub(crate) mod announce;
pub(crate) mod handover;
pub(crate) mod load;
pub(crate) mod run;
pub(crate) mod sources;
pub(crate) mod workers;

//! The handlers, one endpoint a file. `routes` says which path calls which.

pub(crate) mod faults;
pub(crate) mod hello;
pub(crate) mod login;
pub(crate) mod metrics;
pub(crate) mod probes;
pub(crate) mod secure;
pub(crate) mod version;

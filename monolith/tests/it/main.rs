//! The service in process, and the program: one binary, since each one links all of it.

#![allow(clippy::unwrap_used, reason = "a test panics")]

mod support;

mod access_log;
mod forgeries;
mod login;
mod page;
mod probes;
mod process;
mod reload;
mod shutdown;
mod strangers;
mod walkthrough;

//! Tests of the service in this process, and of the program. They are one binary,
//! because each binary links the whole service.

#![allow(clippy::unwrap_used, reason = "a test panics")]

mod support;

mod access_log;
mod forged_tokens;
mod hostile_clients;
mod login;
mod page;
mod probes;
mod process;
mod reload;
mod shutdown;
mod walkthrough;

//! The sample service of the walkthrough, as a library: [`run`] serves until it
//! is asked to stop. The program around it is `main.rs`.
//!
//! A request passes through three modules: `server` accepts the connection and
//! bounds it, `http_port` logs and counts the request, `routes` names its handler.

mod accept;
mod access_log;
mod activity;
mod app;
mod authorization;
pub mod config;
mod connection_limit;
pub mod diagnostics;
pub mod flags;
mod handlers;
mod health;
mod health_port;
mod hs256;
mod http_port;
mod listeners;
mod metrics;
mod page;
mod password_checker;
mod reload;
mod response;
mod routes;
mod run;
mod segmented_body;
mod server;
pub mod shutdown;
mod token;
mod users;

pub use listeners::{BindError, Listeners};
pub use run::{RunError, run};
pub use users::{Users, UsersError};

/// The stack of a thread that serves requests, in bytes.
pub const STACK: usize = 256 * 1024;

//! The sample service of the walkthrough, as a library: [`run`] serves until it
//! is asked to stop. The program around it is `main.rs`.
//!
//! A request goes one way: `server` accepts the connection and bounds it, `front` gives it its line in the log, `routes` finds its handler.

mod accept;
mod access_log;
mod activity;
mod answer;
mod app;
mod authorization;
pub mod config;
pub mod diagnostics;
pub mod flags;
mod front;
mod health;
mod hello;
mod hs256;
mod listeners;
mod login;
mod metrics;
mod page;
mod password;
mod pieces;
mod places;
mod reload;
mod routes;
mod run;
mod secure;
mod server;
pub mod shutdown;
mod token;
mod users;
mod version;

pub use listeners::{BindError, Listeners};
pub use run::{RunError, run};
pub use users::{Users, UsersError};

//! A TLS proxy that takes nginx's place in a pod: reads nginx's configuration, terminates TLS,
//! proxies.
//!
//! [`load`] turns a command line's options into a [`config::Config`], [`bind`] opens its addresses,
//! [`run`] serves until it has drained.

pub mod admin;
pub(crate) mod admission;
pub mod build_info;
pub mod cli;
pub mod conf;
mod config;
mod configure;
mod directive;
pub mod entry_point;
pub mod envsubst;
mod http1;
mod http2;
pub mod lifecycle;
pub mod log;
mod message;
mod metrics;
mod modules;
mod net;
mod pattern;
mod pipeline;
#[cfg(test)]
mod properties;
mod request;
mod server;
mod supervisor;
mod time;
mod tls;
mod upstream;
mod variables;

pub use log::files::LogFile;
pub use modules::documentation::directives;
pub use supervisor::load::{Configuration, load, load_for_signal};
pub use supervisor::loading::unless_stopped;
pub use supervisor::run::{Exit, bind, run, try_addresses};
pub use supervisor::sources::Origin;

//! nginx's place in a pod: reads nginx's configuration, serves TLS, proxies.
//!
//! [`load`] turns a command line's options into a [`config::Config`], [`bind`]
//! opens its addresses, [`run`] serves until a drain has ended.

pub mod admin;
mod bulk;
pub mod cli;
pub mod conf;
mod config;
mod decimal;
pub mod diagnostics;
mod either;
pub mod error_log;
mod http1;
mod http2;
pub mod life;
pub mod log_form;
mod message;
mod modules;
mod pattern;
#[cfg(test)]
mod properties;
mod server;
mod timer;
mod tls;
mod upstream;
mod vars;
mod wire;

mod announce;
mod handover;
mod load;
mod run;
mod sources;
mod workers;

pub use config::files::LogFile;
pub use load::{Configuration, load};
pub use modules::documentation::directives;
pub use run::{Exit, bind, run, try_addresses};
pub use sources::Origin;

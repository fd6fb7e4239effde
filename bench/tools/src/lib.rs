//! What `make bench` needs besides existing tools: the application behind every
//! contestant, and special loads. It uses nothing of tls-proxy.

pub mod backend;
pub mod load;

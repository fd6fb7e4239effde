//! What `make bench` needs and no tool at hand does: the application behind
//! every contestant, and loads that are counted one by one. Nothing of tls-proxy
//! is used here.

pub mod backend;
pub mod load;

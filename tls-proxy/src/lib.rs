//! nginx's place in a pod.

pub mod cli;
pub mod conf;
pub mod life;

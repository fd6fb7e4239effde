//! nginx's place in a pod.

pub mod conf;

//! The TLS sidecar.
fn main() {}

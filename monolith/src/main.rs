//! The sample service.
fn main() {}

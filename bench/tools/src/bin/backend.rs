//! The application behind every contestant of `make bench`.
//!
//! Usage: backend ADDRESS

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("usage: backend ADDRESS")?;
    bench_tools::backend::serve(address.parse()?)
}

//! Loads that existing tools cannot make. Each prints its counts; the caller measures the
//! cost.
//!
//!     load first ADDRESS                      waits for the first response
//!     load handshakes ADDRESS full|resumed GROUP SECONDS
//!     load rate ADDRESS REQUESTS_PER_SECOND CONNECTIONS SECONDS [ADDRESS HANDSHAKES_PER_SECOND]
//!     load turns ADDRESS 1.1|2 [PATH]         reads `open N` and `ask N`

use anyhow::{Context as _, Result, bail};
use bench_tools::load::{first, handshakes, rate, turns};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, rest) = arguments.split_first().context("no kind of load given")?;
    let (address, rest) = rest.split_first().context("no address given")?;
    let address = address.parse()?;
    match (*kind, rest) {
        ("first", []) => first::wait(address),
        ("handshakes", [kind, group, seconds]) => {
            let resumed = match *kind {
                "full" => false,
                "resumed" => true,
                other => bail!("{other} is no kind of handshake"),
            };
            handshakes::run(
                address,
                resumed,
                handshakes::group(group)?,
                seconds.parse()?,
            )
        }
        ("rate", [each_second, connections, seconds, arrivals @ ..]) => rate::run(
            address,
            each_second.parse()?,
            connections.parse()?,
            seconds.parse()?,
            match arrivals {
                [] => None,
                [address, each_second] => Some(rate::Arrivals {
                    address: address.parse()?,
                    each_second: each_second.parse()?,
                }),
                _ => bail!("no such arrivals: {arrivals:?}"),
            },
        ),
        ("turns", [version]) => turns::run(address, version.parse()?, "/"),
        ("turns", [version, path]) => turns::run(address, version.parse()?, path),
        _ => bail!("no such load: {arguments:?}"),
    }
}

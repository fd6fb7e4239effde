//! `ping` for the shell of the images. busybox's wants a raw socket, and with it the
//! capability NET_RAW, which no pod has under the Pod Security Standard "restricted".
//! The kernel's ICMP datagram sockets need none, where the sysctl
//! `net.ipv4.ping_group_range` names the group.
//!
//! Not a program of its own, which would be 1 MB more: monolith is `ping` where that is
//! the name it is called by. Here: what is printed, and the exit code. `echo.rs` has the packets.

mod arguments;
mod echo;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use arguments::Arguments;
use echo::{Error, Target};

/// Whether a program was called by this name, `/bin/ping` for one.
#[must_use]
pub fn is_name(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some("ping".as_ref())
}

/// All that `ping` does with the words after its name. 0 if there was a reply, as
/// with other pings.
#[must_use]
pub fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let problem = match Arguments::parse(words) {
        Ok(arguments) => match ping(&arguments, &mut io::stdout().lock()) {
            Ok(true) => return ExitCode::SUCCESS,
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => format!("ping: {error}"),
        },
        Err(error) => format!("ping: {error}\n{}", arguments::USAGE),
    };
    let _ = writeln!(io::stderr(), "{problem}");
    ExitCode::FAILURE
}

/// Prints what busybox's ping prints. True if there was a reply.
fn ping(arguments: &Arguments, out: &mut impl Write) -> Result<bool, Error> {
    let mut target = Target::resolve(&arguments.host, arguments.family)?;
    let address = target.address();
    writeln!(out, "PING {} ({address}): 56 data bytes", arguments.host)?;
    let (mut sent, mut times) = (0_u32, Vec::new());
    while arguments.count.is_none_or(|count| sent < count) {
        if sent > 0 {
            sleep(arguments.interval);
        }
        // The number on the wire has 16 bits and starts again.
        let number = sent as u16;
        sent += 1;
        if let Some((size, time)) = target.echo(number, arguments.timeout)? {
            let time_ms = milliseconds(time);
            writeln!(
                out,
                "{size} bytes from {address}: seq={number} time={time_ms:.3} ms"
            )?;
            times.push(time_ms);
        }
    }
    let received = times.len();
    let lost = (sent as usize - received) * 100 / (sent as usize).max(1);
    writeln!(out, "\n--- {} ping statistics ---", arguments.host)?;
    writeln!(
        out,
        "{sent} packets transmitted, {received} packets received, {lost}% packet loss"
    )?;
    if received > 0 {
        let (least, most) = (
            times.iter().copied().fold(f64::INFINITY, f64::min),
            times.iter().copied().fold(0.0, f64::max),
        );
        let mean = times.iter().sum::<f64>() / received as f64;
        writeln!(
            out,
            "round-trip min/avg/max = {least:.3}/{mean:.3}/{most:.3} ms"
        )?;
    }
    Ok(received > 0)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

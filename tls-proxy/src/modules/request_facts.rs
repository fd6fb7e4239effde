//! Variables of nginx's core module that are not fields of the request.

use std::os::unix::ffi::OsStrExt as _;

use crate::modules::variables::known::append;
use crate::modules::variables::{Evaluate, write};
use crate::net::tcp_info;
use crate::net::tcp_info::TcpInfo;
use crate::request::Request;
use crate::time::cached_time;

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[
    ("binary_remote_addr", |request, out| {
        if request.is_unix() {
            return write(Some(b"unix:"), out);
        }
        match request.peer.ip() {
            std::net::IpAddr::V4(address) => write(Some(&address.octets()), out),
            std::net::IpAddr::V6(address) => write(Some(&address.octets()), out),
        }
    }),
    ("connection_time", |request, out| {
        let elapsed = cached_time::since(request.connection.began);
        let (seconds, millis) = (elapsed.as_secs(), elapsed.subsec_millis());
        append(out, format_args!("{seconds}.{millis:03}"))
    }),
    ("date_gmt", |request, out| date(request, "GMT", out)),
    ("date_local", |request, out| date(request, "UTC", out)),
    ("request_body", |request, out| {
        write(request.whole_body.as_deref(), out)
    }),
    ("request_body_file", |request, out| {
        let path = request.spooled.as_ref().map(|spooled| spooled.path());
        write(path.map(|path| path.as_os_str().as_bytes()), out)
    }),
    ("request_id", |request, out| {
        let id = request.id.get_or_init(|| {
            let mut bytes = [0; 16];
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            // Without random bytes there is no TLS either.
            let _ = provider.secure_random.fill(&mut bytes);
            u128::from_be_bytes(bytes)
        });
        append(out, format_args!("{id:032x}"))
    }),
    ("tcpinfo_rcv_space", |request, out| {
        tcp_info(request, |info| info.rcv_space, out)
    }),
    ("tcpinfo_rtt", |request, out| {
        tcp_info(request, |info| info.rtt, out)
    }),
    ("tcpinfo_rttvar", |request, out| {
        tcp_info(request, |info| info.rttvar, out)
    }),
    ("tcpinfo_snd_cwnd", |request, out| {
        tcp_info(request, |info| info.snd_cwnd, out)
    }),
];

/// A value of the client connection's `tcp_info`.
fn tcp_info(request: &Request, figure: fn(TcpInfo) -> u32, out: &mut Vec<u8>) -> bool {
    let connection = &request.connection;
    if connection.is_unix {
        return false;
    }
    match tcp_info::of(connection.local, connection.peer) {
        Some(info) => append(out, format_args!("{}", figure(info))),
        None => false,
    }
}

/// The present second as nginx's SSI writes it: `Sunday, 29-Nov-2026 02:43:11 GMT`.
fn date(request: &Request, zone: &str, out: &mut Vec<u8>) -> bool {
    let now = request.connection.worker.clock.now();
    let weekday = match now.http.first_chunk() {
        Some(b"Mon") => "Monday",
        Some(b"Tue") => "Tuesday",
        Some(b"Wed") => "Wednesday",
        Some(b"Thu") => "Thursday",
        Some(b"Fri") => "Friday",
        Some(b"Sat") => "Saturday",
        _ => "Sunday",
    };
    // `29/Nov/2026:02:43:11 +0000`
    let (date, time) = now.local.split_once(':').unwrap_or_default();
    let time = time.get(..8).unwrap_or_default();
    let date = date.replace('/', "-");
    append(out, format_args!("{weekday}, {date} {time} {zone}"))
}

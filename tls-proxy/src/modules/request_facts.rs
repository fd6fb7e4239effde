//! Variables of nginx's core module that need more than a look at the request.

use std::os::unix::ffi::OsStrExt as _;

use crate::time::cached_time;
use crate::vars::known::append;
use crate::vars::{Evaluate, write};

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
            // Without randomness there is no TLS either.
            let _ = provider.secure_random.fill(&mut bytes);
            u128::from_be_bytes(bytes)
        });
        append(out, format_args!("{id:032x}"))
    }),
];

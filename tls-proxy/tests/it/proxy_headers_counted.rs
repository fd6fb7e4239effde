//! The further values of a PROXY protocol header are kept as long as their connection lasts, and
//! counted.

use crate::support::counted::{reserved, start};
use crate::support::place::PLAIN;
use crate::support::{Client, Place, Proxy, eventually};

const CONNECTIONS: usize = 100;
/// Connections before anything is measured: tables and pages that are used again.
const FIRST: usize = 20;
/// Bytes of the further values: with the rest of the header nearly what is allowed.
const VALUES: usize = 4000;
/// What is held may exceed what is counted by this, bytes: pages that are partly used.
const ROUNDING: u64 = 512 << 10;

/// A header of version 2 from 1.2.3.4 with one further value.
fn header() -> Vec<u8> {
    let length = u16::try_from(12 + 3 + VALUES).unwrap().to_be_bytes();
    let addresses = [1, 2, 3, 4, 5, 6, 7, 8, 0, 11, 0, 22];
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend(length);
    header.extend(addresses);
    header.push(0xe0);
    header.extend(u16::try_from(VALUES).unwrap().to_be_bytes());
    header.resize(header.len() + VALUES, b'v');
    header
}

/// A connection after its first response.
fn served(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.place.address(PLAIN));
    client.send(header());
    assert_eq!(client.fetch("/").text(), "served 1.2.3.4");
    client
}

#[test]
fn further_values_are_counted() {
    let http = "keepalive_timeout 10m; server { listen {plain} proxy_protocol;
        return 200 \"served $proxy_protocol_addr\"; }";
    let proxy = start(Place::new("proxy-headers-counted"), http);
    let _first: Vec<_> = (0..FIRST).map(|_| served(&proxy)).collect();
    let now = || (proxy.anonymous_memory(), reserved(&proxy));
    let before = now();
    let _kept: Vec<_> = (0..CONNECTIONS).map(|_| served(&proxy)).collect();
    // The connections' own memory is counted, too: more than 8 KiB each. What the last ones before
    // needed for their responses may be counted in `before`.
    let least = CONNECTIONS * ((8 << 10) + VALUES);
    eventually("the values are counted", || {
        reserved(&proxy) - before.1 >= least as u64
    });
    // The allocator keeps freed memory for some time.
    eventually("no more is held than is counted", || {
        let (held, counted) = now();
        held < before.0 + (counted - before.1) + ROUNDING
    });
}

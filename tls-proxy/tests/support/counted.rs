//! A program whose memory is compared with what it counts.

use std::net::SocketAddr;

use super::{Client, Place, Proxy, eventually, proxy};

const ADMIN: u16 = 9113;

fn admin(place: &Place) -> SocketAddr {
    place.address(ADMIN)
}

/// Starts it, with the port that [`reserved`] asks.
pub(crate) fn start(place: Place, http: &str) -> Proxy {
    let address = admin(&place).to_string();
    let configuration = proxy::around(http);
    let proxy = Proxy::start_with(place, &configuration, &["--admin", &address]);
    // The connection that the worker accepts next is always counted.
    eventually("the worker accepts", || reserved(&proxy) > 0);
    proxy
}

/// Memory counted as in use, bytes.
pub(crate) fn reserved(proxy: &Proxy) -> u64 {
    let mut client = Client::connect(admin(&proxy.place));
    let page = client.fetch("/metrics").text();
    let name = "tls_proxy_memory_reserved_bytes ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().parse::<f64>().unwrap() as u64
}

//! `listen` of an address beside that of its port's wildcard address: they share a socket, and
//! reloads add and remove the address. `addresses/wildcard-and-specific` compares with nginx which
//! server a connection gets.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use crate::support::{self, Client, Place, Proxy, eventually};
use rustix::process::Signal;

/// A port that no other test listens on, on whatever address, while its claim is held.
fn own_port() -> (u16, UdpSocket) {
    let claim = |port| Some((port, UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?));
    (8500..9000).find_map(claim).unwrap()
}

/// A server for all addresses of a port, and more.
fn beside(port: u16, more: &str) -> String {
    support::proxy::around(&format!(
        "server {{ listen {port}; return 200 all; }} {more}"
    ))
}

/// A server for the place's own address.
fn own(port: u16, options: &str) -> String {
    format!("server {{ listen {{ip}}:{port}{options}; return 200 own; }}")
}

fn becomes(address: SocketAddr, expected: &str) {
    eventually(expected, || {
        Client::connect(address).fetch("/").text() == expected
    });
}

#[test]
fn reloads_add_and_remove_an_address_beside_the_wildcard_address() {
    let (port, _claim) = own_port();
    let mut proxy = Proxy::start_whole(Place::new("wildcard"), &beside(port, ""));
    let (here, elsewhere) = (proxy.place.address(port), ([127, 0, 0, 1], port).into());
    becomes(here, "all");
    let mut idle = [Client::connect(here), Client::connect(elsewhere)];
    let mut say = |expected: [&str; 2]| {
        for (client, expected) in idle.iter_mut().zip(expected) {
            assert_eq!(client.fetch("/").text(), expected);
        }
    };
    say(["all", "all"]);
    for options in ["", " backlog=7"] {
        proxy
            .place
            .write("nginx.conf", &beside(port, &own(port, options)));
        proxy.signal(Signal::HUP);
        becomes(here, "own");
        becomes(elsewhere, "all");
        say(["own", "all"]);
        proxy.place.write("nginx.conf", &beside(port, ""));
        proxy.signal(Signal::HUP);
        becomes(here, "all");
        say(["all", "all"]);
    }
    // Its connections are served no more as they began.
    let changed = beside(port, &own(port, " proxy_protocol"));
    proxy.place.write("nginx.conf", &changed);
    proxy.signal(Signal::HUP);
    let [mut of_here, mut of_elsewhere] = idle;
    assert!(of_here.is_closed());
    assert_eq!(of_elsewhere.fetch("/").text(), "all");
    let mut client = Client::connect(here);
    client.send("PROXY UNKNOWN\r\n");
    assert_eq!(client.fetch("/").text(), "own");
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
}

/// As in nginx: both sockets would be open at once.
#[test]
fn a_wildcard_address_is_not_added_to_an_open_address_nor_the_other_way_around() {
    let (port, _claim) = own_port();
    let alone = support::proxy::around(&own(port, ""));
    let both = beside(port, &own(port, ""));
    for (first, second, expected, failed) in [
        (&alone, &both, "own", "0.0.0.0"),
        (&both, &alone, "own", "{ip}"),
    ] {
        let proxy = Proxy::start_whole(Place::new("wildcard-late"), first);
        let here = proxy.place.address(port);
        becomes(here, expected);
        proxy.place.write("nginx.conf", second);
        proxy.signal(Signal::HUP);
        let failed = proxy.place.fill(failed);
        let line = format!("bind() to {failed}:{port} failed (98: Address already in use)");
        proxy.logs("error.log", &line);
        proxy.logs("error.log", "keeping the previous configuration");
        becomes(here, expected);
    }
}

#[test]
fn socket_options_of_an_address_beside_the_wildcard_address_are_named() {
    let (port, _claim) = own_port();
    let place = Place::new("wildcard-options");
    let conf = place.write("nginx.conf", &beside(port, &own(port, " backlog=7")));
    let tested = support::proxy::output(&place, &["-t", "-c", conf.to_str().unwrap()]);
    assert_eq!(tested.status.code(), Some(0));
    let said = support::stderr(&tested);
    let line = place.fill(&format!(
        "{{ip}}:{port} shares the socket of 0.0.0.0:{port}"
    ));
    assert!(said.contains(&line), "{said}");
}

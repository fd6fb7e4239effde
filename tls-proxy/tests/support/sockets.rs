//! What the kernel knows of sockets (proc_net(5)). That one was dropped does not mean that it is
//! closed: a program that another test is about to start has it open, too, until it is started.

use std::net::{SocketAddr, TcpStream};

use super::eventually;

/// States of TCP.
const FIN_WAIT1: &str = "04";
const LISTEN: &str = "0A";

/// Waits until nobody listens at an address.
pub(crate) fn is_free(address: SocketAddr) {
    let own = hex(address);
    eventually("a free address", || {
        !sockets().any(|fields| fields[1] == own && fields[3] == LISTEN)
    });
}

/// Waits until the peer's kernel has all that was sent, and the end if it was sent.
pub(crate) fn has_arrived(socket: &TcpStream) {
    let both = [socket.local_addr(), socket.peer_addr()].map(|own| hex(own.unwrap()));
    eventually("the arrival of what was sent", || {
        let pending =
            |fields: &Vec<String>| fields[3] == FIN_WAIT1 || !fields[4].starts_with("00000000:");
        !sockets().any(|fields| fields[1..3] == both && pending(&fields))
    });
}

/// The fields of each socket of IPv4.
fn sockets() -> impl Iterator<Item = Vec<String>> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines: Vec<_> = table.lines().skip(1).map(str::to_owned).collect();
    let fields = |line: String| line.split_whitespace().map(str::to_owned).collect();
    lines.into_iter().map(fields)
}

fn hex(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else {
        panic!("a place has an IPv4 address");
    };
    let number = u32::from_ne_bytes(address.ip().octets());
    format!("{number:08X}:{:04X}", address.port())
}

//! Groups whose servers come and go.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn peer(address: &str, line: usize) -> Peer {
    Peer {
        line,
        ..Peer::at(Address::Tcp(at(address)))
    }
}

/// A written server between two names.
fn members() -> Members {
    let group = Upstream {
        name: "a".to_owned(),
        peers: vec![peer("192.0.2.9:80", 1)],
        ..Upstream::default()
    };
    let like = |line| Peer {
        weight: 3,
        ..peer("192.0.2.0:1", line)
    };
    let names = vec![
        Named::new("b.example", 80, like(0)),
        Named::new("c.example", 81, like(2)),
    ];
    let resolver = Resolver {
        servers: Vec::new(),
        valid: None,
        ipv4: true,
        ipv6: true,
    };
    Members::new(names, Arc::new(resolver), Duration::ZERO, &group)
}

fn addresses(members: &Members) -> Vec<String> {
    let group = members.current();
    let peers = group.peers.iter();
    peers.map(|peer| peer.address.to_string()).collect()
}

#[test]
fn servers_come_and_go_in_the_order_of_their_lines() {
    let members = members();
    assert_eq!(addresses(&members), ["192.0.2.9:80"]);
    members.update(&members.names[1], &[at("192.0.2.3:81")]);
    members.update(&members.names[0], &[at("192.0.2.2:80"), at("192.0.2.1:80")]);
    let all = [
        "192.0.2.1:80",
        "192.0.2.2:80",
        "192.0.2.9:80",
        "192.0.2.3:81",
    ];
    assert_eq!(addresses(&members), all);
    assert_eq!(members.current().peers[0].weight, 3);
    members.update(&members.names[0], &[]);
    assert_eq!(addresses(&members), all[2..]);
}

#[test]
fn what_is_known_of_a_server_stays_with_it() {
    let members = members();
    members.update(&members.names[0], &[at("192.0.2.1:80")]);
    let before = members.current();
    before.peers[0].account.active.fetch_add(1, Relaxed);
    members.update(&members.names[0], &[at("192.0.2.0:80"), at("192.0.2.1:80")]);
    let now = members.current();
    assert_eq!(now.peers[0].account.active.load(Relaxed), 0);
    assert_eq!(now.peers[1].account.active.load(Relaxed), 1);
}

#[test]
fn the_same_addresses_in_another_order_are_no_change() {
    let members = members();
    let (one, two) = (at("192.0.2.1:80"), at("192.0.2.2:80"));
    members.update(&members.names[0], &[one, two]);
    let before = members.generation();
    members.update(&members.names[0], &[two, one, two]);
    assert_eq!(members.generation(), before);
    members.update(&members.names[0], &[two]);
    assert_ne!(members.generation(), before);
}

#[test]
fn a_new_configuration_begins_with_what_was_found() {
    let (old, new) = (members(), members());
    old.update(&old.names[1], &[at("192.0.2.3:81")]);
    new.adopt(&old);
    assert_eq!(addresses(&new), ["192.0.2.9:80", "192.0.2.3:81"]);
}

#[test]
fn a_ring_follows_its_servers() {
    let group = Upstream {
        method: Method::Consistent(Default::default(), Ring::default()),
        ..Upstream::default()
    };
    let next = group.with_peers(vec![peer("192.0.2.1:80", 0)]);
    let Method::Consistent(_, ring) = &next.method else {
        panic!("another method")
    };
    assert!(ring.from(b"key").next().is_some());
}

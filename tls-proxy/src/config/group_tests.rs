//! Groups whose servers are resolved again and again.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::config::resolver::NameServers;

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn peer(address: &str, line: usize) -> Peer {
    Peer {
        line,
        ..Peer::at(PeerAddress::Tcp(at(address)))
    }
}

/// A server with a literal address between two names.
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
        Named::new("b.example", Some(80), like(0)),
        Named::new("c.example", Some(81), like(2)),
    ];
    let resolver = Resolver {
        servers: NameServers::default(),
        valid: None,
        ipv4: true,
        ipv6: true,
    };
    Members::new(names, Arc::new(resolver), Duration::ZERO, &group)
}

fn update(members: &Members, name: usize, addresses: &[SocketAddr]) {
    let named = &members.names[name];
    let servers = addresses.iter().map(|address| named.server(*address));
    members.update(named, servers.collect());
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
    update(&members, 1, &[at("192.0.2.3:81")]);
    update(&members, 0, &[at("192.0.2.2:80"), at("192.0.2.1:80")]);
    let all = [
        "192.0.2.1:80",
        "192.0.2.2:80",
        "192.0.2.9:80",
        "192.0.2.3:81",
    ];
    assert_eq!(addresses(&members), all);
    assert_eq!(members.current().peers[0].weight, 3);
    update(&members, 0, &[]);
    assert_eq!(addresses(&members), all[2..]);
}

#[test]
fn what_is_known_of_a_server_stays_with_it() {
    let members = members();
    update(&members, 0, &[at("192.0.2.1:80")]);
    let before = members.current();
    before.peers[0].account.active.fetch_add(1, Relaxed);
    update(&members, 0, &[at("192.0.2.0:80"), at("192.0.2.1:80")]);
    let now = members.current();
    assert_eq!(now.peers[0].account.active.load(Relaxed), 0);
    assert_eq!(now.peers[1].account.active.load(Relaxed), 1);
}

#[test]
fn the_same_addresses_in_another_order_are_no_change() {
    let members = members();
    let (one, two) = (at("192.0.2.1:80"), at("192.0.2.2:80"));
    update(&members, 0, &[one, two]);
    let before = members.generation();
    update(&members, 0, &[two, one]);
    assert_eq!(members.generation(), before);
    update(&members, 0, &[two]);
    assert_ne!(members.generation(), before);
}

#[test]
fn a_new_configuration_begins_with_what_was_found() {
    let (old, new) = (members(), members());
    update(&old, 1, &[at("192.0.2.3:81")]);
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

#[test]
fn records_of_services_say_weight_and_who_is_a_backup() {
    let members = members();
    let [named, ..] = &members.names[..] else {
        panic!("there are names")
    };
    let (one, two) = (at("192.0.2.1:80"), at("192.0.2.2:81"));
    let plain = Named::new("s", None, peer("192.0.2.0:1", 4));
    let say = |own: &Named, address, first| {
        let server = own.server_of_service(address, 5, first);
        server.map(|it| (it.weight, it.backup))
    };
    assert_eq!(say(&plain, one, true), Some((5, false)));
    assert_eq!(say(&plain, two, false), Some((5, true)));
    // The line has a weight.
    assert_eq!(say(named, one, true), Some((3, false)));
    let backup = Peer {
        backup: true,
        ..peer("192.0.2.0:1", 4)
    };
    let backup = Named::new("s", None, backup);
    assert_eq!(say(&backup, one, true), Some((5, true)));
    assert_eq!(say(&backup, two, false), None);
}

//! `worker_connections`: clients beyond it wait until others close; idle connections are
//! evicted.

use std::sync::mpsc;

use crate::support::{self, Client, PATIENCE, Place, Proxy, Upstream};

/// The minimum.
const MOST: usize = 8;

fn capped(place: Place) -> Proxy {
    let http = "server { listen {plain}; location = /own { return 200 own; }
        location / { proxy_pass http://{upstream}; } }";
    let text = support::proxy::around(http);
    let few = format!("events {{ worker_connections {MOST}; }}");
    Proxy::start_whole(place, &text.replace("events {}", &few))
}

/// An upstream that responds to one request for each signal.
fn held(place: &Place) -> (Upstream, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(place, move |mut served| {
        while served.request().is_some() {
            let _ = released.lock().unwrap().recv_timeout(PATIENCE);
            served.respond("200 OK", b"held");
        }
    });
    (upstream, release)
}

#[test]
fn further_clients_wait_and_are_served_when_others_leave() {
    let place = Place::new("wait");
    let (upstream, release) = held(&place);
    let proxy = capped(place);
    let mut clients: Vec<Client> = (0..3 * MOST).map(|_| proxy.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.ask(&format!("/{number}"));
    }
    upstream.has_seen(MOST);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(
        upstream.seen().len(),
        MOST,
        "no more than its share at once"
    );
    for _ in &clients {
        release.send(()).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "held");
    }
}

#[test]
fn idle_connections_make_room() {
    let proxy = capped(Place::new("idle"));
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..4 * MOST {
        let mut client = proxy.connect();
        assert_eq!(client.fetch("/own").text(), "own");
        // It stays open, as a browser would leave it.
        clients.push(client);
    }
}

#[test]
fn silent_connections_make_room() {
    let proxy = capped(Place::new("silent"));
    let _silent: Vec<Client> = (0..MOST + 2).map(|_| proxy.connect()).collect();
    assert_eq!(proxy.connect().fetch("/own").text(), "own");
}

#[test]
fn after_the_crowd_connections_are_kept_again() {
    let place = Place::new("after");
    let (upstream, release) = held(&place);
    let proxy = capped(place);
    let mut crowd: Vec<Client> = (0..MOST).map(|_| proxy.connect()).collect();
    for client in &mut crowd {
        client.ask("/");
    }
    upstream.has_seen(MOST);
    let mut late = proxy.connect();
    late.ask("/own");
    for _ in 0..MOST {
        release.send(()).unwrap();
    }
    for client in &mut crowd {
        assert_eq!(client.response().text(), "held");
    }
    drop(crowd);
    assert_eq!(late.response().text(), "own");
    // Until it has noticed that the crowd has closed, it may still make room.
    let mut kept = proxy.connect();
    support::eventually("a connection that is kept", || {
        let is_kept = kept.fetch("/own").field("Connection") == Some("keep-alive");
        if !is_kept {
            kept = proxy.connect();
        }
        is_kept
    });
    for _ in 0..3 {
        assert_eq!(kept.fetch("/own").field("Connection"), Some("keep-alive"));
    }
}

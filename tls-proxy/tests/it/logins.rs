//! `auth_basic` with a hash that takes long: what clients that leave, and clients that are many,
//! cost others.

use std::time::Duration;

use crate::support::{Client, Place, Proxy, eventually};

/// `xxx` at two costs.
const SLOW: &str = "$2y$11$abcdefghijklmnopqrstuujijIlJUMZzHxybO2qV1ac42vbLVQJp.";
const SLOWER: &str = "$2y$12$abcdefghijklmnopqrstuuLTciNevx4VbGJVcTKWvNV0H.7WRcaia";
/// `admin:xxx`, and what makes the password longer.
const NAME_AND_PASSWORD: &str = "YWRtaW46eHh4";
const LONGER: &str = "eHh4";

fn protected(name: &str, hash: &str) -> Proxy {
    let place = Place::new(name);
    place.write("users", &format!("admin:{hash}\n"));
    let http = "server { listen {plain}; auth_basic a; auth_basic_user_file users; root {folder};
        location / { try_files /users =404; } }";
    Proxy::start(place, http)
}

fn begin(proxy: &Proxy, more: usize) -> Client {
    let mut client = proxy.connect();
    let credentials = NAME_AND_PASSWORD.to_owned() + &LONGER.repeat(more);
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n"
    ));
    client
}

/// The program's CPU time while `act` lasts: how long that is depends on what else the machine does.
fn spent(proxy: &Proxy, act: impl FnOnce()) -> Duration {
    let before = proxy.processor_time();
    act();
    proxy.processor_time() - before
}

fn login(proxy: &Proxy) -> Duration {
    spent(proxy, || {
        let response = begin(proxy, 0).response();
        assert_eq!(response.status, 200, "{}", response.head);
    })
}

#[test]
fn logins_that_are_abandoned_delay_nobody_and_leave_nothing() {
    let proxy = protected("abandoned", SLOW);
    let alone = login(&proxy).min(login(&proxy));
    for _ in 0..100 {
        let client = begin(&proxy, 100);
        std::thread::sleep(Duration::from_millis(2));
        drop(client);
    }
    let behind = login(&proxy);
    // Those that are being hashed, and those that are begun before it is noticed that their
    // clients have left.
    assert!(behind < alone * 40, "{behind:?}, {alone:?} alone");
}

#[test]
fn a_password_that_crypt_would_not_hash_is_wrong_at_once() {
    let proxy = protected("long", SLOWER);
    let alone = login(&proxy);
    let together = spent(&proxy, || {
        for _ in 0..20 {
            let response = begin(&proxy, 170).response();
            assert_eq!(response.status, 401, "{}", response.head);
        }
    });
    assert!(together < alone * 10, "{together:?}, {alone:?} for one");
}

#[test]
fn of_too_many_logins_the_last_are_refused_at_once() {
    let proxy = protected("many", SLOWER);
    let mut waiting = Vec::new();
    eventually("a full queue", || {
        waiting.push(begin(&proxy, 1));
        proxy.place.read("access.log").contains("\" 503 ")
    });
    assert!(waiting.len() > 100, "{}", waiting.len());
    proxy.logs("error.log", "too many passwords are being checked");
}

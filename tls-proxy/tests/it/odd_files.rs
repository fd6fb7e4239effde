//! Files of the configuration that are replaced by what is no file, or by a huge one: the previous
//! configuration stays, and nothing blocks.

use std::path::Path;

use crate::support::certificates::ecdsa;
use crate::support::{Place, Proxy, curl, eventually, stderr, stdout};
use rustix::process::Signal;

const HTTPS: &str = "include more.conf; server { listen {tls} ssl; ssl_certificate a.pem;
    ssl_certificate_key a.key; return 200 $served; }";
const KEPT: &str = "keeping the previous one";

fn start(name: &str) -> Proxy {
    let place = Place::new(name);
    ecdsa(&place, "a");
    place.write("more.conf", "map '' $served { default served; }\n");
    Proxy::start(place, HTTPS)
}

fn serves(proxy: &Proxy, text: &str) {
    let output = curl(&[&proxy.https("/")]);
    assert_eq!(stdout(&output), text, "{}", stderr(&output));
}

fn pipe(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
}

fn huge(path: &Path) {
    std::fs::File::create(path)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
}

fn count(proxy: &Proxy, text: &str) -> usize {
    proxy.place.read("error.log").matches(text).count()
}

#[test]
fn what_is_put_in_place_of_a_file_is_neither_waited_for_nor_read_whole() {
    for name in ["a.pem", "a.key", "more.conf"] {
        let mut proxy = start("replaced");
        let path = proxy.place.path(name);
        let mended = std::fs::read(&path).unwrap();
        let odd = proxy.place.path("odd");
        for (make, said) in [
            (pipe as fn(&Path), "it is a pipe"),
            (huge, "it is larger than"),
        ] {
            let before = count(&proxy, said);
            make(&odd);
            std::fs::rename(&odd, &path).unwrap();
            eventually(said, || count(&proxy, said) > before);
            proxy.logs("error.log", KEPT);
            serves(&proxy, "served");
        }
        assert!(proxy.peak_memory() < 200 << 20, "{}", proxy.peak_memory());
        // Once it is a file again, it is read.
        let before = count(&proxy, "configuration reloaded");
        std::fs::write(&odd, mended).unwrap();
        std::fs::rename(&odd, &path).unwrap();
        eventually("a reload", || {
            count(&proxy, "configuration reloaded") > before
        });
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.exit_code(), Some(0));
    }
}

#[test]
fn a_pipe_is_read_on_request_and_not_waited_for_too_long() {
    let place = Place::new("requested");
    ecdsa(&place, "a");
    let path = place.path("certificate");
    pipe(&path);
    let content = place.read("a.pem");
    let write = || {
        let (path, content) = (path.clone(), content.clone());
        std::thread::spawn(move || std::fs::write(path, content).unwrap())
    };
    let writer = write();
    let http = "server { listen {tls} ssl; ssl_certificate certificate; ssl_certificate_key a.key;
        return 200 served; }";
    let mut proxy = Proxy::start(place, http);
    writer.join().unwrap();
    let warned = || count(&proxy, "certificate\" is a pipe, so changes");
    eventually("a warning", || warned() == 1);
    let writer = write();
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", "configuration reloaded");
    eventually("a warning after a reload", || warned() == 2);
    writer.join().unwrap();
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", "nothing was written to the pipe");
    proxy.logs("error.log", KEPT);
    serves(&proxy, "served");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn odd_files_of_passwords_are_errors_and_block_nobody() {
    let place = Place::new("passwords");
    pipe(&place.path("pipe"));
    huge(&place.path("huge"));
    let http = "server { listen {plain}; auth_basic a; root {folder};
        location / { auth_basic_user_file $arg_file; try_files /nginx.conf =404; } }";
    let proxy = Proxy::start(place, http);
    for (name, status) in [("pipe", 500), ("huge", 500), ("/dev/null", 401)] {
        let mut client = proxy.connect();
        client.send(format!(
            "GET /?file={name} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic dTpw\r\n\r\n"
        ));
        assert_eq!(client.response().status, status, "{name}");
    }
    proxy.logs("error.log", "it is a pipe");
    proxy.logs("error.log", "it is larger than");
    assert!(proxy.peak_memory() < 200 << 20, "{}", proxy.peak_memory());
}

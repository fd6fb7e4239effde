//! Logs that are pipes, whose readers come late, leave and come again.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};

use crate::support::proxy::{around, output, refusal};
use crate::support::{Place, Proxy, eventually};
use rustix::fs::OFlags;
use rustix::process::Signal;

const HTTP: &str = "log_format short '$uri'; access_log {folder}/pipe short;
    server { listen {plain}; return 200 served; }";
const UNREAD: &str = "/pipe\" failed (6: No such device or address): nobody reads this pipe";

fn with_pipe(name: &str) -> Place {
    let place = Place::new(name);
    let path = place.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
    place
}

/// A reader that is there at once.
fn reader(place: &Place) -> File {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(flags);
    options.open(place.path("pipe")).unwrap()
}

/// Lets the reader leave. A child of another test may have it until its program begins.
fn leaves<T>(reader: T, place: &Place) {
    drop(reader);
    eventually("nobody reads the pipe", || {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        let options = options.write(true).custom_flags(flags);
        options.open(place.path("pipe")).is_err()
    });
}

/// Waits for a line. One of an earlier response may come first.
fn has(reader: &mut BufReader<File>, wanted: &str) {
    let mut lines = String::new();
    eventually(wanted, || {
        // Nothing there is an error.
        let _ = reader.read_line(&mut lines);
        lines.ends_with(&format!("{wanted}\n"))
    });
}

fn cat(place: &Place) -> Child {
    let mut command = Command::new("cat");
    let command = command.arg(place.path("pipe"));
    let got = File::create(place.path("got")).unwrap();
    command.stdin(Stdio::null()).stdout(got).spawn().unwrap()
}

fn ends(proxy: &mut Proxy) {
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn without_a_reader_the_start_fails_and_says_why() {
    let place = with_pipe("pipe-unread");
    let said = refusal(&place, &around(HTTP));
    for part in [UNREAD, "start what reads the pipe first"] {
        assert!(said.contains(part), "{said}");
    }
    let conf = place.path("nginx.conf");
    let tested = output(&place, &["-t", "-c", conf.to_str().unwrap()]);
    assert_eq!(tested.status.code(), Some(1));
}

#[test]
fn a_reader_that_waits_for_the_start_stays_until_the_end() {
    let place = with_pipe("pipe-cat");
    let mut cat = cat(&place);
    // Many files give the reader time to leave between two looks at the pipe.
    let others = (0..300).map(|it| format!("access_log {{folder}}/{it}.log;"));
    let others = others.collect::<String>();
    let http = HTTP.replace("return", &format!("location /others {{ {others} }} return"));
    let mut proxy = Proxy::start(place, &http);
    assert_eq!(proxy.connect().fetch("/one").text(), "served");
    proxy.logs("got", "/one\n");
    proxy.signal(Signal::USR1);
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", "configuration reloaded");
    assert_eq!(proxy.connect().fetch("/two").text(), "served");
    proxy.logs("got", "/two\n");
    ends(&mut proxy);
    assert!(cat.wait().unwrap().success());
    assert_eq!(proxy.place.read("got"), "/one\n/two\n");
}

#[test]
fn signals_are_followed_while_nobody_reads() {
    let place = with_pipe("pipe-left");
    let first = reader(&place);
    let mut proxy = Proxy::start(place, HTTP);
    assert_eq!(proxy.connect().fetch("/first").text(), "served");
    leaves(first, &proxy.place);
    proxy.signal(Signal::USR1);
    let kept = format!("{UNREAD}; continuing to write to the old file");
    proxy.logs("error.log", &kept);
    assert_eq!(proxy.connect().fetch("/lost").text(), "served");
    let mut second = BufReader::new(reader(&proxy.place));
    assert_eq!(proxy.connect().fetch("/old").text(), "served");
    has(&mut second, "/old");
    leaves(second, &proxy.place);
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", &format!("{UNREAD}; lines are lost until"));
    proxy.logs("error.log", "configuration reloaded");
    assert_eq!(proxy.connect().fetch("/lost").text(), "served");
    let mut third = BufReader::new(reader(&proxy.place));
    assert_eq!(proxy.connect().fetch("/new").text(), "served");
    has(&mut third, "/new");
    drop(third);
    ends(&mut proxy);
}

#[test]
fn the_error_log_and_logs_named_by_variables_do_not_wait_either() {
    let place = with_pipe("pipe-errors");
    let first = reader(&place);
    let conf = around(
        "access_log {folder}/$arg_log; server { listen {plain}; root {folder}; return 200 served; }",
    );
    let conf = conf.replace("{folder}/error.log", "{folder}/pipe");
    let mut proxy = Proxy::start_whole(place, &conf);
    assert_eq!(proxy.connect().fetch("/?log=first").text(), "served");
    leaves(first, &proxy.place);
    proxy.signal(Signal::USR1);
    assert_eq!(proxy.connect().fetch("/?log=pipe").text(), "served");
    let mut second = proxy.connect();
    assert_eq!(second.fetch("/?log=other").text(), "served");
    proxy.logs("other", "/?log=other");
    ends(&mut proxy);
}

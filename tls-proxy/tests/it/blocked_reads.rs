//! Configurations that are read for a long time, as with name servers that do not respond: signals
//! are acted on meanwhile.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;

use crate::support::proxy::{around, command};
use crate::support::{Place, Proxy, eventually, stderr};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};

const HTTP: &str = "server { listen {plain}; return 200 served; }";

fn pipe(place: &Place, name: &str) {
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path(name), 0o600.into()).unwrap();
}

/// Waits until the pipe is being read, and keeps it open without writing to it.
fn writer(place: &Place, name: &str) -> File {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options.write(true).custom_flags(flags);
    let mut writer = None;
    eventually("a reader of the pipe", || {
        writer = options.open(place.path(name)).ok();
        writer.is_some()
    });
    writer.unwrap()
}

#[test]
fn a_stop_signal_ends_a_start_that_waits() {
    for signal in [Signal::TERM, Signal::QUIT, Signal::INT] {
        let place = Place::new("blocked-start");
        pipe(&place, "more.conf");
        let path = place.write("nginx.conf", &around("include more.conf;"));
        let mut child = command(&place, &["-c", path.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _writer = writer(&place, "more.conf");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let mut ended = false;
        eventually("the end of the program", || {
            ended = child.try_wait().unwrap().is_some();
            ended
        });
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = stderr(&output);
        assert!(said.contains("before the start was complete"), "{said}");
    }
}

#[test]
fn a_stop_signal_does_not_wait_for_a_reload() {
    let mut proxy = Proxy::start(Place::new("blocked-reload"), HTTP);
    // Each is waited for two seconds, all of them for longer than this test.
    let names: Vec<_> = (0..60).map(|number| format!("{number}.pipe")).collect();
    let mut http = HTTP.to_owned();
    for name in &names {
        pipe(&proxy.place, name);
        http.push_str(&format!(" include {name};"));
    }
    proxy.place.write("nginx.conf", &around(&http));
    proxy.signal(Signal::HUP);
    let _writer = writer(&proxy.place, &names[0]);
    // Other signals do not wait, either.
    proxy.signal(Signal::USR2);
    proxy.logs("error.log", "SIGUSR2 ignored");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(0));
    proxy.logs("error.log", "none was cut");
}

#[test]
fn a_reload_that_is_requested_during_another_one_follows_it() {
    let mut proxy = Proxy::start(Place::new("blocked-again"), HTTP);
    pipe(&proxy.place, "more.conf");
    let http = format!("{HTTP} include more.conf;");
    proxy.place.write("nginx.conf", &around(&http));
    proxy.signal(Signal::HUP);
    let first = writer(&proxy.place, "more.conf");
    proxy.signal(Signal::HUP);
    // Only on request a pipe is waited for.
    eventually("both attempts", || {
        let log = proxy.place.read("error.log");
        log.matches("nothing was written to the pipe").count() == 2
    });
    drop(first);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn the_command_line_looks_up_no_names() {
    let mut proxy = Proxy::start(Place::new("blocked-names"), HTTP);
    let names = "set_real_ip_from a.invalid; error_log syslog:server=b.invalid;
        upstream u { server c.invalid; server d.invalid:81; }
        server { listen {plain}; resolver e.invalid; location / { proxy_pass http://u; }
            location /f { proxy_pass http://f.invalid:9000; } }";
    let conf = around(names).replace("events {", "events { debug_connection g.invalid;");
    proxy.place.write("nginx.conf", &conf);
    for name in ["reload", "quit"] {
        let sent = proxy.send(name);
        assert_eq!(
            (sent.status.code(), stderr(&sent)),
            (Some(0), String::new())
        );
        if name == "reload" {
            proxy.logs("error.log", "host not found in upstream \"f.invalid:9000\"");
        }
    }
    assert_eq!(proxy.exit_code(), Some(0));
}

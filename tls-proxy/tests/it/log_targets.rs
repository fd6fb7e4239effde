//! Access and error logs that are not plain files: compressed ones, and syslog servers.

use std::io::{ErrorKind, Read as _};
use std::net::UdpSocket;
use std::process::Command;

use crate::support::proxy::{around, command};
use crate::support::{self, Place, Proxy, eventually};
use flate2::read::MultiGzDecoder;
use rustix::process::Signal;

/// The content of a compressed log, as far as it is complete.
fn unpacked(place: &Place, name: &str) -> String {
    let packed = std::fs::read(place.path(name)).unwrap_or_default();
    let mut text = String::new();
    let _ = MultiGzDecoder::new(&packed[..]).read_to_string(&mut text);
    text
}

#[test]
fn compressed_lines_are_written_in_time_and_at_the_end() {
    let conf = support::proxy::around(
        "log_format short '$uri';
         access_log {folder}/soon.gz short gzip flush=50ms;
         access_log {folder}/late.gz short gzip=9 buffer=32k;
         server { listen {plain}; location / { try_files /none =204; } }",
    );
    let mut proxy = Proxy::start_whole(Place::new("log-gzip"), &conf);
    for path in ["/one", "/two"] {
        assert_eq!(proxy.connect().fetch(path).status, 204);
        eventually(path, || {
            unpacked(&proxy.place, "soon.gz").ends_with(&format!("{path}\n"))
        });
    }
    assert_eq!(unpacked(&proxy.place, "soon.gz"), "/one\n/two\n");
    assert_eq!(
        unpacked(&proxy.place, "late.gz"),
        "",
        "the buffer is not full"
    );
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
    assert_eq!(unpacked(&proxy.place, "late.gz"), "/one\n/two\n");
}

#[test]
fn syslog_gets_a_datagram_for_each_line() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let address = server.local_addr().unwrap();
    let conf = support::proxy::around(&format!(
        "log_format short '$uri $status';
         access_log syslog:server={address},facility=local0,severity=notice,tag=front short;
         server {{ listen {{plain}};
             location / {{ return 204; }}
             location /denied {{ deny all; error_log syslog:server={address},nohostname; }} }}"
    ));
    let proxy = Proxy::start_whole(Place::new("log-syslog"), &conf);
    let next = || {
        let mut datagram = [0; 2048];
        let size = loop {
            match server.recv(&mut datagram) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        String::from_utf8_lossy(&datagram[..size]).into_owned()
    };
    assert_eq!(proxy.connect().fetch("/x").status, 204);
    let line = next();
    // Facility 16, severity 5 (RFC 3164, section 4.1.1).
    assert!(line.starts_with("<133>"), "{line}");
    assert!(line.ends_with(" front: /x 204"), "{line}");
    assert_eq!(proxy.connect().fetch("/denied").status, 403);
    let line = next();
    assert!(line.starts_with("<187>"), "{line}");
    assert!(line.contains(" nginx: "), "{line}");
    assert!(
        line.contains("[error]") && line.contains("access forbidden by rule"),
        "{line}"
    );
}

#[test]
fn a_worker_that_cannot_open_its_logs_ends_the_start() {
    let place = Place::new("log-descriptors");
    let logs = (0..100).map(|it| format!("access_log {{folder}}/{it}.log;"));
    let http = logs.collect::<String>() + "server { listen {plain}; return 204; }";
    let conf = place.write("nginx.conf", &around(&http));
    let program = command(&place, &[]);
    let started = Command::new("sh")
        .args(["-c", "ulimit -n 60 && exec \"$0\" -c \"$1\""])
        .args([program.get_program(), conf.as_os_str()])
        .output()
        .unwrap();
    assert_eq!(started.status.code(), Some(1), "{started:?}");
    let said = place.read("error.log");
    assert!(said.contains("worker 0 did not start: open() \""), "{said}");
    assert!(said.contains("failed (24: Too many open files)"), "{said}");
}

//! A reload is done when every worker has it, or not at all: in the log, in the
//! metrics, and in what clients get.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::support::proxy::around;
use crate::support::sockets::is_free;
use crate::support::{Client, Place, Proxy, Upstream, eventually};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

const ADMIN: u16 = 9113;
const WORKERS: u64 = 8;

/// A configuration of `WORKERS` workers.
fn many(http: &str) -> String {
    around(http).replace("worker_processes 1", &format!("worker_processes {WORKERS}"))
}

/// A server that returns `text` and its worker.
fn saying(text: &str) -> String {
    format!("server {{ listen {{plain}}; return 200 \"{text} $connection\"; }}")
}

fn start(place: Place, configuration: &str, more: &[&str]) -> Proxy {
    let admin = place.address(ADMIN).to_string();
    let arguments = [&["--admin", &admin[..]][..], more].concat();
    Proxy::start_with(place, configuration, &arguments)
}

fn admin(proxy: &Proxy) -> SocketAddr {
    proxy.place.address(ADMIN)
}

/// The value of a series.
fn value(proxy: &Proxy, series: &str) -> f64 {
    let page = Client::connect(admin(proxy)).fetch("/metrics").text();
    let found = page.lines().find_map(|line| line.strip_prefix(series));
    found.map_or(0.0, |value| value.trim().parse().unwrap())
}

fn becomes(proxy: &Proxy, series: &str, expected: f64) {
    eventually(&format!("{series} {expected}"), || {
        value(proxy, series) == expected
    });
}

const GENERATION: &str = "tls_proxy_config_generation";
const FAILURES: &str = "tls_proxy_config_reloads_total{result=\"failure\"}";

/// Waits until the metric has as many generations as the log has lines.
fn as_many_generations(proxy: &Proxy) {
    eventually("as many generations as lines", || {
        let lines = u32::try_from(reloads(proxy)).unwrap();
        value(proxy, GENERATION) == 1.0 + f64::from(lines)
    });
}

/// The response of each worker: a connection's number identifies its worker.
fn said_by_all(proxy: &Proxy) -> BTreeMap<u64, String> {
    let mut said = BTreeMap::new();
    eventually("a connection to every worker", || {
        let text = proxy.connect().fetch("/").text();
        let (text, connection) = text.split_once(' ').unwrap();
        let worker = connection.parse::<u64>().unwrap() % WORKERS;
        said.insert(worker, text.to_owned());
        said.len() == usize::try_from(WORKERS).unwrap()
    });
    said
}

fn all_say(proxy: &Proxy, expected: &str) {
    let said = said_by_all(proxy);
    assert!(said.values().all(|text| text == expected), "{said:?}");
}

fn reloads(proxy: &Proxy) -> usize {
    let log = proxy.place.read("error.log");
    log.matches("configuration reloaded").count()
}

fn open_files(proxy: &Proxy) -> u64 {
    let folder = format!("/proc/{}/fd", proxy.pid());
    std::fs::read_dir(folder).unwrap().count() as u64
}

/// Sets the program's limit on open files, possibly below the current number.
fn limit_files(proxy: &Proxy, most: u64) {
    let pid = Pid::from_raw(i32::try_from(proxy.pid()).unwrap());
    let maximum = prlimit(
        pid,
        Resource::Nofile,
        Rlimit {
            current: Some(most),
            maximum: Some(4096),
        },
    );
    maximum.unwrap();
}

#[test]
fn what_one_worker_cannot_have_is_taken_by_none() {
    let place = Place::new("whole-files");
    let proxy = start(place, &many(&saying("old")), &[]);
    all_say(&proxy, "old");
    // Enough to read a configuration and for the files of two or three workers.
    limit_files(&proxy, open_files(&proxy) + 24);
    let logs: Vec<_> = (0..8)
        .map(|number| format!("access_log {{folder}}/{number}.log;"))
        .collect();
    let new = many(&saying("new").replace("return", &format!("{} return", logs.concat())));
    proxy.place.write("nginx.conf", &new);
    becomes(&proxy, FAILURES, 1.0);
    all_say(&proxy, "old");
    becomes(&proxy, GENERATION, 1.0);
    let log = proxy.place.read("error.log");
    assert!(log.contains("(24: Too many open files); keeping"), "{log}");
    assert_eq!(reloads(&proxy), 0, "{log}");
    // It is read again by itself.
    limit_files(&proxy, 4096);
    becomes(&proxy, GENERATION, 2.0);
    all_say(&proxy, "new");
}

#[test]
fn what_was_rejected_is_read_again_until_it_can_be_had_and_is_said_once() {
    let proxy = start(Place::new("whole-again"), &many(&saying("old")), &[]);
    let new = saying("new").replace("return", "access_log {folder}/later/a.log; return");
    proxy.place.write("nginx.conf", &many(&new));
    becomes(&proxy, FAILURES, 1.0);
    proxy.logs("error.log", "is still rejected");
    all_say(&proxy, "old");
    // No file of the configuration changes.
    std::fs::create_dir(proxy.place.path("later")).unwrap();
    becomes(&proxy, GENERATION, 2.0);
    all_say(&proxy, "new");
    becomes(&proxy, FAILURES, 1.0);
    let log = proxy.place.read("error.log");
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.contains("[error]"))
        .collect();
    assert_eq!(errors.len(), 2, "{log}");
}

#[test]
fn an_address_that_cannot_be_bound_leaves_no_other_open() {
    let place = Place::new("whole-bind");
    let taken = std::net::TcpListener::bind(place.address(8082)).unwrap();
    let proxy = start(place, &many(&saying("old")), &[]);
    all_say(&proxy, "old");
    let more = saying("new").replace(
        "return",
        "listen unix:{folder}/own.sock; listen {ip}:8081; listen {ip}:8082; return",
    );
    proxy.place.write("nginx.conf", &many(&more));
    becomes(&proxy, FAILURES, 1.0);
    all_say(&proxy, "old");
    becomes(&proxy, GENERATION, 1.0);
    assert!(TcpStream::connect(proxy.place.address(8081)).is_err());
    assert!(!proxy.place.path("own.sock").exists());
    drop(taken);
    is_free(proxy.place.address(8082));
    becomes(&proxy, GENERATION, 2.0);
    all_say(&proxy, "new");
    assert!(TcpStream::connect(proxy.place.address(8081)).is_ok());
}

#[test]
fn the_line_and_the_metric_come_when_every_worker_has_it() {
    let proxy = start(Place::new("whole-many"), &many(&saying("0")), &[]);
    for number in 1..=10 {
        let text = number.to_string();
        let before = reloads(&proxy);
        proxy.place.write("nginx.conf", &many(&saying(&text)));
        proxy.signal(Signal::HUP);
        eventually("the line", || reloads(&proxy) > before);
        let early: Vec<_> = (0..4 * WORKERS)
            .map(|_| proxy.connect().fetch("/").text())
            .collect();
        let all = early
            .iter()
            .all(|said| said.starts_with(&format!("{text} ")));
        assert!(all, "{text}: {early:?}");
        // More than one, if the change was noticed before the signal came.
        as_many_generations(&proxy);
    }
}

/// A proxy of two workers, one of which is blocked in a write to a pipe that nobody
/// reads; its number, and the pipe's reading end.
fn one_stands_still(place: Place, more: &[&str]) -> (Proxy, u64, std::fs::File) {
    let pipe = place.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let http = "log_format long '$request_uri'; access_log {folder}/pipe long;
        server { listen {plain}; return 200 \"old $connection\"; }";
    let two = around(http).replace("worker_processes 1", "worker_processes 2");
    let proxy = start(place, &two, more);
    let mut client = proxy.connect();
    let said = client.fetch("/").text();
    let connection: u64 = said.strip_prefix("old ").unwrap().parse().unwrap();
    let worker = (connection - 1) % 2;
    let path = format!("/{}", "a".repeat(4000));
    for _ in 0..40 {
        client.ask(&path);
    }
    let stuck = format!("worker {worker} does not respond\n");
    eventually("a worker that hangs", || {
        Client::connect(admin(&proxy)).fetch("/healthz").text() == stuck
    });
    (proxy, worker, reader)
}

/// Keeps the pipe empty until the test ends.
fn read_on(mut reader: std::fs::File) {
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
}

#[test]
fn a_worker_that_stands_still_is_named_and_waited_for() {
    let (mut proxy, worker, reader) = one_stands_still(Place::new("whole-still"), &[]);
    proxy.place.write("nginx.conf", &around(&saying("new")));
    proxy.signal(Signal::HUP);
    let name = format!("worker {worker} has not applied the new configuration yet");
    proxy.logs("error.log", &name);
    let old = proxy.place.read("error.log");
    assert!(!old.contains("configuration reloaded"), "{old}");
    becomes(&proxy, GENERATION, 1.0);
    // Further signals are received meanwhile, and the last one counts.
    proxy.place.write("nginx.conf", &around(&saying("newer")));
    proxy.signal(Signal::HUP);
    proxy.signal(Signal::USR2);
    proxy.logs("error.log", "SIGUSR2 ignored");
    proxy.place.write("nginx.conf", &around(&saying("newest")));
    proxy.signal(Signal::HUP);
    assert_eq!(reloads(&proxy), 0);
    read_on(reader);
    eventually("the last configuration, by both workers", || {
        let said: Vec<_> = (0..16).map(|_| proxy.connect().fetch("/").text()).collect();
        said.iter().all(|said| said.starts_with("newest "))
    });
    // The last worker has it a moment before the line is written.
    eventually("both lines", || reloads(&proxy) >= 2);
    as_many_generations(&proxy);
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn a_hung_worker_does_not_prevent_the_exit() {
    let (mut proxy, _, reader) =
        one_stands_still(Place::new("whole-end"), &["--shutdown-budget", "1s"]);
    proxy.place.write("nginx.conf", &around(&saying("new")));
    proxy.signal(Signal::HUP);
    proxy.signal(Signal::TERM);
    proxy.logs("error.log", "1 workers do not stop: exiting without them");
    assert_eq!(proxy.exit_code(), Some(1));
    drop(reader);
}

#[test]
fn who_is_about_to_end_takes_no_configuration() {
    let place = Place::new("whole-drain");
    let (upstream, release) = Upstream::held(&place);
    let passing = "server { listen {plain}; location / { proxy_pass http://{upstream}; } }";
    let mut proxy = start(place, &many(passing), &[]);
    let mut busy = proxy.connect();
    busy.ask("/");
    upstream.has_seen(1);
    // Sent before: all workers apply it, however soon the shutdown begins.
    proxy
        .place
        .write("nginx.conf", &many(&format!("{passing} #")));
    proxy.signal(Signal::HUP);
    eventually("a reload", || reloads(&proxy) > 0);
    // More than one, if the change was noticed before the signal came.
    as_many_generations(&proxy);
    let taken = reloads(&proxy);
    proxy.signal(Signal::QUIT);
    proxy.logs("error.log", "draining: listeners closed");
    proxy.place.write("nginx.conf", &many(&saying("new")));
    proxy.signal(Signal::HUP);
    proxy.logs("error.log", "reload ignored: the process is shutting down");
    as_many_generations(&proxy);
    drop(release);
    assert_eq!(busy.response().text(), "held");
    assert_eq!(proxy.exit_code(), Some(0));
    assert_eq!(reloads(&proxy), taken);
}

#[test]
fn a_log_file_moves_for_every_worker_or_for_none() {
    let place = Place::new("whole-reopen");
    std::fs::create_dir(place.path("gone")).unwrap();
    let http = saying("x").replace(
        "return",
        "access_log {folder}/gone/a.log; access_log {folder}/b.log; return",
    );
    let proxy = start(place, &many(&http), &[]);
    let before = said_by_all(&proxy);
    let rename = |from: &str, to: &str| {
        std::fs::rename(proxy.place.path(from), proxy.place.path(to)).unwrap();
    };
    rename("gone", "kept");
    rename("b.log", "b.old");
    proxy.signal(Signal::USR1);
    proxy.logs(
        "error.log",
        "gone/a.log\" failed (2: No such file or directory)",
    );
    eventually("the other file", || proxy.place.path("b.log").exists());
    let lines = |name: &str| proxy.place.read(name).lines().count();
    eventually("the lines so far", || lines("kept/a.log") >= before.len());
    let all = lines("kept/a.log");
    said_by_all(&proxy);
    eventually("lines in both files", || {
        // An earlier line may be late, in both.
        lines("kept/a.log") > all && lines("kept/a.log") == lines("b.old") + lines("b.log")
    });
    let log = proxy.place.read("error.log");
    assert_eq!(log.matches("gone/a.log\" failed").count(), 1, "{log}");
}

//! The program under test: started with a configuration, signalled, and stopped with the
//! test in any case.

use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::place::{PLAIN, TLS};
use super::{Client, PATIENCE, Place, eventually};

/// The beginning of every configuration.
const MAIN: &str = "\
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
";

/// A running `tls-proxy`.
pub(crate) struct Proxy {
    pub(crate) place: Place,
    child: Child,
}

/// A complete configuration around the text of `http`.
pub(crate) fn around(http: &str) -> String {
    format!("{MAIN}events {{}}\nhttp {{\naccess_log {{folder}}/access.log;\n{http}\n}}\n")
}

/// The program with `arguments`, in the directory of a place.
pub(crate) fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tls-proxy"));
    command
        .args(arguments)
        .current_dir(place.folder())
        .env_remove("http_proxy")
        .stdin(Stdio::null());
    command
}

/// Runs the program until it exits, which must be soon.
pub(crate) fn output(place: &Place, arguments: &[&str]) -> Output {
    let mut child = command(place, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What these commands print fits into a pipe.
    wait(&mut child, &format!("the end of {arguments:?}"));
    child.wait_with_output().unwrap()
}

/// Runs it with a configuration that it must reject, and returns its messages.
pub(crate) fn refusal(place: &Place, configuration: &str) -> String {
    let path = place.write("nginx.conf", configuration);
    let output = output(place, &["-c", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    super::stderr(&output)
}

fn wait(child: &mut Child, what: &str) -> ExitStatus {
    let mut status = None;
    let start = std::time::Instant::now();
    while status.is_none() && start.elapsed() < PATIENCE {
        status = child.try_wait().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status.unwrap_or_else(|| panic!("never came: {what}"))
}

impl Proxy {
    /// Starts with the text of an `http` block.
    pub(crate) fn start(place: Place, http: &str) -> Self {
        Self::start_whole(place, &around(http))
    }

    /// Starts with one plain-text server that proxies everything; `more` is inside that
    /// server.
    pub(crate) fn passing(place: Place, more: &str) -> Self {
        let http = format!(
            "server {{ listen {{plain}}; {more} location / {{ proxy_pass http://{{upstream}}; }} }}"
        );
        Self::start(place, &http)
    }

    /// Starts with a complete configuration and waits until it listens.
    pub(crate) fn start_whole(place: Place, configuration: &str) -> Self {
        Self::start_with(place, configuration, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(place: Place, configuration: &str, arguments: &[&str]) -> Self {
        let command = command(&place, arguments);
        Self::start_by(place, configuration, command)
    }

    /// The same with a command that does not name the configuration.
    pub(crate) fn start_by(place: Place, configuration: &str, mut command: Command) -> Self {
        let path = place.write("nginx.conf", configuration);
        let mut child = command
            .arg("-c")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(place.path("stderr")).unwrap())
            .spawn()
            .unwrap();
        eventually("the pid file", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!(
                    "{status}: {}{}",
                    place.read("stderr"),
                    place.read("error.log")
                );
            }
            !place.read("nginx.pid").is_empty()
        });
        Self { place, child }
    }

    /// A plain-text connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.place.address(PLAIN))
    }

    /// `http://…` and `https://…` of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.place.address(PLAIN))
    }

    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.place.address(TLS))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Runs `-s` with a signal's name on this proxy's configuration.
    pub(crate) fn send(&self, name: &str) -> Output {
        let conf = self.place.path("nginx.conf");
        output(&self.place, &["-c", conf.to_str().unwrap(), "-s", name])
    }

    /// Starts `-s quit`, as a preStop hook does.
    pub(crate) fn begin_quit(&self) -> Child {
        let conf = self.place.path("nginx.conf");
        command(&self.place, &["-s", "quit", "-c"])
            .arg(conf)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Waits for its exit; returns the exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        wait(&mut self.child, "the end of the program").code()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for a text in one of its logs.
    pub(crate) fn logs(&self, name: &str, text: &str) {
        let what = format!("\"{text}\" in {name}");
        eventually(&what, || self.place.read(name).contains(text));
    }

    /// Does something while the program stands still. It sees all of it at once, however long it
    /// takes.
    pub(crate) fn while_stopped<T>(&self, act: impl FnOnce() -> T) -> T {
        self.signal(Signal::STOP);
        eventually("a stopped program", || self.stat()[0] == "T");
        let done = act();
        self.signal(Signal::CONT);
        done
    }

    /// CPU time so far, also of threads that have ended.
    pub(crate) fn processor_time(&self) -> std::time::Duration {
        // Fields 14 and 15, in ticks of 10 ms.
        let times = &self.stat()[11..13];
        let ticks: u64 = times.iter().map(|own| own.parse::<u64>().unwrap()).sum();
        std::time::Duration::from_millis(10 * ticks)
    }

    /// The fields of proc_pid_stat(5) from the third one, the state.
    fn stat(&self) -> Vec<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').map(str::to_owned).collect()
    }

    /// Its peak memory so far, bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Its own memory, without files, bytes.
    pub(crate) fn anonymous_memory(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, kind: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(kind));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        kilobytes.unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.place.read("error.log");
            println!(
                "error.log:\n{log}access.log:\n{}",
                self.place.read("access.log")
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

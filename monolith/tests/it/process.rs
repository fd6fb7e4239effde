//! The program itself: exit codes, signals, what it prints.

use crate::support::{SLOW, SLOWER, basic, directory, own_address, request};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A user without other processes.
const NOBODY_ELSE: u32 = 64_123;

/// Ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn monolith(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monolith"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = monolith(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A running program, and the addresses that it logged.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    http: SocketAddr,
    health: SocketAddr,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let ports = ["http", "health"].map(|name| format!("-{name}={}", own_address()));
        let ports = [&ports[0][..], &ports[1]];
        let mut child = monolith(&[&ports, arguments].concat()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("serving") {
            line.clear();
            assert_ne!(
                stderr.read_line(&mut line).unwrap(),
                0,
                "it ended before it was serving"
            );
        }
        let address = |name: &str| {
            let field = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name));
            field.unwrap().parse().unwrap()
        };
        let (http, health) = (address("http="), address("health="));
        Self {
            child,
            stderr,
            http,
            health,
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// Waits for the exit: the code, the access log, the rest of the error log.
    fn end(mut self) -> (i32, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stderr.read_to_string(&mut stderr).unwrap();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        (self.child.wait().unwrap().code().unwrap(), stdout, stderr)
    }

    /// Waits for a line of the metrics.
    fn until_metric(&self, line: &str) {
        self.until_one_of(&[line]);
    }

    fn until_one_of(&self, lines: &[&str]) {
        let start = Instant::now();
        let has_come = |page: String| lines.iter().any(|line| page.contains(line));
        while !has_come(fetch(self.health, "/metrics")) {
            assert!(start.elapsed() < PATIENCE, "never came: {lines:?}");
        }
    }

    /// Starts a login that takes a while, and waits until it is in the queue, or has been.
    fn slow_login(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.http).unwrap();
        let login = request("GET", "/login", &[&basic("slow:secret")], "close");
        stream.write_all(login.as_bytes()).unwrap();
        self.until_one_of(&[
            "monolith_password_queue 1\n",
            "monolith_logins_total{outcome=\"accepted\"} 1\n",
        ]);
        stream
    }
}

fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(request("GET", path, &[], "close").as_bytes())
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn slow_users(name: &str, hash: &str) -> String {
    let file = directory(name).join("users");
    std::fs::write(&file, format!("slow:{hash}\n")).unwrap();
    format!("--users-file={}", file.display())
}

#[test]
fn the_version_is_printed() {
    assert_eq!(
        output(&["--version"]),
        (0, "monolith 1.0.0\n".into(), String::new())
    );
    assert_eq!(
        output(&["-version"]),
        (0, "monolith 1.0.0\n".into(), String::new())
    );
}

#[test]
fn help_names_every_flag_and_its_variable() {
    let (code, stdout, _) = output(&["--help"]);
    assert_eq!(code, 0);
    for name in [
        "--http",
        "--health",
        "--secret-file",
        "MONOLITH_USERS_FILE",
        "--no-faults",
    ] {
        assert!(stdout.contains(name), "{name}");
    }
}

#[test]
fn a_usage_error_exits_with_64() {
    for arguments in [&["-http=nonsense"][..], &["--unknown"], &["stray"]] {
        let (code, stdout, stderr) = output(arguments);
        assert_eq!((code, stdout.as_str()), (64, ""));
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

#[test]
fn a_configuration_error_exits_with_78_and_one_line() {
    let file = directory("wrong").join("users");
    std::fs::write(&file, "# staff\nann:plain\n").unwrap();
    let users = format!("--users-file={}", file.display());
    for (argument, expected) in [
        (
            "--secret-file=/nonexistent/key",
            "cannot read /nonexistent/key, named by --secret-file: No such file",
        ),
        ("-secret=", "--secret is empty"),
        (users.as_str(), "users:2: is not a bcrypt hash"),
    ] {
        let (code, _, stderr) = output(&[argument]);
        assert_eq!(code, 78, "{stderr}");
        let errors: Vec<_> = stderr
            .lines()
            .filter(|line| line.contains("ERROR"))
            .collect();
        assert_eq!(errors.len(), 1, "{stderr}");
        assert!(errors[0].contains(expected), "{stderr}");
    }
}

#[test]
fn a_port_in_use_exits_with_1_and_one_line() {
    let running = Running::start(&["-secret=secret"]);
    let address = running.http.to_string();
    let (code, _, stderr) = output(&["-secret=secret", "-http", &address]);
    assert_eq!(code, 1);
    let expected = format!(
        "cannot listen on {address}, named by --http (stop what listens there, or choose another port)"
    );
    assert!(stderr.contains(&expected), "{stderr}");
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end().0, 0);
}

#[test]
fn a_short_secret_and_no_secret_cause_a_warning() {
    let mut command = monolith(&["-http=127.0.0.1:0", "-health=192.0.2.1:1", "-secret=secret"]);
    let stderr = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(
        stderr.contains("WARN") && stderr.contains("--secret is short"),
        "{stderr}"
    );
    let mut command = monolith(&["-http=127.0.0.1:0", "-health=192.0.2.1:1"]);
    let stderr = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(stderr.contains("WARN no secret given"), "{stderr}");
}

#[test]
fn flags_can_be_environment_variables_and_help_does_not_show_the_secret() {
    let mut command = monolith(&["--help"]);
    let stdout = command
        .env("MONOLITH_SECRET", "hunter2")
        .output()
        .unwrap()
        .stdout;
    assert!(!String::from_utf8(stdout).unwrap().contains("hunter2"));
    let code = monolith(&[])
        .env("MONOLITH_HTTP", "nonsense")
        .status()
        .unwrap()
        .code();
    assert_eq!(code, Some(64));
}

#[test]
fn either_signal_drains_and_exits_with_0() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let running = Running::start(&["-secret=secret"]);
        assert!(fetch(running.http, "/").ends_with(r#"{"message":"Hello"}"#));
        running.signal(signal);
        let (code, stdout, stderr) = running.end();
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(stdout.lines().count(), 1, "{stdout}");
        assert!(stderr.contains("drained"), "{stderr}");
    }
}

#[test]
fn a_login_in_flight_gets_its_response_after_the_signal() {
    let running = Running::start(&[&slow_users("flight", SLOW), "--shutdown-budget=10m"]);
    let mut login = running.slow_login();
    running.signal(rustix::process::Signal::TERM);
    let mut response = String::new();
    login.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert_eq!(running.end().0, 0);
}

#[test]
fn a_second_signal_exits_with_1() {
    let running = Running::start(&[&slow_users("second", SLOWER), "--token-lifetime=5s"]);
    let _login = running.slow_login();
    running.signal(rustix::process::Signal::TERM);
    // The kernel merges two pending signals into one.
    running.until_metric("monolith_ready 0\n");
    running.signal(rustix::process::Signal::TERM);
    let (code, _, stderr) = running.end();
    assert_eq!(code, 1);
    assert!(
        stderr.contains("forced to stop by a second signal: 1 connections closed"),
        "{stderr}"
    );
}

#[test]
fn an_exceeded_budget_exits_with_1() {
    let running = Running::start(&[&slow_users("budget", SLOW), "--shutdown-budget=1s"]);
    let mut stuck = TcpStream::connect(running.http).unwrap();
    // An incomplete header.
    stuck.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    running.until_metric("monolith_connections 1\n");
    fetch(running.http, "/");
    running.signal(rustix::process::Signal::TERM);
    let (code, _, stderr) = running.end();
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("shutdown budget of 1 s exceeded: 1 connections closed"),
        "{stderr}"
    );
}

/// As a user who may have one process, and no thread beside it. Root has no such limit.
#[test]
fn without_threads_it_ends_with_1_and_says_so() {
    let program = env!("CARGO_BIN_EXE_monolith");
    let ports = ["http", "health"].map(|name| format!("-{name}={}", own_address()));
    let mut command = Command::new("prlimit");
    command.arg("--nproc=1:1").arg(program).args(ports);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY_ELSE).gid(NOBODY_ELSE);
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot start: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn with_leave_last_it_serves_while_another_process_has_a_socket() {
    let _other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let running = Running::start(&["--leave-last"]);
    running.signal(rustix::process::Signal::TERM);
    running.until_metric("monolith_ready 0\n");
    // Longer than it takes to check for the other process, and to end without one.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(fetch(running.http, "/").contains("Hello"));
    assert!(fetch(running.health, "/readiness").starts_with("HTTP/1.1 503 "));
    running.signal(rustix::process::Signal::TERM);
    let (code, _, stderr) = running.end();
    assert_eq!(code, 1, "{stderr}");
}

#[test]
fn with_leave_last_sigint_does_not_wait() {
    let _other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let running = Running::start(&["--leave-last"]);
    running.signal(rustix::process::Signal::INT);
    let (code, _, stderr) = running.end();
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains("no other process of the pod"), "{stderr}");
}

#[test]
fn the_error_log_is_json_too() {
    let (_, _, stderr) = output(&["--log-format=json", "--secret-file=/nonexistent/key"]);
    let line: serde_json::Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["message"]
            .as_str()
            .unwrap()
            .contains("/nonexistent/key")
    );
}

//! Shared by end-to-end tests: a place with an address of its own, the running program,
//! a client and a scripted upstream. What a test expects is in the test.

#![allow(clippy::print_stdout, reason = "a test that fails shows the logs")]

pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod counted;
pub(crate) mod delimited;
pub(crate) mod frames;
pub(crate) mod oracle;
pub(crate) mod place;
pub(crate) mod proxy;
pub(crate) mod sockets;
pub(crate) mod upstream;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use place::Place;
pub(crate) use proxy::Proxy;
pub(crate) use upstream::Upstream;

/// The time-out of everything: no test measures time, but none hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where tests run on many CPUs, they have more files open together than many a shell allows.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a test in a process of its own, because it affects a whole process, as signals do.
/// `test` is its path in this binary.
pub(crate) fn in_own_process(test: &str, body: impl Future<Output = ()>) {
    const ALONE: &str = "TEST_IN_OWN_PROCESS";
    if std::env::var_os(ALONE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(body);
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let (out, error) = (stdout(&output), stderr(&output));
    let passed = output.status.success() && out.contains("1 passed");
    assert!(passed, "{test}: {out}{error}");
}

/// Runs `curl` quietly, for at most ten times the tests' time-out: a large body takes longer
/// than any pause.
pub(crate) fn curl(arguments: &[&str]) -> Output {
    Command::new("curl")
        .args([
            "--silent",
            "--insecure",
            "--noproxy",
            "*",
            "--max-time",
            "600",
        ])
        .args(arguments)
        .output()
        .expect("curl is installed")
}

/// A program's standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A program's standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

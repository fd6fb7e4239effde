//! One of the two programs: found, started with a configuration, stopped, and run with `-t`.

use super::case::Case;
use super::sandbox::Sandbox;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A binary that understands nginx's command line.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// Real nginx goes to the background by itself and gives up root unless told otherwise.
    pub(crate) is_nginx: bool,
    pub(crate) version: String,
}

/// A started program.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

/// What `-t` said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) accepted: bool,
    /// The line of the first error.
    pub(crate) line: Option<u32>,
    pub(crate) output: String,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Program {
    pub(crate) fn find(path: &Path) -> Option<Self> {
        let output = Command::new(path).arg("-v").output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        let version = text.trim().trim_start_matches("nginx version: ").to_owned();
        Some(Self {
            path: path.to_owned(),
            is_nginx: version.starts_with("nginx/"),
            version,
        })
    }

    fn command(&self, case: &Case, sandbox: &Sandbox) -> Command {
        let mut command = Command::new(&self.path);
        command
            .arg("-p")
            .arg(&sandbox.folder)
            .arg("-c")
            .arg(sandbox.folder.join("case.conf"));
        if self.is_nginx {
            let mut globals = String::new();
            if !case.configuration.contains("daemon off") {
                globals.push_str("daemon off; ");
            }
            let names_user = |text: &str| text.starts_with("user ") || text.contains("\nuser ");
            if !names_user(&case.configuration) {
                globals.push_str("user root root; ");
            }
            if case.whole && !case.configuration.contains("pid ") {
                globals.push_str(&format!("pid {}/nginx.pid;", sandbox.folder.display()));
            }
            command
                .arg("-e")
                .arg(sandbox.folder.join("error.log"))
                .arg("-g")
                .arg(globals);
        }
        command
    }

    pub(crate) fn check(&self, case: &Case, sandbox: &Sandbox) -> Result<Check, String> {
        let output = self
            .command(case, sandbox)
            .arg("-t")
            .output()
            .map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        let line = text
            .lines()
            .filter(|line| !line.contains("[warn]"))
            .find_map(named_line);
        Ok(Check {
            accepted: output.status.success(),
            line,
            output: text,
        })
    }

    /// Starts it, and waits until every port of `sandbox` that the configuration names is open.
    pub(crate) fn start(&self, case: &Case, sandbox: &Sandbox) -> Result<Running, String> {
        let console = |name: &str| std::fs::File::create(sandbox.folder.join(name));
        let mut command = self.command(case, sandbox);
        command
            .stdin(Stdio::null())
            .stdout(console("stdout").map_err(|error| error.to_string())?)
            .stderr(console("stderr").map_err(|error| error.to_string())?);
        let child = command.spawn().map_err(|error| error.to_string())?;
        let mut running = Running { child };
        for number in 1..=5 {
            let placeholders = [format!("%PORT_{number}%"), "%PORT%".to_owned()];
            let is_named = placeholders[..=usize::from(number == 1)]
                .iter()
                .any(|placeholder| case.configuration.contains(placeholder));
            if is_named && !running.wait_for(sandbox.server(number)) {
                running.stop();
                let said = std::fs::read_to_string(sandbox.folder.join("stderr"));
                return Err(format!(
                    "{} did not start: {}",
                    self.version,
                    said.unwrap_or_default()
                ));
            }
        }
        Ok(running)
    }
}

impl Running {
    fn wait_for(&mut self, port: u16) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return true;
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Stops it gracefully, so that every completed request is in the log, then kills it.
    pub(crate) fn stop(&mut self) {
        for (signal, patience) in [("QUIT", 1500), ("TERM", 1000), ("KILL", 5000)] {
            // std sends SIGKILL only.
            let id = self.child.id().to_string();
            let _ = Command::new("kill")
                .args(["-s", signal, &id])
                .stderr(Stdio::null())
                .status();
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(patience) {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// The line number of a message that names `case.conf:LINE` (or another file's).
fn named_line(message: &str) -> Option<u32> {
    let (_, behind) = message.split_once(".conf:")?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

//! `-s`: finds the running proxy, signals it, and for `quit` and `stop` waits until it is
//! drained, so that a preStop hook delays the end of the pod.
//!
//! The exit of PID 1 kills everything in its container, including this process. So the
//! waiting process holds a shared lock on the pid file from before it sends the signal; the
//! drained server removes the file, which ends the wait, and exits only after it has got
//! the lock for itself (see `pid_file`), when the waiting process has exited with 0.
//! Without a pid file the hook is killed with the server.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, getpid, kill_process, test_kill_process};

use crate::conf::reason;

/// Short enough to end a drain without visible delay, long enough to cost nothing.
const POLL: Duration = Duration::from_millis(15);

/// The signals of `-s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Drain; the sender waits.
    Quit,
    /// Drain as well, unlike nginx, which drops its connections. The sender waits.
    Stop,
    /// Read the configuration again.
    Reload,
    /// Reopen the logs.
    Reopen,
}

impl Signal {
    /// The signal of that name on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "quit" => Self::Quit,
            "stop" => Self::Stop,
            "reload" => Self::Reload,
            "reopen" => Self::Reopen,
            _ => return None,
        })
    }

    fn to_system(self) -> rustix::process::Signal {
        match self {
            Self::Quit => rustix::process::Signal::QUIT,
            Self::Stop => rustix::process::Signal::TERM,
            Self::Reload => rustix::process::Signal::HUP,
            Self::Reopen => rustix::process::Signal::USR1,
        }
    }
}

/// Why no signal was sent, in nginx's words, printed as `[error]`.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The pid file cannot be read.
    #[error("open() \"{}\" failed ({})", path.display(), reason(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The pid file contains no pid.
    #[error("invalid PID number \"{text}\" in \"{}\"", path.display())]
    Invalid {
        /// Its content.
        text: String,
        /// The file.
        path: PathBuf,
    },
    /// The signal was rejected by the system.
    #[error("kill({pid}, {number}) failed ({})", reason(source))]
    Kill {
        /// The process.
        pid: i32,
        /// The signal's number.
        number: i32,
        /// The reason.
        source: io::Error,
    },
}

/// Signals the server whose pid is in `pid_file`, or PID 1 if the file cannot be used and
/// PID 1 is the same program. For `quit` and `stop` it returns when the server is drained.
///
/// # Errors
/// If no server could be signalled.
pub fn send(signal: Signal, pid_file: &Path) -> Result<(), ControlError> {
    let server = match RunningServer::named_by(pid_file) {
        Ok(server) => server,
        Err(error) => RunningServer::first_of_container().ok_or(error)?,
    };
    let server = match (server.signal(signal), RunningServer::first_of_container()) {
        (Ok(()), _) => server,
        // The file of a server that was killed.
        (Err(error), Some(first)) if server.is_gone() => {
            first.signal(signal).map_err(|_| error)?;
            first
        }
        (Err(error), _) => return Err(error),
    };
    if matches!(signal, Signal::Quit | Signal::Stop) {
        while !server.is_gone() {
            thread::sleep(POLL);
        }
    }
    Ok(())
}

/// A running server.
struct RunningServer {
    pid: Pid,
    /// The start time, which tells it from a later process with the same pid.
    started: Option<String>,
    /// The locked pid file and its path.
    file: Option<(File, PathBuf)>,
}

impl RunningServer {
    fn named_by(path: &Path) -> Result<Self, ControlError> {
        let open = |source| ControlError::Open {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(open)?;
        // A shared lock is refused only while a drained server has its own, and that one is
        // about to exit.
        let _ = flock(&file, FlockOperation::NonBlockingLockShared);
        let mut bytes = Vec::new();
        (&mut file).take(64).read_to_end(&mut bytes).map_err(open)?;
        let text = String::from_utf8_lossy(&bytes)
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let pid = text.parse().ok().filter(|_| digits).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| ControlError::Invalid {
            text,
            path: path.to_owned(),
        })?;
        Ok(Self {
            pid,
            started: started(pid),
            file: Some((file, path.to_owned())),
        })
    }

    /// PID 1, if it runs the same executable as this process.
    fn first_of_container() -> Option<Self> {
        let executable = |path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        let first = Pid::from_raw(1).filter(|first| *first != getpid())?;
        let same = executable("/proc/1/exe")? == executable("/proc/self/exe")?;
        same.then(|| Self {
            pid: first,
            started: started(first),
            file: None,
        })
    }

    fn signal(&self, signal: Signal) -> Result<(), ControlError> {
        let signal = signal.to_system();
        kill_process(self.pid, signal).map_err(|error| ControlError::Kill {
            pid: self.pid.as_raw_nonzero().get(),
            number: signal.as_raw(),
            source: error.into(),
        })
    }

    /// Drained or dead.
    fn is_gone(&self) -> bool {
        self.has_removed_its_file() || !self.is_running()
    }

    fn has_removed_its_file(&self) -> bool {
        let Some((file, path)) = &self.file else {
            return false;
        };
        let identity = |file: fs::Metadata| (file.dev(), file.ino());
        match (file.metadata(), fs::metadata(path)) {
            (Ok(ours), Ok(now)) => identity(ours) != identity(now),
            (_, Err(error)) => error.kind() == io::ErrorKind::NotFound,
            (Err(_), _) => false,
        }
    }

    fn is_running(&self) -> bool {
        let exists = test_kill_process(self.pid) != Err(rustix::io::Errno::SRCH);
        exists && (self.started.is_none() || self.started == started(self.pid))
    }
}

/// The start time of a process, in kernel ticks; `None` if it does not exist, or is a
/// zombie.
fn started(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name, in parentheses, may contain spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    // State is field 3 of proc_pid_stat(5), the start time field 22.
    fields
        .nth(18)
        .filter(|_| !matches!(state, "Z" | "X"))
        .map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_of_no_use_are_named_in_the_words_of_nginx() {
        let folder = std::env::temp_dir().join(format!("control-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("nginx.pid");
        let shown = path.display();
        assert_eq!(
            send(Signal::Quit, &path).unwrap_err().to_string(),
            format!("open() \"{shown}\" failed (2: No such file or directory)")
        );
        for text in ["", "abc", "0", "-1", "+7", "1 2", "99999999999999"] {
            fs::write(&path, format!("{text}\n")).unwrap();
            assert_eq!(
                send(Signal::Quit, &path).unwrap_err().to_string(),
                format!("invalid PID number \"{text}\" in \"{shown}\"")
            );
        }
        fs::write(&path, "999999999\n").unwrap();
        assert_eq!(
            send(Signal::Reload, &path).unwrap_err().to_string(),
            "kill(999999999, 1) failed (3: No such process)"
        );
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_pid() {
        let pid = getpid();
        assert!(started(pid).is_some());
        let started = Some("0".to_owned());
        assert!(
            !RunningServer {
                pid,
                started,
                file: None
            }
            .is_running()
        );
    }
}

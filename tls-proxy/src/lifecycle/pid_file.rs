//! The pid file: written when everything is bound, removed when drained.
//!
//! Removing it tells a waiting `-s quit` that the server is drained (see `control`).
//! Waiting processes hold a shared lock on the file, so the server knows whether there are
//! any, and exits after they have; without any it exits at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::conf::reason;

/// A waiting process checks every 15 ms. One that takes longer than this is stopped itself,
/// and the pod must not wait for it.
const LINGER: Duration = Duration::from_secs(1);

/// Interval of checking whether the waiting processes have exited.
const POLL: Duration = Duration::from_millis(5);

/// The file could not be written. At the start this is a warning, and the process serves without
/// it; a reload is rejected, as in nginx.
#[derive(Debug, thiserror::Error)]
#[error("open() \"{}\" failed ({})", path.display(), reason(source))]
pub struct PidFileError {
    path: PathBuf,
    source: io::Error,
}

/// The pid of this process in a file; dropping it removes the file.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// The file that waiting processes lock, even if it was renamed.
    file: File,
}

impl PidFile {
    /// Writes the pid of this process atomically; like nginx, over the file of a killed
    /// process.
    ///
    /// # Errors
    /// If the directory does not exist, is read-only or full.
    pub fn write(path: &Path) -> Result<Self, PidFileError> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", process::id()));
        let draft = PathBuf::from(name);
        let written = create(&draft).and_then(|file| {
            fs::rename(&draft, path)?;
            Ok(file)
        });
        match written {
            Ok(file) => Ok(Self {
                path: path.to_owned(),
                file,
            }),
            Err(source) => {
                let _ = fs::remove_file(&draft);
                Err(PidFileError {
                    path: path.to_owned(),
                    source,
                })
            }
        }
    }

    /// Whether `-s quit` or `-s stop` is waiting.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        let locked = flock(&self.file, FlockOperation::NonBlockingLockExclusive);
        if locked.is_ok() {
            // For the next process that waits.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
        locked == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// Announces the end of the drain, and lets waiting processes exit before they are
    /// killed with PID 1. Returns at once if there are none, and after a second at most;
    /// blocks, so it is `main`'s last step.
    pub fn announce_drained(self) {
        self.linger(LINGER);
    }

    fn linger(self, at_most: Duration) {
        self.remove();
        let until = Instant::now() + at_most;
        while self.is_waited_for() && Instant::now() < until {
            thread::sleep(POLL);
        }
    }

    /// Only if it is still our file: a later process may have written its own, and so may this
    /// one, if a reload names the same file by another path.
    fn remove(&self) {
        let ours = fs::read_to_string(&self.path).is_ok_and(|text| text == content());
        if ours
            && self.is_at_its_path()
            && let Err(error) = fs::remove_file(&self.path)
        {
            let (path, reason) = (self.path.display(), reason(&error));
            tracing::warn!("unlink() \"{path}\" failed ({reason})");
        }
    }

    fn is_at_its_path(&self) -> bool {
        let identity = |own: fs::Metadata| (own.dev(), own.ino());
        let written = self.file.metadata().map(identity).ok();
        written.is_some() && fs::metadata(&self.path).map(identity).ok() == written
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn content() -> String {
    format!("{}\n", process::id())
}

fn create(path: &Path) -> io::Result<File> {
    // A temporary file of this name was left by a killed process with our pid.
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(content().as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any machine is busy.
    const LONG: Duration = Duration::from_secs(60);

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("pid-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn it_is_written_over_a_stale_one_and_removed_on_drop() {
        let folder = folder("written");
        let path = folder.join("nginx.pid");
        fs::write(&path, "stale and longer than a pid\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content());
        drop(file);
        // Neither the file nor the temporary file is left.
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn the_file_of_a_successor_stays() {
        let folder = folder("successor");
        let path = folder.join("nginx.pid");
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "7\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "7\n");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_file_of_a_reload_stays_even_if_it_is_the_same_one() {
        let folder = folder("same");
        let path = folder.join("nginx.pid");
        let before = PidFile::write(&path).unwrap();
        let other = folder.join(".").join("nginx.pid");
        let now = PidFile::write(&other).unwrap();
        drop(before);
        assert_eq!(fs::read_to_string(&path).unwrap(), content());
        drop(now);
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let message = PidFile::write(Path::new("/proc/none/nginx.pid"))
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("open() \"/proc/none/nginx.pid\" failed (2: No such file"));
    }

    #[test]
    fn without_waiters_it_does_not_linger() {
        let folder = folder("alone");
        let file = PidFile::write(&folder.join("nginx.pid")).unwrap();
        let begin = Instant::now();
        file.linger(LONG);
        assert!(begin.elapsed() < LONG);
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn it_lingers_until_the_waiter_has_left_and_no_longer_than_a_second() {
        let folder = folder("waiter");
        let path = folder.join("nginx.pid");
        let file = PidFile::write(&path).unwrap();
        let waiter = File::open(&path).unwrap();
        flock(&waiter, FlockOperation::LockShared).unwrap();
        let leaving = thread::spawn(move || {
            while path.exists() {
                thread::sleep(POLL);
            }
            thread::sleep(Duration::from_millis(100));
            drop(waiter);
        });
        let begin = Instant::now();
        file.linger(LONG);
        let took = begin.elapsed();
        assert!(
            took >= Duration::from_millis(100) && took < LONG,
            "{took:?}"
        );
        leaving.join().unwrap();

        let path = folder.join("nginx.pid");
        let file = PidFile::write(&path).unwrap();
        let _stays =
            File::open(&path).map(|file| flock(&file, FlockOperation::LockShared).map(|()| file));
        let begin = Instant::now();
        file.announce_drained();
        assert!(begin.elapsed() >= LINGER);
        fs::remove_dir(&folder).unwrap();
    }
}

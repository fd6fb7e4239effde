//! Reads whole files, such as certificates and configurations, within bounds: a volume that breaks
//! may have anything in their place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// The largest secret, certificate or list of users: no Secret of Kubernetes is larger.
pub const LARGEST_SECRET: Most = Most::bytes(1 << 20);

/// The most that is read of a file.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    bytes: u64,
    /// Whether it is less than it would be without a memory limit.
    follows_memory: bool,
}

impl Most {
    /// So many bytes, whatever the memory limit is.
    pub const fn bytes(bytes: u64) -> Self {
        Self {
            bytes,
            follows_memory: false,
        }
    }

    /// So many bytes, or less where the memory limit has no room for that.
    pub fn within_memory(bytes: u64) -> Self {
        Self::within(bytes, crate::cgroup::memory_limit())
    }

    fn within(bytes: u64, memory: Option<u64>) -> Self {
        match memory.map(|limit| limit / 16) {
            Some(part) if part < bytes => Self {
                bytes: part,
                follows_memory: true,
            },
            _ => Self::bytes(bytes),
        }
    }
}

/// Whether it is a pipe: reading it again may bring nothing.
pub fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// The content of a file of no more than `most`. It waits for what comes through a pipe for
/// `patience` at most; if that is zero, no pipe is read.
///
/// # Errors
/// When it cannot be read, is larger, or is a pipe that brings nothing.
pub fn read(path: &Path, most: Most, patience: Duration) -> io::Result<Vec<u8>> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let mut file = options.read(true).custom_flags(nonblocking).open(path)?;
    let meta = file.metadata()?;
    if meta.file_type().is_fifo() && patience.is_zero() {
        let what = "it is a pipe, which is not read at this time: put a file in its place";
        return Err(io::Error::other(what));
    }
    let end = Instant::now().checked_add(patience);
    let mut content = Vec::new();
    content.reserve_exact(usize::try_from(meta.len().min(most.bytes)).unwrap_or(0) + 1);
    let mut waited = meta.is_file();
    loop {
        let left = (most.bytes + 1).saturating_sub(content.len() as u64);
        match (&mut file).take(left).read_to_end(&mut content) {
            Ok(_) if content.len() as u64 > most.bytes => return Err(too_large(most)),
            // A pipe that nobody has opened for writing yet is at its end, too.
            Ok(_) if waited || !content.is_empty() => return Ok(content),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        wait(&file, end)?;
        waited = true;
    }
}

fn too_large(most: Most) -> io::Error {
    let follows = match most.follows_memory {
        true => ", which follows the memory limit",
        false => "",
    };
    let what = format!(
        "it is larger than {} KiB, the most that is read{follows}: is it the file that was meant?",
        most.bytes >> 10
    );
    io::Error::new(io::ErrorKind::FileTooLarge, what)
}

/// Waits until there is something to be read, or its end.
fn wait(file: &File, end: Option<Instant>) -> io::Result<()> {
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(file, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => {
                let what = "nothing was written to the pipe, or its writer did not close it";
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const SOME: Most = Most::bytes(1000);

    fn place(name: &str) -> PathBuf {
        let name = format!("pod-small-file-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        path
    }

    fn pipe(name: &str) -> PathBuf {
        let path = place(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).expect("a pipe");
        path
    }

    fn kind(result: io::Result<Vec<u8>>) -> io::ErrorKind {
        result.expect_err("refused").kind()
    }

    #[test]
    fn a_file_is_read_up_to_the_bound() {
        let path = place("bound");
        for (size, fits) in [(0, true), (999, true), (1000, true), (1001, false)] {
            fs::write(&path, vec![b'x'; size]).expect("written");
            let read = read(&path, SOME, Duration::ZERO);
            assert_eq!(read.is_ok_and(|read| read.len() == size), fits, "{size}");
        }
        fs::File::create(&path)
            .expect("created")
            .set_len(1 << 40)
            .expect("sparse");
        assert_eq!(kind(read(&path, SOME, SHORT)), io::ErrorKind::FileTooLarge);
        fs::remove_file(&path).expect("removed");
        assert_eq!(kind(read(&path, SOME, SHORT)), io::ErrorKind::NotFound);
        let folder = std::env::temp_dir();
        assert_eq!(
            kind(read(&folder, SOME, SHORT)),
            io::ErrorKind::IsADirectory
        );
    }

    #[test]
    fn a_bound_that_follows_the_memory_limit_says_so() {
        let mib = |count: u64| count << 20;
        for (memory, kib, follows) in [
            (None, 4096, false),
            (Some(mib(64)), 4096, false),
            (Some(mib(10)), 640, true),
        ] {
            let said = too_large(Most::within(mib(4), memory)).to_string();
            assert!(said.contains(&format!("than {kib} KiB")), "{said}");
            assert_eq!(said.contains("the memory limit"), follows, "{said}");
        }
    }

    #[test]
    fn devices_are_read_within_the_bound() {
        let (null, zero) = (Path::new("/dev/null"), Path::new("/dev/zero"));
        for patience in [Duration::ZERO, Duration::MAX] {
            assert_eq!(read(null, SOME, patience).expect("read"), b"");
            assert_eq!(
                kind(read(zero, SOME, patience)),
                io::ErrorKind::FileTooLarge
            );
        }
    }

    #[test]
    fn a_pipe_is_waited_for_as_long_as_permitted() {
        let path = pipe("silent");
        assert_eq!(
            kind(read(&path, SOME, Duration::ZERO)),
            io::ErrorKind::Other
        );
        assert_eq!(kind(read(&path, SOME, SHORT)), io::ErrorKind::TimedOut);
        for (content, pause) in [("", 0), ("at once", 0), ("in two parts", 50)] {
            let writer = std::thread::spawn({
                let path = path.clone();
                move || {
                    let mut pipe = OpenOptions::new().write(true).open(path)?;
                    let (first, second) = content.as_bytes().split_at(content.len() / 2);
                    pipe.write_all(first)?;
                    std::thread::sleep(Duration::from_millis(pause));
                    pipe.write_all(second)
                }
            });
            let read = read(&path, SOME, Duration::MAX).expect("read");
            assert_eq!(read, content.as_bytes());
            writer.join().expect("ended").expect("written");
        }
        fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn a_pipe_without_end_is_given_up() {
        let path = pipe("endless");
        let open = OpenOptions::new().read(true).write(true).open(&path);
        let mut open = open.expect("opened");
        open.write_all(b"some").expect("written");
        assert_eq!(kind(read(&path, SOME, SHORT)), io::ErrorKind::TimedOut);
        open.write_all(&[b'x'; 1001]).expect("written");
        assert_eq!(kind(read(&path, SOME, SHORT)), io::ErrorKind::FileTooLarge);
        fs::remove_file(&path).expect("removed");
    }
}

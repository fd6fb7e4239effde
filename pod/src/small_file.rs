//! Reads whole files, such as certificates and configurations, within bounds: a volume that breaks
//! may have anything in their place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// The largest secret, certificate or list of users, bytes: no Secret of Kubernetes is larger.
pub const LARGEST_SECRET: u64 = 1 << 20;

/// `most` bytes, or less where the memory limit has no room for that.
pub fn within_memory(most: u64) -> u64 {
    crate::cgroup::memory_limit().map_or(most, |limit| most.min(limit / 16))
}

/// The content of a file of at most `most` bytes. It waits for what comes through a pipe for
/// `patience` at most; if that is zero, no pipe is read.
///
/// # Errors
/// When it cannot be read, is larger, or is a pipe that brings nothing.
pub fn read(path: &Path, most: u64, patience: Duration) -> io::Result<Vec<u8>> {
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
    content.reserve_exact(usize::try_from(meta.len().min(most)).unwrap_or(0) + 1);
    let mut waited = meta.is_file();
    loop {
        let left = (most + 1).saturating_sub(content.len() as u64);
        match (&mut file).take(left).read_to_end(&mut content) {
            Ok(_) if content.len() as u64 > most => return Err(too_large(most)),
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

fn too_large(most: u64) -> io::Error {
    let what = format!(
        "it is larger than {} KiB, the most that is read: is it the file that was meant?",
        most >> 10
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
            let read = read(&path, 1000, Duration::ZERO);
            assert_eq!(read.is_ok_and(|read| read.len() == size), fits, "{size}");
        }
        fs::File::create(&path)
            .expect("created")
            .set_len(1 << 40)
            .expect("sparse");
        assert_eq!(kind(read(&path, 1000, SHORT)), io::ErrorKind::FileTooLarge);
        fs::remove_file(&path).expect("removed");
        assert_eq!(kind(read(&path, 1000, SHORT)), io::ErrorKind::NotFound);
        let folder = std::env::temp_dir();
        assert_eq!(
            kind(read(&folder, 1000, SHORT)),
            io::ErrorKind::IsADirectory
        );
    }

    #[test]
    fn devices_are_read_within_the_bound() {
        let (null, zero) = (Path::new("/dev/null"), Path::new("/dev/zero"));
        for patience in [Duration::ZERO, Duration::MAX] {
            assert_eq!(read(null, 1000, patience).expect("read"), b"");
            assert_eq!(
                kind(read(zero, 1000, patience)),
                io::ErrorKind::FileTooLarge
            );
        }
    }

    #[test]
    fn a_pipe_is_waited_for_as_long_as_permitted() {
        let path = pipe("silent");
        assert_eq!(
            kind(read(&path, 1000, Duration::ZERO)),
            io::ErrorKind::Other
        );
        assert_eq!(kind(read(&path, 1000, SHORT)), io::ErrorKind::TimedOut);
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
            let read = read(&path, 1000, Duration::MAX).expect("read");
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
        assert_eq!(kind(read(&path, 1000, SHORT)), io::ErrorKind::TimedOut);
        open.write_all(&[b'x'; 1001]).expect("written");
        assert_eq!(kind(read(&path, 1000, SHORT)), io::ErrorKind::FileTooLarge);
        fs::remove_file(&path).expect("removed");
    }
}

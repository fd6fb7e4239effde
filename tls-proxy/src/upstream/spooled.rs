//! Request bodies in files: those too large for memory, and those wanted as files
//! (`client_body_temp_path`, `client_body_in_file_only`).
//!
//! Reads and writes block the worker, as in nginx: the data is in the page cache.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::admission::Permit;

/// Bytes read at a time.
const PIECE: u64 = 32 << 10;
/// Attempts to find an unused name, and the step after a used one.
const TRIES: usize = 1000;
const JUMP: u64 = 123_456;

/// The directory of such files.
#[derive(Debug)]
pub(crate) struct Folder {
    /// `client_body_temp_path`.
    pub(crate) path: PathBuf,
    /// Numbers of digits, from the end of a file's number, that name its subdirectories.
    pub(crate) levels: Vec<usize>,
}

/// What happens to a file when its request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It is removed.
    Removed,
    /// It is kept.
    Kept,
}

/// A body in a file.
#[derive(Debug)]
pub(crate) struct Spooled {
    file: File,
    path: PathBuf,
    length: u64,
    /// The file is removed by name when this is dropped.
    is_removed: bool,
    /// The permit of its descriptor.
    _descriptor: Permit,
}

impl Folder {
    /// The path of the file with this number.
    fn name(&self, number: u64) -> PathBuf {
        let name = format!("{number:010}");
        let mut path = self.path.clone();
        let mut end = name.len();
        for level in &self.levels {
            let start = end.saturating_sub(*level);
            path.push(&name[start..end]);
            end = start;
        }
        path.push(name);
        path
    }
}

impl Spooled {
    /// Creates an empty file. It is removed at the end of its request or before, unless it
    /// is [kept](Self::keep).
    pub(crate) fn create(
        folder: &Folder,
        named: bool,
        descriptor: Permit,
    ) -> Result<Self, (PathBuf, io::Error)> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let mut tries = 0;
        loop {
            let path = folder.name(NUMBER.fetch_add(1, Ordering::Relaxed));
            let file = match open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {
                    // As in nginx: skip the numbers used by another process.
                    NUMBER.fetch_add(JUMP, Ordering::Relaxed);
                    tries += 1;
                    continue;
                }
                Err(error) => return Err((path, error)),
                Ok(file) => file,
            };
            if !named {
                let _ = std::fs::remove_file(&path);
            }
            return Ok(Self {
                file,
                path,
                length: 0,
                is_removed: named,
                _descriptor: descriptor,
            });
        }
    }

    /// Appends data.
    pub(crate) fn append(&mut self, data: &[u8]) -> io::Result<()> {
        self.length += data.len() as u64;
        self.file.write_all(data)
    }

    /// The body is complete: the file is kept after its request.
    pub(crate) fn keep(&mut self) {
        self.is_removed = false;
    }

    /// Its length, bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// `$request_body_file`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A piece of it, from `at`; empty at its end.
    pub(crate) fn read(&self, at: u64) -> io::Result<Bytes> {
        let mut piece = vec![0; self.length.saturating_sub(at).min(PIECE) as usize];
        self.file.read_exact_at(&mut piece, at)?;
        Ok(piece.into())
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if self.is_removed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Creates a file and, if needed, its directories.
fn open(path: &Path) -> io::Result<File> {
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(path)
    };
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder)?;
            open()
        }
        (opened, _) => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, Capacity};

    #[tokio::test]
    async fn what_another_process_has_left_is_not_in_the_way() -> io::Result<()> {
        let path = std::env::temp_dir().join(format!("spooled-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        for number in 0..3000 {
            File::create(path.join(format!("{number:010}")))?;
        }
        let folder = Folder {
            path: path.clone(),
            levels: Vec::new(),
        };
        let admission = Admission::new(Capacity {
            connections: 1,
            descriptors: 1,
            memory: None,
        });
        let permit = admission.try_for_file().ok_or(io::ErrorKind::Other)?;
        assert!(admission.try_for_file().is_none());
        let made = Spooled::create(&folder, true, permit).map_err(|(_, error)| error)?;
        let name = made.path().to_owned();
        assert!(name.exists());
        drop(made);
        assert!(!name.exists() && admission.try_for_file().is_some());
        std::fs::remove_dir_all(path)
    }

    #[test]
    fn the_last_digits_name_the_folders() {
        let folder = |levels: &[usize]| Folder {
            path: "/t".into(),
            levels: levels.to_vec(),
        };
        for (levels, expected) in [
            (&[][..], "/t/0000012345"),
            (&[1], "/t/5/0000012345"),
            (&[1, 2], "/t/5/34/0000012345"),
            (&[1, 2, 3], "/t/5/34/012/0000012345"),
        ] {
            assert_eq!(folder(levels).name(12345), Path::new(expected));
        }
    }
}

//! Bodies of requests that outgrow memory, or are wanted as files
//! (`client_body_temp_path`, `client_body_in_file_only`).
//!
//! Reads and writes block the worker, as nginx's do: what is written is in the page
//! cache.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Bytes that are read at once.
const PIECE: u64 = 32 << 10;
/// Names that are tried where another process has taken some.
const TRIES: usize = 1000;

/// Where such files are.
#[derive(Debug)]
pub(crate) struct Folder {
    /// `client_body_temp_path`.
    pub(crate) path: PathBuf,
    /// The digits of a file's number, from its end, that name folders below it.
    pub(crate) levels: Vec<usize>,
}

/// What becomes of a file when its request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It has had no name since it was opened.
    Nothing,
    /// It is removed.
    Removed,
    /// It stays.
    Kept,
}

/// A body in a file.
#[derive(Debug)]
pub(crate) struct Spooled {
    file: File,
    path: PathBuf,
    length: u64,
    after: After,
}

impl Folder {
    /// The name of a file with this number.
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
    /// Makes an empty one.
    pub(crate) fn create(folder: &Folder, after: After) -> Result<Self, (PathBuf, io::Error)> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let mut tries = 0;
        loop {
            let path = folder.name(NUMBER.fetch_add(1, Ordering::Relaxed));
            let file = match open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {
                    tries += 1;
                    continue;
                }
                Err(error) => return Err((path, error)),
                Ok(file) => file,
            };
            if after == After::Nothing {
                let _ = std::fs::remove_file(&path);
            }
            return Ok(Self {
                file,
                path,
                length: 0,
                after,
            });
        }
    }

    /// Puts more behind it.
    pub(crate) fn append(&mut self, data: &[u8]) -> io::Result<()> {
        self.length += data.len() as u64;
        self.file.write_all(data)
    }

    /// Its length, bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// `$request_body_file`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A piece of it; empty at its end.
    pub(crate) fn read(&self, at: u64) -> io::Result<Bytes> {
        let mut piece = vec![0; self.length.saturating_sub(at).min(PIECE) as usize];
        self.file.read_exact_at(&mut piece, at)?;
        Ok(piece.into())
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if self.after == After::Removed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Creates a file and, where they are not there, its folders.
fn open(path: &Path) -> io::Result<File> {
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(path)
    };
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            open()
        }
        (opened, _) => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

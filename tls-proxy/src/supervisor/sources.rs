//! The files of the configuration, and detecting changes to them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pod::watch::{Fingerprint, Watch, changed_since};

use crate::conf::LoadedFile;

/// Interval of checks. A change is applied after a second check, so it is in force within
/// two seconds.
const CHECK_INTERVAL: Duration = Duration::from_millis(400);
/// Checks, at most, until files that keep changing are read nevertheless.
const MAX_CHECKS: u32 = 4;

/// The sources of a configuration.
#[derive(Clone, Debug)]
pub struct Origin {
    /// When reading began.
    pub began: SystemTime,
    /// The texts, in the order of reading.
    pub texts: Vec<LoadedFile>,
    /// All files, with certificates and keys.
    pub files: Vec<PathBuf>,
    /// Directories in which a pattern of `include` was looked up.
    pub folders: Vec<PathBuf>,
    /// Files that are pipes: reading them again may bring nothing.
    pub pipes: Vec<PathBuf>,
}

impl Origin {
    /// Whether the directives are the same as those of `other`; certificates and keys may
    /// differ.
    pub(crate) fn same_directives(&self, other: &Self) -> bool {
        let mut pairs = self.texts.iter().zip(&other.texts);
        self.texts.len() == other.texts.len()
            && pairs.all(|(a, b)| a.path == b.path && a.text == b.text)
    }

    /// Adds the files of a rejected configuration, each only once, however often that
    /// happens.
    pub(crate) fn with_files_of(&self, refused: Self) -> Self {
        let once = |own: &[PathBuf], more: Vec<PathBuf>| {
            let all: BTreeSet<_> = own.iter().cloned().chain(more).collect();
            all.into_iter().collect()
        };
        Self {
            began: refused.began,
            texts: self.texts.clone(),
            files: once(&self.files, refused.files),
            folders: once(&self.folders, refused.folders),
            pipes: self.pipes.clone(),
        }
    }
}

/// The watched files of the configuration in force.
#[derive(Debug)]
pub(crate) struct Sources {
    origin: Origin,
    watch: Watch,
    /// The state of the files when the configuration was read; `None` if one may have
    /// changed meanwhile.
    read: Option<Fingerprint>,
    /// Checks since the first change that has not been applied.
    checks: u32,
}

impl Sources {
    pub(crate) fn new(origin: Origin) -> Self {
        let paths = [&origin.files[..], &origin.folders].concat();
        let watch = Watch::new(paths);
        let read = Fingerprint::of(&origin.files);
        let changed = changed_since(&origin.files, origin.began);
        Self {
            watch,
            read: (!changed).then_some(read),
            origin,
            checks: u32::from(changed),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Waits until something has changed and one check found no further change: so a
    /// certificate and its key can be written one after the other.
    pub(crate) async fn change(&mut self) {
        if !self.origin.pipes.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let changed = self.watch.changed();
            if self.checks > 0 && (!changed || self.checks >= MAX_CHECKS) {
                self.checks = 0;
                return;
            }
            if changed || self.checks > 0 {
                self.checks += 1;
            }
        }
    }

    /// The files as they were at the last check, for a reader on another thread.
    pub(crate) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Whether a file differs from the one that was read; `None` if that is unknown. A
    /// changed directory may have got a log or temporary file that is not included.
    pub(crate) fn differ(&self) -> Option<bool> {
        let read = self.read.as_ref()?;
        Some(*read != Fingerprint::of(&self.origin.files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_watched_once_however_often_they_are_refused() {
        let origin = |files: [&str; 2], folders: &[&str]| Origin {
            began: SystemTime::now(),
            texts: Vec::new(),
            files: files.map(PathBuf::from).to_vec(),
            folders: folders.iter().map(PathBuf::from).collect(),
            pipes: Vec::new(),
        };
        let own = origin(["a.conf", "key.pem"], &[]);
        let refused = || origin(["a.conf", "b.conf"], &["conf.d"]);
        let mut watched = own;
        for _ in 0..3 {
            watched = watched.with_files_of(refused());
        }
        assert_eq!(
            watched.files,
            ["a.conf", "b.conf", "key.pem"].map(PathBuf::from)
        );
        assert_eq!(watched.folders, [PathBuf::from("conf.d")]);
    }
}

//! Detects changes of files that are mounted from a Secret or a ConfigMap.
//!
//! The kubelet updates such a volume by replacing the symbolic link `..data`, so
//! inotify on the file itself reports nothing (kubernetes#112677). Polling what the
//! path resolves to detects the replaced link, an edit in place and a rename, on
//! every file system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often to poll. The kubelet takes up to a minute to update a volume.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What a set of paths resolved to at one moment. If two fingerprints are equal,
/// nothing has changed between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<Stamp>>);

/// One resolved file; `None` in a [`Fingerprint`] is a path that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// The fingerprint of `paths` now, following symbolic links.
    ///
    /// Take it *before* reading the files: a change while they are read is then
    /// found at the next poll.
    pub fn of<P: AsRef<Path>>(paths: &[P]) -> Self {
        Self(paths.iter().map(|path| Stamp::of(path.as_ref())).collect())
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// Whether one of `paths`, or its directory, may have changed at `moment` or later.
/// For files that had to be read before a [`Fingerprint`] of them was taken.
pub fn changed_since<P: AsRef<Path>>(paths: &[P], moment: SystemTime) -> bool {
    // Time stamps of files may lag by a tick of the kernel, 10 ms at most.
    let moment = moment.checked_sub(Duration::from_millis(10));
    let Some(moment) = moment.and_then(|it| it.duration_since(UNIX_EPOCH).ok()) else {
        return true;
    };
    let moment = (moment.as_secs() as i64, i64::from(moment.subsec_nanos()));
    paths.iter().any(|path| {
        let path = path.as_ref();
        // Replacing `..data` changes the directory, neither link nor file.
        let directory = path.parent().map(Stamp::of);
        let found = [Stamp::of(path), directory.flatten()];
        found.into_iter().flatten().any(|it| it.changed >= moment)
    })
}

/// A set of paths, and their last fingerprint.
#[derive(Clone, Debug)]
pub struct Watch {
    paths: Vec<PathBuf>,
    last: Fingerprint,
}

impl Watch {
    /// Watches `paths` from now on: create it before reading the files.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let last = Fingerprint::of(&paths);
        Self { paths, last }
    }

    /// Whether anything has changed since the last call. It makes one stat(2) a path.
    pub fn changed(&mut self) -> bool {
        let now = Fingerprint::of(&self.paths);
        let changed = now != self.last;
        self.last = now;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn volume(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("pod-watch-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).expect("a temporary directory");
        root
    }

    #[test]
    fn without_a_change_there_is_none() {
        let root = volume("still");
        fs::write(root.join("key"), "one").unwrap();
        let mut watch = Watch::new(vec![root.join("key"), root.join("absent")]);
        assert!(!watch.changed());
        assert!(!watch.changed());
    }

    #[test]
    fn an_update_of_a_volume_is_reported_once() {
        let root = volume("swap");
        for generation in ["..1", "..2"] {
            fs::create_dir(root.join(generation)).unwrap();
            fs::write(root.join(generation).join("key"), "same").unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/key", root.join("key")).unwrap();
        let mut watch = Watch::new(vec![root.join("key")]);

        symlink("..2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert!(watch.changed());
        assert!(!watch.changed());
    }

    #[test]
    fn an_edit_in_place_is_detected() {
        let root = volume("edit");
        fs::write(root.join("key"), "one").unwrap();
        let mut watch = Watch::new(vec![root.join("key")]);
        fs::write(root.join("key"), "other").unwrap();
        assert!(watch.changed());
    }

    #[test]
    fn a_change_while_files_are_read_is_detected() {
        let root = volume("since");
        for generation in ["..1", "..2"] {
            fs::create_dir(root.join(generation)).unwrap();
            fs::write(root.join(generation).join("key"), "same").unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/key", root.join("key")).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let read = SystemTime::now();
        let paths = [root.join("key")];
        assert!(!changed_since(&paths, read));
        symlink("..2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert!(changed_since(&paths, read));
    }

    #[test]
    fn a_file_that_is_created_or_removed_is_detected() {
        let root = volume("come");
        let mut watch = Watch::new(vec![root.join("key")]);
        fs::write(root.join("key"), "one").unwrap();
        assert!(watch.changed());
        fs::remove_file(root.join("key")).unwrap();
        assert!(watch.changed());
    }
}

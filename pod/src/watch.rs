//! Files mounted from a Secret or a ConfigMap, watched for change.
//!
//! Kubernetes renews such a volume by swapping the symbolic link `..data`, so
//! a watch on the file itself never fires (kubernetes#112677). Looking at what
//! the path resolves to, at an interval, sees the swap, an edit in place and a
//! rename alike, on every file system. What to do about a change is the
//! caller's business.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often to look, unless there is a reason to differ. The kubelet itself
/// takes up to a minute to renew a volume.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What a set of paths resolved to at one moment. Two equal fingerprints mean
/// that nothing changed between them.
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
    /// Looks at `paths` now, following symbolic links.
    ///
    /// Take it *before* reading the files: a change during the reading then
    /// differs from it and is seen at the next look.
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

/// Whether one of `paths`, or the folder it is in, may have changed at `moment`
/// or later. For files that were read before a [`Fingerprint`] of them could be
/// taken: what changed in between differs from none.
pub fn changed_since<P: AsRef<Path>>(paths: &[P], moment: SystemTime) -> bool {
    // The kernel stamps files with a clock that ticks this seldom at worst.
    let moment = moment.checked_sub(Duration::from_millis(10));
    let Some(moment) = moment.and_then(|it| it.duration_since(UNIX_EPOCH).ok()) else {
        return true;
    };
    let moment = (moment.as_secs() as i64, i64::from(moment.subsec_nanos()));
    paths.iter().any(|path| {
        let path = path.as_ref();
        // The swap of `..data` changes the folder and neither link nor file.
        let folder = path.parent().map(Stamp::of);
        let found = [Stamp::of(path), folder.flatten()];
        found.into_iter().flatten().any(|it| it.changed >= moment)
    })
}

/// A set of paths and what they last resolved to.
#[derive(Debug)]
pub struct Watch {
    paths: Vec<PathBuf>,
    last: Fingerprint,
}

impl Watch {
    /// Begins to watch `paths`; changes count from this moment, so make the
    /// watch first and read the files after.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let last = Fingerprint::of(&paths);
        Self { paths, last }
    }

    /// Whether anything changed since the last call that said so. It costs one
    /// `stat` a path and blocks no longer than that.
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
    fn nothing_changed_is_no_change() {
        let root = volume("still");
        fs::write(root.join("key"), "one").unwrap();
        let mut watch = Watch::new(vec![root.join("key"), root.join("absent")]);
        assert!(!watch.changed());
        assert!(!watch.changed());
    }

    #[test]
    fn the_swap_of_a_secret_volume_is_seen_once() {
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
    fn an_edit_in_place_is_seen() {
        let root = volume("edit");
        fs::write(root.join("key"), "one").unwrap();
        let mut watch = Watch::new(vec![root.join("key")]);
        fs::write(root.join("key"), "other").unwrap();
        assert!(watch.changed());
    }

    #[test]
    fn what_changes_while_it_is_read_is_known_to_have_changed() {
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
    fn a_file_that_comes_or_goes_is_seen() {
        let root = volume("come");
        let mut watch = Watch::new(vec![root.join("key")]);
        fs::write(root.join("key"), "one").unwrap();
        assert!(watch.changed());
        fs::remove_file(root.join("key")).unwrap();
        assert!(watch.changed());
    }
}

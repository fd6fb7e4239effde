//! The files the configuration was read from, and whether they have changed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pod::watch::{Fingerprint, Watch, changed_since};

use crate::conf::LoadedFile;

/// How often to look. A change is taken at the second look, so it is in force
/// within two seconds of the volume's own change.
const LOOK: Duration = Duration::from_millis(400);
/// Looks at most until files that go on changing are read all the same.
const MOST_LOOKS: u32 = 4;

/// What a configuration was read from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// When the reading began.
    pub began: SystemTime,
    /// The texts, in the order of reading.
    pub texts: Vec<LoadedFile>,
    /// Every file, certificates and keys too.
    pub files: Vec<PathBuf>,
    /// Folders that a pattern of `include` was looked up in.
    pub folders: Vec<PathBuf>,
}

impl Origin {
    /// Whether the directives are the same as those of `other`; certificates
    /// and keys may differ.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let mut pairs = self.texts.iter().zip(&other.texts);
        self.texts.len() == other.texts.len()
            && pairs.all(|(a, b)| a.path == b.path && a.text == b.text)
    }

    /// Watches what `refused` was read from as well, each file once however
    /// often a configuration is refused.
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
        }
    }
}

/// The watched files of the configuration in force.
#[derive(Debug)]
pub(crate) struct Sources {
    origin: Origin,
    watch: Watch,
    /// What the files were when the configuration was read; none where one may
    /// have changed meanwhile.
    read: Option<Fingerprint>,
    /// Looks since the first change that is not taken yet.
    looks: u32,
}

impl Sources {
    pub(crate) fn new(origin: Origin) -> Self {
        let paths = [&origin.files[..], &origin.folders].concat();
        let watch = Watch::new(paths);
        let read = Fingerprint::of(&origin.files);
        let moved = changed_since(&origin.files, origin.began);
        Self {
            watch,
            read: (!moved).then_some(read),
            origin,
            looks: u32::from(moved),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Waits until something has changed and then stood still for one look:
    /// whoever writes a certificate and then its key is given time for both.
    pub(crate) async fn change(&mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let moving = self.watch.changed();
            if self.looks > 0 && (!moving || self.looks >= MOST_LOOKS) {
                self.looks = 0;
                return;
            }
            if moving || self.looks > 0 {
                self.looks += 1;
            }
        }
    }

    /// Whether a file changed since the last look: what was read meanwhile may
    /// be of two generations.
    pub(crate) fn moved(&mut self) -> bool {
        self.watch.changed()
    }

    /// Whether a file differs from the one that was read; none where that cannot
    /// be told. A folder that changed may have got a log or a draft, which nobody
    /// includes.
    pub(crate) fn differ(&self) -> Option<bool> {
        let read = self.read.as_ref()?;
        Some(*read != Fingerprint::of(&self.origin.files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_again_and_again_the_same_files_are_watched_once() {
        let origin = |files: [&str; 2], folders: &[&str]| Origin {
            began: SystemTime::now(),
            texts: Vec::new(),
            files: files.map(PathBuf::from).to_vec(),
            folders: folders.iter().map(PathBuf::from).collect(),
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

//! The files the configuration was read from, and whether they have changed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use pod::watch::{Fingerprint, Watch};

use crate::conf::LoadedFile;

/// How often to look. A change is taken at the second look, so it is in force
/// within two seconds of the volume's own change.
const LOOK: Duration = Duration::from_millis(400);
/// Looks at most until files that go on changing are read all the same.
const MOST_LOOKS: u32 = 4;

/// What a configuration was read from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
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
    /// What the files were when the configuration was read.
    read: Fingerprint,
    /// Looks since the first change that is not taken yet.
    looks: u32,
}

impl Sources {
    pub(crate) fn new(origin: Origin) -> Self {
        let paths = [&origin.files[..], &origin.folders].concat();
        Self {
            watch: Watch::new(paths),
            read: Fingerprint::of(&origin.files),
            origin,
            looks: 0,
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

    /// Whether a file differs from the one that was read. A folder that changed
    /// may have got a log or a draft, which nobody includes.
    pub(crate) fn differ(&self) -> bool {
        Fingerprint::of(&self.origin.files) != self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_again_and_again_the_same_files_are_watched_once() {
        let own = Origin {
            files: vec!["a.conf".into(), "key.pem".into()],
            ..Origin::default()
        };
        let refused = || Origin {
            files: vec!["a.conf".into(), "b.conf".into()],
            folders: vec!["conf.d".into()],
            ..Origin::default()
        };
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

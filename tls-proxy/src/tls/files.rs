//! The TLS files of a configuration, each read once: a file may be a pipe, which can be
//! read only once, and several servers may use it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use pod::small_file::{self, Most};

use super::crl::Crl;

/// The largest file of a configuration, bytes. Lists of certificates or of revoked ones may be
/// larger than any secret.
const LARGEST: u64 = 4 << 20;

/// The files read so far; dropped when the configuration is complete.
pub(crate) struct Files {
    known: HashMap<PathBuf, Arc<[u8]>>,
    /// The CRLs that have been parsed.
    pub(super) lists: HashMap<PathBuf, Arc<[Crl]>>,
    most: Most,
    patience: Duration,
}

/// For reading while requests are served: no pipe is read.
impl Default for Files {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            lists: HashMap::new(),
            most: small_file::LARGEST_SECRET,
            patience: Duration::ZERO,
        }
    }
}

impl Files {
    /// For a configuration, where a pipe is waited for.
    pub(crate) fn waiting(patience: Duration) -> Self {
        Self {
            known: HashMap::new(),
            lists: HashMap::new(),
            most: Most::within_memory(LARGEST),
            patience,
        }
    }

    /// Identifies what has been read.
    pub(crate) fn digest(&self) -> [u8; digest::SHA256_OUTPUT_LEN] {
        let mut all: Vec<_> = self.known.iter().collect();
        all.sort_unstable();
        let mut sum = digest::Context::new(&digest::SHA256);
        for (path, content) in all {
            sum.update(path.as_os_str().as_encoded_bytes());
            sum.update(&(content.len() as u64).to_be_bytes());
            sum.update(content);
        }
        let sum = sum.finish();
        sum.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// The content of a file.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Arc<[u8]>> {
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        let content: Arc<[u8]> = small_file::read(path, self.most, self.patience)?.into();
        self.known.insert(path.to_owned(), content.clone());
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_read_once() {
        let name = format!("tls-proxy-pipe-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).expect("a pipe");
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "once")
        });
        let mut files = Files::waiting(Duration::MAX);
        for _ in 0..2 {
            assert_eq!(&files.read(&path).expect("content")[..], b"once");
        }
        writer.join().expect("ended").expect("written");
        std::fs::remove_file(&path).expect("removed");
    }
}

//! The files that a configuration names for TLS, each read once: one may be a pipe, which
//! gives its content once, and several servers may name it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What has been read while a configuration is made; it is dropped when that is done.
#[derive(Default)]
pub(crate) struct Files(HashMap<PathBuf, Arc<[u8]>>);

impl Files {
    /// The content of a file.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Arc<[u8]>> {
        if let Some(known) = self.0.get(path) {
            return Ok(known.clone());
        }
        let content: Arc<[u8]> = std::fs::read(path)?.into();
        self.0.insert(path.to_owned(), content.clone());
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
        let mut files = Files::default();
        for _ in 0..2 {
            assert_eq!(&files.read(&path).expect("content")[..], b"once");
        }
        writer.join().expect("ended").expect("written");
        std::fs::remove_file(&path).expect("removed");
    }
}

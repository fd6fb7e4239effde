//! The TLS files of a configuration, each read once: a file may be a pipe, which can be
//! read only once, and several servers may use it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files read so far; dropped when the configuration is complete.
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

//! A file as the body of a response.
//!
//! Reads block the worker, as nginx's do without `aio`: a piece is small, and
//! what a pod serves is in the page cache.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::source::{self, FilterContext, Frame, Next, Source};

/// Bytes read at a time.
const PIECE: u64 = 32 << 10;

/// A part of an open file.
#[derive(Clone)]
pub(crate) struct FileBody {
    file: Rc<File>,
    /// Where the next piece begins.
    at: u64,
    /// Bytes that are still to be read.
    left: u64,
}

impl FileBody {
    /// The whole of a file that is `length` bytes long.
    pub(crate) fn new(file: File, length: u64) -> Self {
        Self {
            file: Rc::new(file),
            at: 0,
            left: length,
        }
    }

    /// Only the bytes from `start` on, `length` of them.
    pub(crate) fn slice(&self, start: u64, length: u64) -> Self {
        Self {
            file: self.file.clone(),
            at: self.at + start,
            left: length,
        }
    }

    /// All of it at once.
    ///
    /// # Errors
    /// It cannot be read, or has become shorter.
    pub(crate) fn whole(&self) -> io::Result<Bytes> {
        if self.left == 0 {
            return Ok(Bytes::new());
        }
        let mut rest = self.clone();
        let first = rest.read()?;
        if rest.left == 0 {
            return Ok(first);
        }
        let mut whole = first.to_vec();
        while rest.left > 0 {
            whole.extend_from_slice(&rest.read()?);
        }
        Ok(whole.into())
    }

    fn read(&mut self) -> io::Result<Bytes> {
        let mut piece = vec![0; self.left.min(PIECE) as usize];
        let size = self.file.read_at(&mut piece, self.at)?;
        if size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(size);
        self.at += size as u64;
        self.left -= size as u64;
        Ok(piece.into())
    }
}

impl Source for FileBody {
    fn poll_frame(&mut self, _: &dyn FilterContext, _: &mut Context<'_>) -> Poll<Next> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(
            self.read()
                .map(Frame::Data)
                .map_err(|_| source::Error::File),
        ))
    }
}

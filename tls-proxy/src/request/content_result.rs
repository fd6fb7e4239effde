//! The result of the content phase.

use bytes::Bytes;

use super::response::{Refusal, Response};

/// What a content handler did with the request.
pub(crate) enum ContentResult {
    /// A response, or an error.
    Response(Result<Box<Response>, Refusal>),
    /// The path was changed: find the location again.
    Relocate,
    /// Continue in a named location.
    Named(Bytes),
}

impl ContentResult {
    /// An error.
    pub(crate) fn refuse(status: u16) -> Self {
        Self::Response(Err(Refusal::new(status)))
    }
}

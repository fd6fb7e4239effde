//! What the content phase comes to.

use bytes::Bytes;

use super::response::{Refusal, Response};

/// What a content handler did with the request.
pub(crate) enum ContentResult {
    /// The response is known.
    Response(Result<Response, Refusal>),
    /// The path was changed: the location is chosen anew.
    Relocate,
    /// The named location is next.
    Named(Bytes),
}

impl ContentResult {
    /// An error.
    pub(crate) fn refuse(status: u16) -> Self {
        Self::Response(Err(Refusal::new(status)))
    }
}

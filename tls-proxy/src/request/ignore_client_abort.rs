//! `proxy_ignore_client_abort`: the upstream's response is read to its end although the
//! client may have left.

use std::cell::Cell;
use std::rc::Rc;

/// Whether the client's leaving is ignored, which is known once the request has found its
/// location. It is shared with what watches the client while the phases hold the request.
/// `None` if no location sets it.
#[derive(Clone, Debug)]
pub(crate) struct IgnoreClientAbort(Option<Rc<Cell<bool>>>);

impl IgnoreClientAbort {
    /// `false` until a location sets it; `ever` is whether any location does.
    pub(crate) fn new(ever: bool) -> Self {
        Self(ever.then(Rc::default))
    }

    /// Whether a location may set it.
    pub(crate) fn is_possible(&self) -> bool {
        self.0.is_some()
    }

    /// Sets the location's value.
    pub(crate) fn set(&self, ignored: bool) {
        if let Some(shared) = &self.0 {
            shared.set(ignored);
        }
    }

    /// Whether the upstream's response is read to its end.
    pub(crate) fn get(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.get())
    }
}

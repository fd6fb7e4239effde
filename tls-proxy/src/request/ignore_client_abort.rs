//! `proxy_ignore_client_abort`: an upstream is heard out though the client may
//! have left.

use std::cell::Cell;
use std::rc::Rc;

/// Whether a request's upstream is heard out: known once the request has found
/// its location. Whoever watches the client asks while the phases hold the
/// request. Where no location wants it there is nothing to share.
#[derive(Clone, Debug)]
pub(crate) struct IgnoreClientAbort(Option<Rc<Cell<bool>>>);

impl IgnoreClientAbort {
    /// Nobody is, until a location says so; `ever` is whether one may.
    pub(crate) fn new(ever: bool) -> Self {
        Self(ever.then(Rc::default))
    }

    /// What the location says.
    pub(crate) fn set(&self, ignored: bool) {
        if let Some(shared) = &self.0 {
            shared.set(ignored);
        }
    }

    /// Whether the upstream is heard out.
    pub(crate) fn get(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.get())
    }
}

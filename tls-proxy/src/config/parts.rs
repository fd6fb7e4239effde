//! What modules keep once for a configuration, or for one block while it is read.

use std::any::{Any, TypeId};
use std::collections::HashMap;

type AnyPart = Box<dyn Any + Send + Sync>;

/// Values by their type, at most one of each. For rare lookups: the request path uses
/// [`Settings`](super::settings::Settings).
#[derive(Debug, Default)]
pub(crate) struct Parts(HashMap<TypeId, AnyPart>);

impl Parts {
    /// The value of this type, if there is one.
    pub(crate) fn get<T: Any>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The same, mutable; inserts the default if there is none yet.
    pub(crate) fn get_mut<T: Any + Default + Send + Sync>(&mut self) -> &mut T {
        let part = self
            .0
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Box::new(T::default()));
        part.downcast_mut()
            .expect("a part is kept under its own type")
    }

    /// Takes it out.
    pub(crate) fn take<T: Any + Default>(&mut self) -> T {
        let part = self.0.remove(&TypeId::of::<T>());
        let part = part.and_then(|part| part.downcast().ok());
        part.map_or_else(T::default, |part: Box<T>| *part)
    }
}

//! What `ssl_session_cache` keeps under its name, for all workers and over a reload, as nginx's
//! shared memory zones are kept.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// Values by name. Each lasts as long as somebody uses it: a configuration, or the connections of
/// an earlier one.
pub(super) struct ByName<T>(LazyLock<Mutex<HashMap<Box<str>, Weak<T>>>>);

impl<T: Default> ByName<T> {
    pub(super) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// The value called `name`; a new one if nobody uses it.
    pub(super) fn get(&self, name: &str) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.retain(|_, value| value.strong_count() > 0);
        let value = values.get(name).and_then(Weak::upgrade).unwrap_or_default();
        values.insert(name.into(), Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_value_as_long_as_it_is_used() {
        static NAMED: ByName<Mutex<u8>> = ByName::new();
        let first = NAMED.get("a");
        *first.lock().expect("nothing panics") = 1;
        assert!(Arc::ptr_eq(&first, &NAMED.get("a")));
        assert!(!Arc::ptr_eq(&first, &NAMED.get("b")));
        drop(first);
        assert_eq!(*NAMED.get("a").lock().expect("nothing panics"), 0);
    }
}

//! The error for an unknown word: it suggests the nearest known one, or what to do instead.

use crate::support::proxy;

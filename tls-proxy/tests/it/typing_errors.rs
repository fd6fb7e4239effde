//! What an unknown word is answered with: the nearest known one, or what to do instead.

use crate::support::proxy;

//! What a connection and its streams share.

use std::rc::Rc;

use tokio::sync::Notify;

use super::remembered::RememberedValues;
use super::send_buffer::UnsentBlocks;

#[derive(Default)]
pub(super) struct Shared {
    /// Notified when the last stream has been served.
    pub(super) streams_done: Notify,
    pub(super) unsent_blocks: Rc<UnsentBlocks>,
    pub(super) remembered: RememberedValues,
}

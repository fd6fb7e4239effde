//! The memory in which PCRE2 writes a match's groups and backtracks.

use std::cell::RefCell;

use pcre2::bytes::{CaptureLocations, Regex};

/// The longest subject, in bytes, after whose match the memory is kept for the next.
const SHORT: usize = 1024;

thread_local! {
    /// One for all patterns of a worker: it takes 20 KiB at least, which a `map` of many patterns
    /// would multiply.
    static SPARE: RefCell<Option<CaptureLocations>> = const { RefCell::new(None) };
}

/// Matches `subject` and returns what `read` makes of the `groups` groups.
pub(super) fn lend<T>(
    regex: &Regex,
    groups: usize,
    subject: &[u8],
    read: impl FnOnce(&CaptureLocations) -> T,
) -> Result<Option<T>, pcre2::Error> {
    // A pattern may use another one's match data if that has room for all its groups (pcre2api(3),
    // "The match data block").
    let spare = SPARE.take().filter(|spare| spare.len() >= groups);
    let mut locations = spare.unwrap_or_else(|| regex.capture_locations());
    let found = regex.captures_read(&mut locations, subject)?;
    let read = found.map(|_| read(&locations));
    // The memory of a long subject, up to the limit, is freed.
    if subject.len() <= SHORT {
        SPARE.set(Some(locations));
    }
    Ok(read)
}

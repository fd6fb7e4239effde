//! Where PCRE2 writes a match's groups, and remembers where to go back to.

use std::cell::RefCell;

use pcre2::bytes::{CaptureLocations, Regex};

/// The longest subject, in bytes, whose match leaves its memory to the next.
const SHORT: usize = 1024;

thread_local! {
    /// One for all patterns of a worker: each has 20 KiB at least, of which a
    /// `map` of many patterns would have as many.
    static SPARE: RefCell<Option<CaptureLocations>> = const { RefCell::new(None) };
}

/// Matches `subject`; what `read` makes of the places of the groups, of which
/// there are `groups`.
pub(super) fn lend<T>(
    regex: &Regex,
    groups: usize,
    subject: &[u8],
    read: impl FnOnce(&CaptureLocations) -> T,
) -> Result<Option<T>, pcre2::Error> {
    // A pattern may write into another's, as pcre2api(3) says under "The match
    // data block", where that has place for all its groups.
    let spare = SPARE.take().filter(|spare| spare.len() >= groups);
    let mut locations = spare.unwrap_or_else(|| regex.capture_locations());
    let found = regex.captures_read(&mut locations, subject)?;
    let read = found.map(|_| read(&locations));
    // What a long subject took, up to the limit, is given back.
    if subject.len() <= SHORT {
        SPARE.set(Some(locations));
    }
    Ok(read)
}

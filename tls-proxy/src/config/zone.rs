//! `zone` of an `upstream` block: checked, without effect.

use crate::conf::{Position, Problem};

/// One `zone` of an `upstream` block.
#[derive(Debug)]
pub(crate) struct UpstreamZone {
    pub(crate) name: Box<str>,
    /// Bytes; `None` if another line gives it.
    pub(crate) size: Option<u64>,
    pub(crate) at: Position,
}

impl UpstreamZone {
    /// nginx's problems with zones that have no size, or two different ones.
    pub(crate) fn check(zones: &[Self]) -> impl Iterator<Item = Problem> {
        let size = |name: &str| {
            let mut same = zones.iter().filter(move |zone| *zone.name == *name);
            same.find_map(|zone| zone.size)
        };
        zones.iter().filter_map(move |zone| {
            let name = &zone.name;
            match (size(name), zone.size) {
                (None, _) => {
                    let message = format!("zero size shared memory zone \"{name}\"");
                    Some(Problem::emerg(&zone.at, message).with_help("write a size, as 64k"))
                }
                (Some(first), Some(own)) if own != first => {
                    let message = format!(
                        "the size {own} of shared memory zone \"{name}\" conflicts with \
                         already declared size {first}"
                    );
                    Some(Problem::emerg(&zone.at, message))
                }
                _ => None,
            }
        })
    }
}

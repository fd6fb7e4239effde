//! `proxy_next_upstream`: which failures lead to another peer.

use crate::conf::{Directive, Problem, units};
use crate::directive::arguments;

/// `proxy_next_upstream`: which failures lead to another peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextUpstream {
    /// Connecting, sending or reading failed.
    pub error: bool,
    /// It took too long.
    pub timeout: bool,
    /// The response was malformed.
    pub invalid_header: bool,
    /// Also if the request is not idempotent (RFC 9110, section 9.2.2).
    pub non_idempotent: bool,
    /// `off`.
    off: bool,
    /// Responses with these statuses.
    pub statuses: Statuses,
}

/// A small set of statuses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statuses(u16);

impl Statuses {
    const ALL: [u16; 7] = [500, 502, 503, 504, 403, 404, 429];

    /// Whether `status` is in the set.
    pub(crate) fn has(self, status: u16) -> bool {
        Self::ALL
            .iter()
            .position(|own| *own == status)
            .is_some_and(|bit| self.0 & (1 << bit) != 0)
    }

    fn add(&mut self, status: u16) -> bool {
        let bit = Self::ALL.iter().position(|own| *own == status);
        self.0 |= bit.map_or(0, |bit| 1 << bit);
        bit.is_some()
    }
}

impl Default for NextUpstream {
    fn default() -> Self {
        Self {
            error: true,
            timeout: true,
            invalid_header: false,
            non_idempotent: false,
            off: false,
            statuses: Statuses::default(),
        }
    }
}

pub(crate) const KNOWN: &[&str] = &[
    "error",
    "timeout",
    "invalid_header",
    "non_idempotent",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "http_403",
    "http_404",
    "http_429",
    "off",
];

/// Parses a line; several lines of a block are combined.
pub(super) fn parse_next_upstream(
    directive: &Directive,
    before: Option<NextUpstream>,
) -> Result<NextUpstream, Problem> {
    let mut next = before.unwrap_or(NextUpstream {
        error: false,
        timeout: false,
        invalid_header: false,
        non_idempotent: false,
        off: false,
        statuses: Statuses::default(),
    });
    for word in &directive.args {
        match word.text.to_ascii_lowercase().as_str() {
            "error" => next.error = true,
            "timeout" => next.timeout = true,
            "invalid_header" => next.invalid_header = true,
            "non_idempotent" => next.non_idempotent = true,
            "off" => next.off = true,
            text => {
                let status = text.strip_prefix("http_").and_then(units::parse_integer);
                if !status.is_some_and(|status| next.statuses.add(status)) {
                    return Err(arguments::unknown_value(word, KNOWN));
                }
            }
        }
    }
    if next.off {
        // `off` overrides everything else.
        next = NextUpstream {
            error: false,
            timeout: false,
            invalid_header: false,
            statuses: Statuses::default(),
            ..next
        };
    }
    Ok(next)
}

//! Long lines of access logs: those with more of what a client or an upstream has sent than a worker
//! builds in memory that is not counted. As in nginx, such a line is measured before it is written.

use std::cell::Cell;

use super::log_format::{Escape, Format, Piece, SHORT};
use crate::admission::{MemoryUse, Permit};
use crate::log::files::LogFileId;
use crate::log::level::{LONGEST, Level};
use crate::log::sinks::LineBounds;
use crate::request::Request;
use crate::request::error_log;

/// What is logged of a line for which there is no memory.
const CUT: &str = "long values in the access log are cut: memory limit reached; raise the \
                   container's memory limit";

/// Room for values that become longer between measuring and writing, such as times, bytes.
const ROOM: usize = 256;

/// The lines of one log that are being written. The memory that they need is the request's until
/// this is dropped.
pub(crate) struct Lines<'a> {
    pub(super) request: &'a Request,
    log: Option<LogFileId>,
    /// Bytes.
    reserved: Cell<u64>,
}

impl<'a> Lines<'a> {
    /// Those of a request; `log` is `None` if nothing waits to be written to it.
    pub(super) fn of(request: &'a Request, log: Option<LogFileId>) -> Self {
        let reserved = Cell::new(0);
        Self {
            request,
            log,
            reserved,
        }
    }

    fn permit(&self) -> &Permit {
        let own = self.request.permit.as_ref();
        own.unwrap_or(&self.request.connection.permit)
    }

    /// Reserves `memory` bytes; `false` if they are not available.
    fn reserve(&self, memory: u64) -> bool {
        let there = self.permit().try_grow(memory);
        if there {
            self.reserved.set(self.reserved.get() + memory);
        }
        there
    }

    fn bounds(&self) -> LineBounds {
        let of = |id| self.request.config.logs().bounds(id);
        self.log.map_or(LineBounds::WHOLE, of)
    }
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        if self.reserved.get() > 0 {
            let reserved = self.reserved.get();
            self.permit().shrink(MemoryUse::Transfer, reserved);
        }
    }
}

impl Format {
    /// Replaces `out` by the line. Without memory for all of it, each value has as many bytes as
    /// one of a line of the error log.
    #[cold]
    pub(super) fn write_long(&self, lines: &Lines<'_>, out: &mut Vec<u8>) {
        *out = Vec::new();
        let bounds = lines.bounds();
        let mut size = 0;
        let largest = self.each(lines.request, usize::MAX, &mut |raw, escape| {
            let raw = &raw[..raw.len().min(bounds.longest.saturating_sub(size))];
            size += escape.size(raw);
        });
        let room = size + ROOM;
        let mut longest_value = usize::MAX;
        if lines.reserve(room as u64 * bounds.copies + largest as u64) {
            out.reserve_exact(room);
        } else {
            error_log::request(lines.request, Level::Error, CUT);
            longest_value = LONGEST;
        }
        self.each(lines.request, longest_value, &mut |raw, escape| {
            let raw = &raw[..raw.len().min(bounds.longest.saturating_sub(out.len()))];
            escape.write(raw, out);
        });
    }

    /// Passes on each part of the line, and how it is escaped; `longest` bytes of a value at most.
    /// Returns how much memory the largest value took, bytes.
    fn each(&self, request: &Request, longest: usize, add: &mut dyn FnMut(&[u8], Escape)) -> usize {
        let (mut value, mut largest) = (Vec::new(), 0);
        for piece in &self.line {
            value.clear();
            let raw = match piece {
                Piece::Text(text) => {
                    add(text, Escape::None);
                    continue;
                }
                Piece::Body => request.whole_body.as_deref(),
                Piece::Fixed(evaluate) => evaluate(request, &mut value).then_some(&value[..]),
                Piece::Variable(variable) => {
                    let found = variable.evaluate(request, &mut value);
                    found.then_some(&value[..])
                }
            };
            match raw {
                Some(raw) => add(&raw[..raw.len().min(longest)], self.escape),
                None if self.escape == Escape::Default => add(b"-", Escape::None),
                None => {}
            }
            largest = largest.max(value.capacity());
            if value.capacity() > SHORT {
                value = Vec::new();
            }
        }
        add(b"\n", Escape::None);
        largest
    }
}

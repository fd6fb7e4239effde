//! nginx's `ngx_http_range_filter_module`: parts of files (RFC 9110, section
//! 14).

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::conf::units;
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::message::head::Version;
use crate::request::Request;
use crate::request::file_body::FileBody;
use crate::request::response::{self, Content, Refusal, Response, Validators};
use crate::request::source::{FilterContext, Frame, Next, Source};
use crate::time::http_date;

/// What the module keeps for each block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// `max_ranges`.
    most: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { most: usize::MAX }
    }
}

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] =
    &[
        Spec::set("max_ranges", Contexts::ALL, (1, 1), |scope, directive| {
            scope.settings.of_mut::<Settings>().most = arguments::number(directive)?;
            Ok(())
        })
        .about(
            "Most ranges of one request; a request for more gets the whole file. 0 ignores ranges.",
        ),
    ];

/// The next boundary between parts.
static BOUNDARY: AtomicU64 = AtomicU64::new(1);

/// What a `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
enum RequestedRanges {
    Whole,
    Nothing,
    Parts(Vec<Range<u64>>),
}

/// Reduces the response to the ranges that the client asked for.
pub(crate) fn apply(request: &mut Request, response: &mut Response) -> Result<(), Refusal> {
    let most = request.settings().of::<Settings>().most;
    let (Some(known), Content::File(file), Some(length)) =
        (&response.validators, &response.content, response.length)
    else {
        return Ok(());
    };
    if response.status != 200 || most == 0 || request.head.version < Version::Http10 {
        return Ok(());
    }
    let fields = &request.head.fields;
    let asked = match fields.first(b"range") {
        Some(range) if is_current(fields.first(b"if-range"), known) => parse(range, length, most),
        _ => RequestedRanges::Whole,
    };
    match asked {
        RequestedRanges::Whole => {
            let bytes = Bytes::from_static(b"bytes");
            response
                .fields
                .push((Bytes::from_static(b"Accept-Ranges"), bytes));
        }
        RequestedRanges::Nothing => {
            // As in nginx, fields that were added already stay: as they are, and as they are sent.
            request.keep_value(2 * response.computed as usize)?;
            request.kept_fields = std::mem::take(&mut response.fields);
            let kept = &mut request.kept_fields;
            response::remove(kept, b"last-modified");
            kept.push(content_range(format!("bytes */{length}")));
            return Err(Refusal::new(416));
        }
        // There may be thousands: without memory for them, the whole file is sent.
        RequestedRanges::Parts(parts)
            if !request.try_reserve(2 * size_of_val(&parts[..]) as u64) => {}
        RequestedRanges::Parts(parts) => {
            let file = file.clone();
            cut(response, &file, parts, length);
        }
    }
    Ok(())
}

fn content_range(value: String) -> (Bytes, Bytes) {
    (Bytes::from_static(b"Content-Range"), value.into())
}

/// Whether the client's parts are of this version of the file (`If-Range`).
fn is_current(condition: Option<&[u8]>, known: &Validators) -> bool {
    match condition {
        None => true,
        Some(tag) if tag.ends_with(b"\"") => known.etag.as_deref() == Some(tag),
        Some(date) => known.modified.is_some() && http_date::parse(date) == known.modified,
    }
}

fn cut(response: &mut Response, file: &FileBody, parts: Vec<Range<u64>>, length: u64) {
    response.status = 206;
    if let [part] = &parts[..] {
        response.fields.push(content_range(value(part, length)));
        response.length = Some(part.end - part.start);
        response.content = Content::File(file.slice(part.start, part.end - part.start));
        return;
    }
    let multipart = Multipart {
        file: file.clone(),
        parts: parts.into_iter(),
        boundary: format!("{:020}", BOUNDARY.fetch_add(1, Ordering::Relaxed)),
        kind: response.content_type.take().unwrap_or_default(),
        length,
        part: None,
        ended: false,
    };
    let kind = format!("multipart/byteranges; boundary={}", multipart.boundary);
    response.content_type = Some(kind.into());
    response.length = Some(multipart.size());
    response.content = Content::Stream(Box::new(multipart));
}

/// Several parts of a file (RFC 9110, section 14.6). Their headers are generated one by one: a
/// request may ask for thousands of parts.
struct Multipart {
    file: FileBody,
    parts: std::vec::IntoIter<Range<u64>>,
    boundary: String,
    kind: Bytes,
    /// Of the file, bytes.
    length: u64,
    /// The part that is being sent.
    part: Option<FileBody>,
    ended: bool,
}

impl Multipart {
    /// The length of all that is still to be sent, bytes.
    fn size(&self) -> u64 {
        let parts = self.parts.as_slice().iter();
        let sizes = parts.map(|part| self.head(part).len() as u64 + part.end - part.start);
        sizes.sum::<u64>() + self.end().len() as u64
    }

    fn head(&self, part: &Range<u64>) -> String {
        format!(
            "\r\n--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
            self.boundary,
            String::from_utf8_lossy(&self.kind),
            value(part, self.length)
        )
    }

    fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }
}

impl Source for Multipart {
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next> {
        if let Some(part) = &mut self.part {
            match ready!(part.poll_frame(request, cx)) {
                None => self.part = None,
                next => return Poll::Ready(next),
            }
        }
        let text = if let Some(part) = self.parts.next() {
            self.part = Some(self.file.slice(part.start, part.end - part.start));
            self.head(&part)
        } else if self.ended {
            return Poll::Ready(None);
        } else {
            self.ended = true;
            self.end()
        };
        Poll::Ready(Some(Ok(Frame::Data(text.into()))))
    }
}

fn value(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

/// Reads `bytes=0-1,-5`; parts outside the file are left out.
fn parse(field: &[u8], length: u64, most: usize) -> RequestedRanges {
    let Some(list) = field
        .split_at_checked(6)
        .filter(|(unit, list)| unit.eq_ignore_ascii_case(b"bytes=") && !list.is_empty())
        .and_then(|(_, list)| std::str::from_utf8(list).ok())
    else {
        return RequestedRanges::Whole;
    };
    let mut parts = Vec::new();
    for text in list.split(',') {
        let Some(part) = parse_part(text.trim_matches(' '), length) else {
            return RequestedRanges::Nothing;
        };
        if part.start < part.end {
            parts.push(part);
        } else if part.start == 0 {
            return RequestedRanges::Whole;
        }
        if parts.len() > most {
            return RequestedRanges::Whole;
        }
    }
    if parts.is_empty() {
        return RequestedRanges::Nothing;
    }
    if parts.iter().map(|part| part.end - part.start).sum::<u64>() > length {
        return RequestedRanges::Whole;
    }
    RequestedRanges::Parts(parts)
}

fn parse_part(text: &str, length: u64) -> Option<Range<u64>> {
    let number = |text: &str| units::parse_number(text.trim_matches(' '));
    let (start, end) = text.split_once('-')?;
    if start.is_empty() {
        // nginx accepts spaces around a number, but not between this sign and its number.
        let size = units::parse_number(end)?;
        return Some(length.saturating_sub(size)..length);
    }
    let start = number(start)?;
    if end.trim_matches(' ').is_empty() {
        return Some(start..length);
    }
    Some(start..number(end)?.saturating_add(1).min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_nginx_reads_them() {
        let parts = |list: &[(u64, u64)]| {
            RequestedRanges::Parts(list.iter().map(|(start, end)| *start..*end).collect())
        };
        for (field, expected) in [
            ("bytes=2-4", parts(&[(2, 5)])),
            ("bytes=-3", parts(&[(7, 10)])),
            ("bytes=-30", parts(&[(0, 10)])),
            ("bytes=8-", parts(&[(8, 10)])),
            ("bytes=0-1, 4-5", parts(&[(0, 2), (4, 6)])),
            ("bytes=90-", RequestedRanges::Nothing),
            ("bytes=90-95,1-1", parts(&[(1, 2)])),
            ("bytes=a-", RequestedRanges::Nothing),
            ("", RequestedRanges::Whole),
            ("x", RequestedRanges::Whole),
            ("bytes", RequestedRanges::Whole),
            ("bytes=", RequestedRanges::Whole),
            ("bytes=-", RequestedRanges::Nothing),
            ("bytes=0-9,0-9", RequestedRanges::Whole),
            ("bytes=0-0,1-1,2-2", RequestedRanges::Whole),
            ("bytes=-0", RequestedRanges::Nothing),
            ("bytes= -3 , 1 - 2 ", parts(&[(7, 10), (1, 3)])),
            ("bytes=- 3", RequestedRanges::Nothing),
            ("bytes= - 0 ,-1040", RequestedRanges::Nothing),
            ("lines=1-2", RequestedRanges::Whole),
            ("bytes=0-9223372036854775807", parts(&[(0, 10)])),
            ("bytes=0-9223372036854775808", RequestedRanges::Nothing),
        ] {
            assert_eq!(parse(field.as_bytes(), 10, 2), expected, "{field}");
        }
    }
}

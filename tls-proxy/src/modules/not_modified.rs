//! nginx's `ngx_http_not_modified_filter_module`: conditional requests (RFC 9110, section 13) for
//! responses of this server itself.

use bytes::Bytes;

use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::message::fields::members;
use crate::request::Request;
use crate::request::response::{self, Content, Refusal, Response, Validators};
use crate::time::http_date;

/// `if_modified_since`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Settings {
    /// Always counts as modified.
    Off,
    /// Modified if the time differs.
    #[default]
    Exact,
    /// Modified if the file is newer.
    Before,
}

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::set(
    "if_modified_since",
    Contexts::ALL,
    (1, 1),
    |scope, directive| {
        let word = arguments::first(directive);
        *scope.settings.of_mut::<Settings>() = {
            let known = [
                ("off", Settings::Off),
                ("exact", Settings::Exact),
                ("before", Settings::Before),
            ];
            arguments::choice(word, &known)?
        };
        Ok(())
    },
)
.default("exact")
.about("How a file's time is compared with `If-Modified-Since`.")];

/// Turns a response into a 304 or a 412 if the client's conditions require it.
pub(crate) fn apply(request: &mut Request, response: &mut Response) -> Result<(), Refusal> {
    let own = !matches!(response.content, Content::Upstream(_) | Content::Tunnel(_));
    if response.status != 200 || !own {
        return Ok(());
    }
    let settings = request.settings();
    let known = response.validators.as_deref();
    match decide(*settings.of::<Settings>(), known, |name| {
        request.head.fields.first(name)
    }) {
        200 => {}
        304 => {
            response.status = 304;
            response.content = Content::Empty;
            response::remove(&mut response.fields, b"content-encoding");
            response.content_type = None;
            response.length = None;
        }
        status => {
            let etag = |(name, _): &(Bytes, Bytes)| name.eq_ignore_ascii_case(b"etag");
            let fields = std::mem::take(&mut response.fields);
            request.kept_fields.extend(fields.into_iter().filter(etag));
            return Err(Refusal::new(status));
        }
    }
    Ok(())
}

/// 200, 304 or 412.
fn decide<'a>(
    mode: Settings,
    known: Option<&Validators>,
    field: impl Fn(&[u8]) -> Option<&'a [u8]>,
) -> u16 {
    let modified = known.and_then(|known| known.modified);
    let etag = known.and_then(|known| known.etag.as_deref());
    if let Some(since) = field(b"if-unmodified-since") {
        let limit = http_date::parse(since);
        if !matches!((modified, limit), (Some(own), Some(limit)) if own <= limit) {
            return 412;
        }
    }
    if field(b"if-match").is_some_and(|list| !matches(list, etag, false)) {
        return 412;
    }
    let since = field(b"if-modified-since");
    let none_match = field(b"if-none-match");
    if since.is_none() && none_match.is_none() {
        return 200;
    }
    let changed = since.is_some_and(|since| match (mode, modified, http_date::parse(since)) {
        (Settings::Exact, Some(own), Some(since)) => own != since,
        (Settings::Before, Some(own), Some(since)) => own > since,
        _ => true,
    });
    let other = none_match.is_some_and(|list| !matches(list, etag, true));
    if changed || other { 200 } else { 304 }
}

/// Whether the list names the tag; a weak comparison ignores `W/`.
fn matches(list: &[u8], etag: Option<&[u8]>, weak: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(etag) = etag else {
        return false;
    };
    members(list).any(|tag| match tag.strip_prefix(b"W/") {
        Some(tag) => weak && tag == etag,
        None => tag == etag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(fields: &[(&'static str, &'static str)]) -> u16 {
        let known = Validators {
            modified: Some(1_000_000_000),
            etag: Some("\"a\"".into()),
        };
        decide(Settings::Exact, Some(&known), |name| {
            let own = fields.iter().find(|(own, _)| own.as_bytes() == name);
            own.map(|(_, value)| value.as_bytes())
        })
    }

    const THEN: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";

    #[test]
    fn conditions_are_nginx_s() {
        for (fields, expected) in [
            (&[][..], 200),
            (&[("if-modified-since", THEN)], 304),
            (&[("if-modified-since", BEFORE)], 200),
            (&[("if-none-match", "\"x\", W/\"a\"")], 304),
            (&[("if-none-match", "\"x\"")], 200),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", THEN)],
                200,
            ),
            (&[("if-match", "\"a\"")], 200),
            (&[("if-match", "W/\"a\"")], 412),
            (&[("if-match", "*")], 200),
            (&[("if-unmodified-since", BEFORE)], 412),
            (&[("if-unmodified-since", THEN)], 200),
        ] {
            assert_eq!(status(fields), expected, "{fields:?}");
        }
    }
}

//! nginx's header and body filters, in its order.

use bytes::Bytes;

use crate::admission::SMALL_HEAD;
use crate::message::head::Version;
use crate::modules::{
    charset, expires, gunzip, gzip, headers, limit_rate, not_modified, range, sub, trailers,
};
use crate::request::Request;
use crate::request::response::{Content, Refusal, Response};
use crate::time::http_date;

/// Files up to this size are read completely, so that they are sent with their head in one
/// write.
const SMALL: u64 = 32 << 10;

/// Runs all filters; one may reject the response, which becomes an error then.
pub(crate) fn apply(request: &mut Request, response: &mut Response) -> Result<(), Refusal> {
    if request.patterns.has_given_up() && response.status != 500 {
        // It may be the response to another value than that of the request.
        return Err(Refusal::new(500));
    }
    // For `$status` in `add_header` and `add_trailer`.
    request.outcome.status = response.status;
    // That of a response which this one replaces.
    request.filter_memory.set(0);
    response.fields.append(&mut request.kept_fields);
    let address = request.kept_location.take();
    if response.location.is_none() && address.is_some() {
        response.own_location = true;
        response.location = address;
    }
    if let Some(known) = &response.validators {
        let modified = known.modified.map(http_date::format);
        let etag = known.etag.clone();
        let mut push = |name: &'static str, value: Bytes| {
            response
                .fields
                .push((Bytes::from_static(name.as_bytes()), value));
        };
        // The time of an error page is not the time of the requested file.
        if let Some(modified) = modified.filter(|_| matches!(response.status, 200 | 206 | 304)) {
            push("Last-Modified", modified);
        }
        if let Some(etag) = etag {
            push("ETag", etag);
        }
    }
    let accel = std::mem::take(&mut request.accel);
    response.fields.extend(accel.fields);
    if accel.content_type.is_some() && response.status < 300 && !response.is_of_upstream {
        response.content_type = accel.content_type;
    }
    if let Some(challenge) = request.challenge.take() {
        let name = Bytes::from_static(b"WWW-Authenticate");
        response.fields.push((name, challenge));
    }
    // The fields of an upstream's own 204 are passed on over HTTP/1.
    let own_status = response.reason.is_none() || request.head.version == Version::Http2;
    if response.status == 204 && own_status {
        response.content_type = None;
        response.length = None;
    }
    not_modified::apply(request, response)?;
    response.note_own_fields();
    let config = request.config.clone();
    let settings = &config.location(request.location).settings;
    if let Some(own) = settings.used::<expires::Settings>() {
        expires::apply(own, request, response);
    }
    if let Some(own) = settings.used::<headers::Settings>() {
        headers::apply(own, request, response);
    }
    if request.permit.is_none() {
        // Nor is there memory for what the others compute: the built-in page is sent as it is.
        return Ok(());
    }
    if settings.uses::<gunzip::Settings>() {
        gunzip::apply(request, response);
    }
    if let Some(own) = settings.used::<sub::Settings>() {
        sub::apply(own, request, response)?;
    }
    if let Some(own) = settings.used::<charset::Settings>() {
        charset::apply(own, request, response);
    }
    if let Some(own) = settings.used::<gzip::Settings>() {
        gzip::apply(own, request, response);
    }
    response.vary |= request.varies && settings.of::<gzip::Settings>().vary;
    range::apply(request, response)?;
    prepare_content(request, response);
    if settings.uses::<trailers::Settings>() {
        trailers::apply(request, response);
    }
    limit_rate::apply(request, response);
    if response.computed > SMALL_HEAD {
        // As they are, and as they are sent. They are not held while they wait for memory.
        let kept = request.keep_value(2 * response.computed as usize);
        return kept.inspect_err(|_| request.computes_response = false);
    }
    Ok(())
}

/// Prepares the content for sending.
fn prepare_content(request: &Request, response: &mut Response) {
    response.fix_length(request);
    let Content::File(file) = &response.content else {
        return;
    };
    let small = response.length.is_some_and(|length| length <= SMALL);
    // The file's content is held until it can be sent.
    let small = small && request.try_reserve_transfer(response.length);
    if request.is_head() {
        response.content = Content::Empty;
    } else if let Some(whole) = small.then(|| file.whole().ok()).flatten() {
        response.content = Content::Memory(whole);
    } else {
        // One that cannot be read is cut where that shows: a response that is shorter than the file
        // must not look complete.
        response.filter(|file| file);
    }
}

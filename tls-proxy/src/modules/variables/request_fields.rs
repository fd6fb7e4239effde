//! Variables over the request fields that nginx knows by name. Where `underscores_in_headers` is
//! on, they do not match `X_Forwarded_For`, as `$http_NAME` does.

use super::families::join;
use super::known::remote_addr;
use super::{Evaluate, write};
use crate::request::Request;

pub(crate) const TABLE: &[(&str, Evaluate)] = &[
    ("content_type", |request, out| {
        field(request, b"content-type", out)
    }),
    ("http_cookie", |request, out| {
        join(request.head.fields.all(b"cookie"), b"; ", out)
    }),
    // A second one, for which nginx refuses the request, is not in it.
    ("http_host", |request, out| {
        write(request.head.fields.first(b"host"), out)
    }),
    ("http_referer", |request, out| {
        field(request, b"referer", out)
    }),
    ("http_user_agent", |request, out| {
        field(request, b"user-agent", out)
    }),
    ("http_via", |request, out| field(request, b"via", out)),
    ("http_x_forwarded_for", |request, out| {
        field(request, b"x-forwarded-for", out)
    }),
    ("proxy_add_x_forwarded_for", |request, out| {
        if field(request, b"x-forwarded-for", out) {
            out.extend_from_slice(b", ");
        }
        remote_addr(request, out)
    }),
];

/// All values of a field.
fn field(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    join(request.head.fields.all(name), b", ", out)
}

//! nginx's variables, and strings with variables compiled into templates.

pub(crate) mod captured;
pub(crate) mod known;
pub(crate) mod registry;
mod request_fields;
pub(crate) mod slots;
mod ssl;
pub(crate) mod template;

use crate::modules::proxy_protocol;
use crate::request::Request;

/// Writes a variable's value for this request; `false` when it has none.
pub(crate) type Evaluate = fn(&Request, &mut Vec<u8>) -> bool;

/// One variable, found by name when the configuration was read.
#[derive(Clone, Debug)]
pub(crate) enum Variable {
    /// One of nginx's fixed names.
    Known(Evaluate),
    /// `$http_NAME`: a request field; the name is lower case with `_`.
    RequestField(Box<[u8]>),
    /// `$sent_http_NAME`: a field of the answer.
    SentField(Box<[u8]>),
    /// `$upstream_http_NAME`: a field of the upstream's answer.
    UpstreamField(Box<[u8]>),
    /// `$upstream_cookie_NAME`: a cookie that the upstream sets.
    UpstreamCookie(Box<[u8]>),
    /// `$upstream_trailer_NAME`: a field behind the upstream's body.
    UpstreamTrailer(Box<[u8]>),
    /// `$sent_trailer_NAME`: a field behind the response's body.
    SentTrailer(Box<[u8]>),
    /// `$arg_NAME`: an argument of the query.
    Argument(Box<[u8]>),
    /// `$proxy_protocol_tlv_NAME`: a value of a load balancer's header.
    BalancerValue(Box<[u8]>),
    /// `$cookie_NAME`: a cookie.
    Cookie(Box<[u8]>),
    /// `$1` to `$9`: a group of the last regular expression that matched.
    Capture(usize),
    /// A variable the configuration itself makes (`set`, `map`, a named
    /// group), or may make: `$http_NAME` and its like can be set.
    User(usize),
}

impl Variable {
    /// Writes the value; `false` when there is none.
    pub(crate) fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Known(evaluate) => evaluate(request, out),
            Self::RequestField(name) => known::joined(request.head.fields.iter(), name, out),
            Self::SentField(name) => known::sent_field(request, name, out),
            Self::UpstreamField(name) => known::upstream_field(request, name, out),
            Self::UpstreamCookie(name) => known::upstream_cookie(request, name, out),
            Self::UpstreamTrailer(name) => known::upstream_trailer(request, name, out),
            Self::SentTrailer(name) => known::sent_trailer(request, name, out),
            Self::Argument(name) => known::argument(request, name, out),
            Self::Cookie(name) => known::cookie(request, name, out),
            Self::BalancerValue(name) => proxy_protocol::tlv(request, name, out),
            Self::Capture(group) => request.captured.write(*group, out),
            Self::User(slot) => match request.slots.value(*slot) {
                Some(value) => write(value.as_deref(), out),
                None => request.config.variables.compute(*slot, request, out),
            },
        }
    }
}

/// Writes what is there.
pub(crate) fn write(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    if let Some(value) = value {
        out.extend_from_slice(value);
    }
    value.is_some()
}

//! nginx's `ngx_http_proxy_module`: builds the request to an upstream, and the client's response
//! from the upstream's.

pub(crate) mod accel;
mod attempt;
mod body;
pub(crate) mod buffers;
pub(crate) mod cache;
pub(crate) mod cookies;
mod directives;
pub(crate) mod fields;
pub(crate) mod handler;
pub(crate) mod next_upstream;
pub(crate) mod pass;
pub(crate) mod redirect;
pub(crate) mod request_head;
pub(crate) mod response;
mod response_body;
pub(crate) mod rewrite_location;
mod settings;

pub(crate) use directives::{DIRECTIVES, parse_bind};
pub(crate) use pass::{Pass, PassTarget, SelectedUpstream, choose};
pub(crate) use request_head::{method, write_head};
pub(crate) use response::intercepts;
pub(crate) use settings::Settings;

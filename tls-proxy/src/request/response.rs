//! A response before it is written: the result of the content phase, and the fields made
//! from it, in nginx's order.

use bytes::Bytes;
use pod::decimal;

use super::Request;
use super::file_body::FileBody;
use super::pages;
use super::source::{Source, UpstreamBody};
use crate::message::fields::value_of;
use crate::time::http_date;
use crate::upstream::connection::UpstreamConnection;

/// A response.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The upstream's reason phrase; otherwise nginx's.
    pub(crate) reason: Option<Bytes>,
    pub(crate) content_type: Option<Bytes>,
    /// The body's length, bytes, where it is known.
    pub(crate) length: Option<u64>,
    pub(crate) location: Option<Bytes>,
    /// `location` is this server's own and may be made absolute.
    pub(crate) own_location: bool,
    /// Everything else, in order.
    pub(crate) fields: Vec<(Bytes, Bytes)>,
    pub(crate) content: Content,
    /// A file's time and entity tag; only responses with them are subject to conditions and
    /// ranges.
    pub(crate) validators: Option<Box<Validators>>,
    /// The upstream's `Server` is passed on (`proxy_pass_header Server`).
    pub(crate) names_server: bool,
    /// The upstream's `Date` is passed on (`proxy_pass_header Date`).
    pub(crate) names_date: bool,
    /// `gzip_vary` adds `Vary: Accept-Encoding`.
    pub(crate) vary: bool,
    /// The upstream has set `Content-Encoding`.
    pub(crate) names_encoding: bool,
    /// Body data is sent as it arrives, not gathered (`proxy_buffering off`).
    pub(crate) unbuffered: bool,
    /// A client that waits for `100 Continue` gets it, although the body is discarded:
    /// nginx does so for all responses but error pages.
    pub(crate) reads_body: bool,
    /// The connection cannot serve another request.
    pub(crate) close: bool,
    /// Bytes of the values in its fields that were computed for it.
    pub(crate) computed: u64,
    /// It is an upstream's, whatever filters make of its body.
    pub(crate) is_of_upstream: bool,
}

/// What conditional requests (RFC 9110, section 13) compare.
#[derive(Clone, Debug)]
pub(crate) struct Validators {
    /// `Last-Modified`, seconds since 1970; `None` if it is not a valid date.
    pub(crate) modified: Option<u64>,
    pub(crate) etag: Option<Bytes>,
}

/// Where the body comes from.
pub(crate) enum Content {
    /// No response, not even a head: the connection is closed (`return 444`).
    Nothing,
    Empty,
    Memory(Bytes),
    Upstream(Box<dyn UpstreamBody>),
    /// A file, before the filters.
    File(FileBody),
    /// The output of filters.
    Stream(Box<dyn Source>),
    /// After `101 Switching Protocols`: bytes are copied in both directions.
    Tunnel(Box<UpstreamConnection>),
}

impl Content {
    /// Whether a body follows the head.
    pub(crate) fn has_body(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Empty | Self::Tunnel(_))
    }
}

/// An error, which gets an error page.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The connection is closed, because what follows on it cannot be trusted.
    pub(crate) close: bool,
    /// No page is sent.
    pub(crate) silent: bool,
}

impl Refusal {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            close: false,
            silent: false,
        }
    }

    /// An error after which the connection is closed.
    pub(crate) fn closing(status: u16) -> Self {
        Self {
            close: true,
            ..Self::new(status)
        }
    }

    /// The connection is closed without a response; the status is for the log.
    pub(crate) fn silent(status: u16) -> Self {
        Self {
            silent: true,
            ..Self::closing(status)
        }
    }
}

impl Response {
    /// Boxed: it passes through all phases and filters, and each would copy it.
    fn new(status: u16, content: Content) -> Box<Self> {
        Box::new(Self {
            status,
            is_of_upstream: matches!(content, Content::Upstream(_) | Content::Tunnel(_)),
            reason: None,
            content_type: None,
            length: None,
            location: None,
            own_location: false,
            fields: Vec::new(),
            content,
            validators: None,
            names_server: false,
            names_date: false,
            names_encoding: false,
            unbuffered: false,
            vary: false,
            reads_body: false,
            close: false,
            computed: 0,
        })
    }

    /// No response.
    pub(crate) fn nothing(status: u16) -> Box<Self> {
        Self::new(status, Content::Nothing)
    }

    /// A response without a body. Its type and length are sent with a status that has a
    /// body (`error_page`).
    pub(crate) fn empty(status: u16, content_type: Option<Bytes>) -> Box<Self> {
        let mut response = Self::new(status, Content::Empty);
        response.content_type = content_type;
        response
    }

    /// A response from memory.
    pub(crate) fn text(status: u16, content_type: Option<Bytes>, text: Bytes) -> Box<Self> {
        let length = Some(text.len() as u64);
        let mut response = Self::new(status, Content::Memory(text));
        response.content_type = content_type;
        response.length = length;
        response
    }

    /// A response from a file.
    pub(crate) fn file(content_type: Option<Bytes>, length: u64, content: Content) -> Box<Self> {
        let mut response = Self::new(200, content);
        response.content_type = content_type;
        response.length = Some(length);
        response
    }

    /// A redirect with nginx's page.
    pub(crate) fn redirect(status: u16, address: Bytes, tokens: bool) -> Box<Self> {
        let mut response = Self::page(status, tokens);
        response.location = Some(value_of(address));
        response.own_location = true;
        response
    }

    /// An error page; `tokens` is `server_tokens`.
    pub(crate) fn page(status: u16, tokens: bool) -> Box<Self> {
        let text = pages::page(status, tokens);
        let kind = (!text.is_empty()).then_some(Bytes::from_static(b"text/html"));
        Self::text(pages::sent_as(status), kind, text)
    }

    /// An upstream's response.
    pub(crate) fn upstream(status: u16, body: Box<dyn UpstreamBody>) -> Box<Self> {
        Self::new(status, Content::Upstream(body))
    }

    /// An upstream's `101`.
    pub(crate) fn tunnel(connection: Box<UpstreamConnection>) -> Box<Self> {
        Self::new(101, Content::Tunnel(connection))
    }

    /// The same response, for a request whose body is read and discarded.
    pub(crate) fn reading_body(mut self: Box<Self>) -> Box<Self> {
        self.reads_body = true;
        self
    }

    /// Notes which of this server's own fields the upstream's replace. Called before
    /// `add_header`, whose fields come in addition.
    pub(crate) fn note_own_fields(&mut self) {
        if !matches!(self.content, Content::Upstream(_) | Content::Tunnel(_)) {
            return;
        }
        self.names_server |= names(&self.fields, b"server");
        self.names_date |= names(&self.fields, b"date");
        let encoded = |(name, value): &(Bytes, Bytes)| {
            name.eq_ignore_ascii_case(b"content-encoding") && !value.is_empty()
        };
        self.names_encoding = self.fields.iter().any(encoded);
    }

    /// Content type, length, location and all other fields, before those about the
    /// connection are known.
    fn fields_so_far(&self) -> Vec<(Bytes, Bytes)> {
        let mut fields = self.fields.clone();
        let mut push = |name: &'static str, value: Option<Bytes>| {
            fields.extend(value.map(|value| (Bytes::from_static(name.as_bytes()), value)));
        };
        let length = self.length.map(|length| decimal::text(length).into());
        push("Content-Type", self.content_type.clone());
        push("Content-Length", length);
        push("Location", self.location.clone());
        fields
    }

    /// Puts a filter over the body.
    pub(crate) fn filter<S: Source + 'static>(&mut self, filter: impl FnOnce(Content) -> S) {
        let inner = std::mem::replace(&mut self.content, Content::Empty);
        self.content = Content::Stream(Box::new(filter(inner)));
    }

    /// Makes the `ETag` weak: the body is no longer byte for byte the original.
    pub(crate) fn weaken_etag(&mut self) {
        self.fields.retain_mut(|(name, value)| {
            if !name.eq_ignore_ascii_case(b"etag") || value.starts_with(b"W/") {
                return true;
            }
            // A value without quotes is not an entity tag and is removed.
            *value = [b"W/", &value[..]].concat().into();
            value.starts_with(b"W/\"")
        });
    }

    /// The body gets another encoding: its length is not known, and there are no ranges of it.
    pub(crate) fn change_encoding(&mut self) {
        self.length = None;
        self.validators = None;
        remove(&mut self.fields, b"accept-ranges");
        self.weaken_etag();
    }

    /// Makes the response so far visible to variables (`$status`, `$sent_http_…`).
    pub(crate) fn show(&self, request: &mut Request) {
        request.outcome.status = self.status;
        request.outcome.fields = self.fields_so_far();
    }

    /// An error page with padding if `wanted` (`msie_padding`).
    pub(crate) fn padded(mut self: Box<Self>, wanted: bool) -> Box<Self> {
        if let (true, Content::Memory(text)) = (wanted && self.length > Some(0), &self.content) {
            let padded = pages::pad(text);
            self.length = Some(padded.len() as u64);
            self.content = Content::Memory(padded);
        }
        self
    }

    /// `Last-Modified`, seconds since 1970, from the file or the upstream.
    pub(crate) fn last_modified(&self) -> Option<u64> {
        if let Some(known) = &self.validators {
            return known.modified;
        }
        let mut fields = self.fields.iter();
        let is_last = |(name, _): &&(Bytes, Bytes)| name.eq_ignore_ascii_case(b"last-modified");
        fields
            .find(is_last)
            .and_then(|(_, value)| http_date::parse(value))
    }

    /// Whether its status is one to which fields without `always` are added (`add_header`,
    /// `add_trailer`).
    pub(crate) fn is_regular(&self) -> bool {
        matches!(self.status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308)
    }
}

/// Removes the fields of this name.
pub(crate) fn remove(fields: &mut Vec<(Bytes, Bytes)>, name: &[u8]) {
    fields.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
}

fn names(fields: &[(Bytes, Bytes)], name: &[u8]) -> bool {
    fields.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
}

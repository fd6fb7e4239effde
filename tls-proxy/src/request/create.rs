//! How requests are made: from a head, as a subrequest, for a handshake, without a valid head.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use bytes::Bytes;

use super::Request;
use super::conn_config::ConnConfig;
use super::connection::Connection;
use super::ignore_client_abort::IgnoreClientAbort;
use super::record::{AccelRedirect, Outcome};
use super::slots::Slots;
use crate::admission::Permit;
use crate::message::head::{Framing, RequestHead, Version};
use crate::pattern::budget::Budget;
use crate::pattern::captured::Captured;
use crate::time::cached_time;
use crate::upstream::body::RequestBody;

impl Request {
    /// A request whose head has been read. Its server is the connection's until its host
    /// has been checked.
    pub(crate) fn new(
        connection: &Rc<Connection>,
        head: Box<RequestHead>,
        body: RequestBody,
    ) -> Self {
        let ConnConfig {
            config,
            address,
            server,
        } = connection.conn_config();
        let location = config.server(server).root;
        let slots = Slots::new(config.variables.len());
        Self {
            peer: connection.peer,
            behind_proxy: false,
            limit_req_status: None,
            limit_conn_status: None,
            counted: None,
            limit_rate: None,
            whole_body: None,
            spooled: None,
            gzipped: OnceCell::new(),
            varies: false,
            own_trailers: None,
            ignore_client_abort: IgnoreClientAbort::new(config.ignores_client_abort),
            id: OnceCell::new(),
            challenge: None,
            main_method: None,
            error_status: 0,
            in_error_page: false,
            closing: false,
            own_fields: Cell::new(0),
            said_keep_alive: Cell::new(None),
            kept_fields: Vec::new(),
            kept_location: None,
            announced: Ok(Framing::None),
            framing: Framing::None,
            body,
            begun: Bytes::new(),
            host: Bytes::new(),
            path: Bytes::new(),
            path_refused: false,
            args: Bytes::new(),
            args_known: false,
            behind_alias: false,
            quoted: false,
            rewritten: false,
            valid_location: true,
            discard_body: false,
            args_set: false,
            located: false,
            server,
            location,
            slots,
            redirects: 0,
            captured: Captured::default(),
            patterns: Budget::default(),
            started: cached_time::now(),
            took: None,
            number: connection.requests.get(),
            pipelined: false,
            received: head.length,
            body_received: None,
            attempts: Vec::new(),
            proxy: None,
            upstream_fields: None,
            upstream_trailers: None,
            accel: AccelRedirect::default(),
            outcome: Outcome::default(),
            permit: None,
            has_transfer: Cell::new(false),
            upload_memory: Cell::new(0),
            filter_memory: Cell::new(0),
            computes_response: true,
            value_memory: Cell::new(0),
            kept_values: Cell::new(0),
            timer: Cell::default(),
            connection: connection.clone(),
            config,
            address,
            head,
        }
    }

    /// A subrequest of `main` for `path`, without a body. They share the configuration's
    /// own variables.
    pub(crate) fn subrequest(main: &Self, path: &[u8]) -> Self {
        let mut head = main.head.clone();
        head.method = Bytes::from_static(b"GET");
        let mut own = Self::new(&main.connection, head, RequestBody::None);
        let root = main.config.server(main.server).root;
        own.config = main.config.clone();
        own.address = main.address;
        (own.server, own.location) = (main.server, root);
        own.peer = main.peer;
        own.behind_proxy = main.behind_proxy;
        own.limit_req_status = main.limit_req_status;
        own.limit_conn_status = main.limit_conn_status;
        own.id = main.id.clone();
        own.host = main.host.clone();
        own.path = Bytes::copy_from_slice(path);
        own.rewritten = true;
        own.slots = main.slots.clone();
        own.started = main.started;
        own.number = main.number;
        own.main_method = Some(main.client_method().clone());
        own.permit = main.permit.as_ref().and_then(Permit::another);
        own
    }

    /// A substitute request, for variables that are evaluated during a handshake.
    pub(crate) fn of_handshake(connection: &Rc<Connection>) -> Self {
        let head = RequestHead::of_line(Bytes::new(), Version::Http11);
        let mut own = Self::new(connection, head, RequestBody::None);
        own.number = 1;
        own.main_method = Some(Bytes::new());
        own
    }

    /// A request whose head was rejected or did not end.
    pub(crate) fn malformed(connection: &Rc<Connection>, mut head: Box<RequestHead>) -> Self {
        // The response to a HEAD has no body, even if the rest of its line is invalid.
        let is_head = head.version > Version::Http09 && head.line.starts_with(b"HEAD ");
        if is_head {
            head.method = head.line.slice(..4);
        }
        Self::new(connection, head, RequestBody::None)
    }
}

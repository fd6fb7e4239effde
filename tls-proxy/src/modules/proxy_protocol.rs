//! `$proxy_protocol_…`: what a load balancer's PROXY header says.

use std::net::SocketAddr;

use crate::server::proxy_protocol::Header;
use crate::server::request::Request;
use crate::vars::known::append;
use crate::vars::{Evaluate, write};

/// The types of further values (PROXY protocol, section 2.2).
const ALPN: u8 = 1;
const AUTHORITY: u8 = 2;
const UNIQUE_ID: u8 = 5;
const NETNS: u8 = 0x30;

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[
    ("proxy_protocol_addr", |request, out| {
        address(request, |header| header.source, out)
    }),
    ("proxy_protocol_port", |request, out| {
        port(request, |header| header.source, out)
    }),
    ("proxy_protocol_server_addr", |request, out| {
        address(request, |header| header.target, out)
    }),
    ("proxy_protocol_server_port", |request, out| {
        port(request, |header| header.target, out)
    }),
    ("proxy_protocol_tlv_alpn", |request, out| {
        tlv(request, ALPN, out)
    }),
    ("proxy_protocol_tlv_authority", |request, out| {
        tlv(request, AUTHORITY, out)
    }),
    ("proxy_protocol_tlv_netns", |request, out| {
        tlv(request, NETNS, out)
    }),
    ("proxy_protocol_tlv_unique_id", |request, out| {
        tlv(request, UNIQUE_ID, out)
    }),
];

type Which = fn(&Header) -> Option<SocketAddr>;

fn address(request: &Request, which: Which, out: &mut Vec<u8>) -> bool {
    let header = request.connection.proxy_header.as_ref();
    header
        .and_then(which)
        .is_some_and(|address| append(out, format_args!("{}", address.ip())))
}

fn port(request: &Request, which: Which, out: &mut Vec<u8>) -> bool {
    let header = request.connection.proxy_header.as_ref();
    header
        .and_then(which)
        .is_some_and(|address| append(out, format_args!("{}", address.port())))
}

fn tlv(request: &Request, kind: u8, out: &mut Vec<u8>) -> bool {
    let header = request.connection.proxy_header.as_ref();
    write(header.and_then(|header| header.tlv(kind)), out)
}

//! Integration tests of the running program, and of its configuration language. They are
//! one binary, since each binary links the whole program. `support` is shared by all.

#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod autoindex;
mod backpressure;
mod blocked_reads;
mod bodies;
mod command_line;
mod conf_like_nginx;
mod conf_syntax;
mod connection_cap;
mod delimited;
mod drain;
mod drain_http2;
mod error_pages;
mod handshakes_counted;
mod hostile;
mod http2;
mod http2_counted;
mod lame_duck;
mod layers;
mod log_format;
mod log_losses;
mod log_pipes;
mod log_targets;
mod logins;
mod long_lines;
mod names_of_strangers;
mod odd_files;
mod packed_files;
mod pauses;
mod proxy_headers_counted;
mod published;
mod quit_waits;
mod reload;
mod reload_whole;
mod response_splitting;
mod rotation;
mod second_upstream;
mod signals;
mod slow_clients;
mod start_line;
mod templates;
mod tls_certificates;
mod tls_records;
mod tls_sessions;
mod tunnel;
mod unknown_words;
mod unreadable_files;
mod uploads_that_break;
mod upstream_failures;
mod upstream_pool;
mod upstream_resolve;
mod upstream_tickets;
mod wildcard;

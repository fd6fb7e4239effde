//! One file for each of nginx's modules, under nginx's name for it.
//!
//! A module's file defines its directives: a table has each one's name, contexts, arguments,
//! default and description; the typed settings and their effect on a request stand beside it.
//! `docs/directives.md` is generated from the tables.
//!
//! Inheritance is nginx's and needs no merge step: a block starts with a copy
//! of its parent's finished settings and its own directives change them.

pub(crate) mod access;
pub(crate) mod auth_basic;
pub(crate) mod auth_request;
pub(crate) mod autoindex;
mod autoindex_page;
mod blocks;
pub(crate) mod charset;
pub(crate) mod client_body;
pub(crate) mod content_types;
pub(crate) mod core;
#[cfg(test)]
mod defaults;
pub(crate) mod document_root;
pub(crate) mod documentation;
pub(crate) mod error_log;
mod error_page;
pub(crate) mod expires;
pub(crate) mod forwarded_for;
pub(crate) mod geo;
pub(crate) mod geo_ranges;
pub(crate) mod gunzip;
pub(crate) mod gzip;
pub(crate) mod gzip_accept;
pub(crate) mod gzip_static;
pub(crate) mod headers;
pub(crate) mod http2;
pub(crate) mod leaky_bucket;
pub(crate) mod limit_conn;
pub(crate) mod limit_except;
pub(crate) mod limit_rate;
pub(crate) mod limit_rejection;
pub(crate) mod limit_req;
pub(crate) mod limit_zone;
pub(crate) mod listen;
pub(crate) mod log;
pub(crate) mod log_format;
pub(crate) mod map;
#[cfg(test)]
mod names;
pub(crate) mod not_modified;
pub(crate) mod passwords;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod proxy_protocol;
pub(crate) mod proxy_ssl;
pub(crate) mod range;
pub(crate) mod realip;
pub(crate) mod referer;
pub(crate) mod request_facts;
pub(crate) mod resolver;
pub(crate) mod rewrite;
mod sha_crypt;
pub(crate) mod split_clients;
pub(crate) mod ssl;
pub(crate) mod ssl_client;
pub(crate) mod ssl_conf_command;
pub(crate) mod ssl_session;
pub(crate) mod ssl_stapling;
pub(crate) mod static_files;
pub(crate) mod stub_status;
pub(crate) mod sub;
mod sub_search;
pub(crate) mod trailers;
pub(crate) mod try_files;
pub(crate) mod types;
pub(crate) mod unsupported;
pub(crate) mod upstream;
pub(crate) mod user_agent;
pub(crate) mod variables;

use std::sync::Arc;

use crate::conf::{Directive, Problem, did_you_mean};
use crate::config::settings::{Settings, SettingsSlot, Stored};
use crate::config::spec::{Contexts, Directives, Effect, Spec, SpecTables};
use crate::directive::arguments;
use crate::modules::variables::tables::Tables;

/// Every table, in the order of the documentation.
pub(crate) const TABLES: SpecTables = &[
    ("main", process::DIRECTIVES),
    ("core", core::DIRECTIVES),
    ("core: by browser", user_agent::DIRECTIVES),
    ("core: bodies of requests in files", client_body::DIRECTIVES),
    ("listen", listen::DIRECTIVES),
    ("ssl", ssl::DIRECTIVES),
    ("ssl: certificates of clients", ssl_client::DIRECTIVES),
    ("ssl: sessions", ssl_session::DIRECTIVES),
    ("ssl: stapling", ssl_stapling::DIRECTIVES),
    ("ssl: commands of OpenSSL", ssl_conf_command::DIRECTIVES),
    ("http2", http2::DIRECTIVES),
    ("proxy", proxy::DIRECTIVES),
    ("proxy: buffers", proxy::buffers::DIRECTIVES),
    ("proxy: cache", proxy::cache::DIRECTIVES),
    ("proxy: cookies", proxy::cookies::DIRECTIVES),
    ("proxy: TLS to upstreams", proxy_ssl::DIRECTIVES),
    ("upstream", upstream::DIRECTIVES),
    ("resolver", resolver::DIRECTIVES),
    ("upstream: methods", upstream::method::DIRECTIVES),
    ("headers", headers::DIRECTIVES),
    ("rewrite", rewrite::DIRECTIVES),
    ("map", map::DIRECTIVES),
    ("log", log::DIRECTIVES),
    ("types", types::DIRECTIVES),
    ("document_root", document_root::DIRECTIVES),
    ("static_files", static_files::DIRECTIVES),
    ("autoindex", autoindex::DIRECTIVES),
    ("not_modified", not_modified::DIRECTIVES),
    ("range", range::DIRECTIVES),
    ("try_files", try_files::DIRECTIVES),
    ("access", access::DIRECTIVES),
    ("auth_basic", auth_basic::DIRECTIVES),
    ("auth_request", auth_request::DIRECTIVES),
    ("referer", referer::DIRECTIVES),
    ("limit_except", limit_except::DIRECTIVES),
    ("realip", realip::DIRECTIVES),
    ("geo", geo::DIRECTIVES),
    ("limit_req", limit_req::DIRECTIVES),
    ("limit_conn", limit_conn::DIRECTIVES),
    ("limit_rate", limit_rate::DIRECTIVES),
    ("expires", expires::DIRECTIVES),
    ("trailers", trailers::DIRECTIVES),
    ("gzip", gzip::DIRECTIVES),
    ("gzip_static", gzip_static::DIRECTIVES),
    ("gunzip", gunzip::DIRECTIVES),
    ("charset", charset::DIRECTIVES),
    ("sub", sub::DIRECTIVES),
    ("split_clients", split_clients::DIRECTIVES),
    ("stub_status", stub_status::DIRECTIVES),
];

/// The variables that modules add to those of every request.
pub(crate) const VARIABLES: Tables = Tables {
    fixed: &[
        document_root::VARIABLES,
        gzip::VARIABLES,
        limit_conn::VARIABLES,
        limit_rate::VARIABLES,
        limit_req::VARIABLES,
        referer::VARIABLES,
        request_facts::VARIABLES,
        stub_status::VARIABLES,
        user_agent::VARIABLES,
        proxy_protocol::VARIABLES,
        realip::VARIABLES,
    ],
    families: &[&proxy_protocol::BALANCER_VALUE],
    instead_of: |name| unsupported::variable(name).map(|module| module.instead),
};

/// How the configuration finds directives.
pub(crate) const DIRECTIVES: Directives = Directives { find, unknown };

/// Finds a directive by its name and, where two modules share the name, by
/// where it stands.
pub(crate) fn find(name: &str, context: Contexts) -> Option<&'static Spec> {
    let mut named = all().filter(|spec| spec.name == name);
    let first = named.clone().next();
    named.find(|spec| spec.contexts.meets(context)).or(first)
}

/// Every directive that is accepted in some way, and those refused in their own table.
fn all() -> impl Iterator<Item = &'static Spec> + Clone {
    let tables = TABLES.iter().chain(unsupported::settings::TABLES);
    tables.flat_map(|(_, table)| table.iter())
}

/// The problem with an unknown directive: its module is not supported, or it is misspelt.
pub(crate) fn unknown(directive: &Directive, context: Contexts) -> Problem {
    let name = directive.name.text.as_str();
    if let Some(module) = unsupported::directive(name) {
        return arguments::unsupported(directive, module.instead);
    }
    // Of several equally near ones, one that is allowed here.
    let works = |spec: &&Spec| !matches!(spec.effect, Effect::Refused(_));
    let here = all()
        .filter(works)
        .filter(|spec| spec.contexts.meets(context));
    let known = here.chain(all()).map(|spec| spec.name);
    let known = known.chain(["include"]).chain(unsupported::directives());
    Problem::emerg(&directive.name.at, format!("unknown directive \"{name}\""))
        .with_help_if(did_you_mean(name, known))
}

/// Lists the settings of all modules: each gets its slot.
macro_rules! settings {
    ($($name:ident: $settings:ty,)*) => {
        #[allow(non_camel_case_types)]
        enum SettingsIndex { $($name),* }

        $(impl SettingsSlot for $settings {
            const SLOT: usize = {
                assert!((SettingsIndex::$name as usize) < 64, "one bit for each");
                SettingsIndex::$name as usize
            };
        })*

        /// The settings before the first line of a configuration.
        pub(crate) fn unwritten() -> Settings {
            Settings::new([$(Arc::new(<$settings>::default()) as Arc<dyn Stored>),*])
        }
    };
}

settings! {
    access: access::Settings,
    auth_basic: auth_basic::Settings,
    auth_request: auth_request::Settings,
    autoindex: autoindex::Settings,
    charset: charset::Settings,
    client_body: client_body::Settings,
    expires: expires::Settings,
    gzip: gzip::Settings,
    gzip_static: gzip_static::Settings,
    gunzip: gunzip::Settings,
    headers: headers::Settings,
    http2: http2::Settings,
    limit_conn: limit_conn::Settings,
    limit_except: limit_except::Settings,
    limit_rate: limit_rate::Settings,
    limit_req: limit_req::Settings,
    log: log::Settings,
    not_modified: not_modified::Settings,
    proxy: proxy::Settings,
    proxy_buffers: proxy::buffers::Settings,
    proxy_cookies: proxy::cookies::Settings,
    proxy_ssl: proxy_ssl::Settings,
    range: range::Settings,
    realip: realip::Settings,
    referer: referer::Settings,
    resolver: resolver::Settings,
    rewrite: rewrite::Settings,
    ssl: ssl::Settings,
    static_files: static_files::Settings,
    stub_status: stub_status::Settings,
    sub: sub::Settings,
    trailers: trailers::Settings,
    try_files: try_files::Settings,
    types: types::Settings,
}

//! One file for each of nginx's modules, under nginx's name for it.
//!
//! A module's file is the one home of its directives: a table says each one's
//! name, contexts, arguments, default and meaning, the typed settings stand
//! beside it, and what they do to a request follows. `docs/directives.md` is
//! made from the tables.
//!
//! Inheritance is nginx's and needs no merge step: a block starts with a copy
//! of its parent's finished settings and its own directives change them.

pub(crate) mod access;
pub(crate) mod auth_basic;
pub(crate) mod auth_request;
pub(crate) mod autoindex;
mod autoindex_page;
pub(crate) mod charset;
pub(crate) mod content_types;
pub(crate) mod core;
#[cfg(test)]
mod defaults;
pub(crate) mod document_root;
pub(crate) mod documentation;
pub(crate) mod error_log;
pub(crate) mod expires;
pub(crate) mod forwarded_for;
pub(crate) mod geo;
pub(crate) mod geo_ranges;
pub(crate) mod gzip;
pub(crate) mod gzip_accept;
pub(crate) mod gzip_static;
pub(crate) mod headers;
pub(crate) mod http2;
pub(crate) mod leaky_bucket;
pub(crate) mod limit_answers;
pub(crate) mod limit_conn;
pub(crate) mod limit_except;
pub(crate) mod limit_rate;
pub(crate) mod limit_req;
pub(crate) mod limit_zone;
pub(crate) mod listen;
pub(crate) mod log;
pub(crate) mod log_format;
pub(crate) mod map;
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
pub(crate) mod upstream;
pub(crate) mod user_agent;

use std::sync::Arc;

use crate::conf::{Directive, Problem};
use crate::config::draft::Draft;
use crate::vars::Tables;

/// The kinds of block a directive may stand in, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contexts(u16);

impl Contexts {
    /// Outside all blocks.
    pub(crate) const MAIN: Self = Self(1);
    /// `events {}`.
    pub(crate) const EVENTS: Self = Self(1 << 1);
    /// `http {}`.
    pub(crate) const HTTP: Self = Self(1 << 2);
    /// `server {}`.
    pub(crate) const SERVER: Self = Self(1 << 3);
    /// `location … {}`.
    pub(crate) const LOCATION: Self = Self(1 << 4);
    /// `upstream … {}`.
    pub(crate) const UPSTREAM: Self = Self(1 << 5);
    /// `if (…) {}` in a server.
    pub(crate) const IF_SERVER: Self = Self(1 << 6);
    /// `if (…) {}` in a location.
    pub(crate) const IF: Self = Self(1 << 7);
    /// `http`, `server` and `location`: most directives.
    pub(crate) const ALL: Self = Self(Self::HTTP.0 | Self::SERVER.0 | Self::LOCATION.0);

    /// `limit_except … {}`.
    pub(crate) const LIMIT_EXCEPT: Self = Self(1 << 8);
    const NAMES: [(Self, &str); 9] = [
        (Self::MAIN, "main"),
        (Self::EVENTS, "events"),
        (Self::HTTP, "http"),
        (Self::SERVER, "server"),
        (Self::LOCATION, "location"),
        (Self::UPSTREAM, "upstream"),
        (Self::IF_SERVER, "if in server"),
        (Self::IF, "if in location"),
        (Self::LIMIT_EXCEPT, "limit_except"),
    ];

    /// Both sets together.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two share a context.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The contexts' names, in nginx's words.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let own = Self::NAMES
            .iter()
            .filter(|(context, _)| self.meets(*context));
        own.map(|(_, name)| *name).collect()
    }
}

/// What a directive does here.
#[derive(Clone, Copy)]
pub(crate) enum Effect {
    /// Changes the settings of the block it stands in.
    Set(fn(&mut Scope<'_>, &Directive) -> Result<(), Problem>),
    /// Opens a block.
    Block(fn(&mut Scope<'_>, &Directive, &[Directive]) -> Result<(), Problem>),
    /// Known and without meaning here; the words say why.
    Accepted(&'static str),
    /// Known and not supported; the words say what to do instead.
    Refused(&'static str),
}

/// One directive: everything about it that is not its effect on a request.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) contexts: Contexts,
    /// Fewest and most arguments.
    pub(crate) arguments: (usize, usize),
    /// nginx's default, as its documentation writes it; empty for none.
    pub(crate) default: &'static str,
    /// One sentence for the documentation.
    pub(crate) about: &'static str,
    /// May stand several times in one block.
    pub(crate) repeats: bool,
    /// What an accepted directive is checked for.
    pub(crate) value: crate::directive::value::Value,
    pub(crate) effect: Effect,
}

impl Spec {
    /// A directive that changes settings.
    pub(crate) const fn set(
        name: &'static str,
        contexts: Contexts,
        arguments: (usize, usize),
        set: fn(&mut Scope<'_>, &Directive) -> Result<(), Problem>,
    ) -> Self {
        Self::new(name, contexts, arguments, Effect::Set(set))
    }

    /// A directive of any effect.
    pub(crate) const fn new(
        name: &'static str,
        contexts: Contexts,
        arguments: (usize, usize),
        effect: Effect,
    ) -> Self {
        Self {
            name,
            contexts,
            arguments,
            default: "",
            about: "",
            repeats: false,
            value: crate::directive::value::Value::Any,
            effect,
        }
    }

    /// With nginx's default value.
    pub(crate) const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// With its line in the documentation.
    pub(crate) const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Checked for what nginx takes, though it has no effect.
    pub(crate) const fn takes(self, value: crate::directive::value::Value) -> Self {
        Self { value, ..self }
    }

    /// May be repeated in one block.
    pub(crate) const fn repeats(self) -> Self {
        Self {
            repeats: true,
            ..self
        }
    }
}

/// Any number of arguments from the given one on.
pub(crate) const MANY: usize = usize::MAX;

/// Every table, in the order of the documentation.
pub(crate) const TABLES: &[(&str, &[Spec])] = &[
    ("main", crate::modules::process::DIRECTIVES),
    ("core", core::DIRECTIVES),
    ("core: by browser", user_agent::DIRECTIVES),
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
    ("charset", charset::DIRECTIVES),
    ("sub", sub::DIRECTIVES),
    ("split_clients", split_clients::DIRECTIVES),
    ("stub_status", stub_status::DIRECTIVES),
];

/// The variables that modules give, besides those of every request.
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
};

/// Finds a directive by its name and, where two modules share the name, by
/// where it stands.
pub(crate) fn find(name: &str, context: Contexts) -> Option<&'static Spec> {
    let mut named = TABLES
        .iter()
        .flat_map(|(_, table)| table.iter())
        .filter(|spec| spec.name == name);
    let first = named.clone().next();
    named.find(|spec| spec.contexts.meets(context)).or(first)
}

/// The settings that every block from `http` down has, one part per module.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Limits, time-outs and what belongs to no other module.
    pub core: core::Settings,
    /// Fields added to answers.
    pub headers: headers::Settings,
    /// Where and how requests are logged.
    pub log: log::Settings,
    /// Requests to upstreams.
    pub proxy: proxy::Settings,
    /// TLS to upstreams.
    pub proxy_ssl: proxy_ssl::Settings,
    /// Answers and changes decided in the configuration.
    pub rewrite: rewrite::Settings,
    /// Certificates and TLS parameters; meaningful down to the server.
    pub ssl: crate::tls::settings::ServerSettings,
    /// HTTP/2; meaningful down to the server.
    pub http2: http2::Settings,
    /// Content types.
    pub types: types::Settings,
    /// Files.
    pub static_files: static_files::Settings,
    /// Lists of files.
    pub autoindex: autoindex::Settings,
    /// Conditional requests.
    pub not_modified: not_modified::Settings,
    /// Parts of files.
    pub range: range::Settings,
    /// Who may come in.
    pub access: access::Settings,
    /// Who knows names.
    pub resolver: resolver::Settings,
    /// From which pages requests may come.
    pub referer: referer::Settings,
    /// Another location decides.
    pub auth_request: auth_request::Settings,
    /// Names and passwords.
    pub auth_basic: auth_basic::Settings,
    /// The client behind a proxy.
    pub realip: realip::Settings,
    /// How often a key may come.
    pub limit_req: limit_req::Settings,
    /// How many requests of a key at once.
    pub limit_conn: limit_conn::Settings,
    /// How fast answers leave.
    pub limit_rate: limit_rate::Settings,
    /// How long answers may be kept.
    pub expires: expires::Settings,
    /// Fields behind the body.
    pub trailers: trailers::Settings,
    /// Compression.
    pub gzip: gzip::Settings,
    /// Files that are compressed already.
    pub gzip_static: gzip_static::Settings,
    /// Texts that are replaced.
    pub sub: sub::Settings,
    /// What a text's encoding is called.
    pub charset: charset::Settings,
    /// Answers with counts; not inherited.
    pub stub_status: bool,
    /// Other settings for other methods; not inherited.
    pub limit_except: Option<Arc<limit_except::LimitExcept>>,
    /// Which file; not inherited.
    pub try_files: Option<Arc<try_files::TryFiles>>,
}

impl Settings {
    /// What any block inside starts with: `if` and `limit_except` keep what a
    /// location does not.
    pub(crate) fn for_block_inside(&self) -> Self {
        let mut own = self.clone();
        own.rewrite = own.rewrite.inherited();
        own.static_files.documents = own.static_files.documents.inherited();
        own.access = own.access.inherited();
        own.try_files = None;
        own.limit_except = None;
        own.stub_status = false;
        own.headers = own.headers.inside();
        own.trailers = own.trailers.inside();
        own
    }

    /// What a location starts with: its parent's settings but for what nginx
    /// does not hand down.
    pub(crate) fn for_location(&self) -> Self {
        let mut own = self.for_block_inside();
        own.proxy.pass = None;
        own.proxy_ssl.connector = None;
        own
    }
}

/// Where a directive stands while its effect is computed.
pub(crate) struct Scope<'a> {
    /// The kind of block.
    pub(crate) context: Contexts,
    /// The block's settings so far.
    pub(crate) settings: &'a mut Settings,
    /// What the whole configuration has collected so far.
    pub(crate) draft: &'a mut Draft,
    /// What the block itself is made of besides settings.
    pub(crate) place: &'a mut Place,
    /// No directive of this name stood in this block before: a list that is
    /// inherited as a whole starts anew.
    pub(crate) first_here: bool,
    /// The directive's number in its block, for what runs in file order.
    pub(crate) order: usize,
}

/// What only one kind of block collects.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) server: crate::config::draft::ServerDraft,
    pub(crate) upstream: upstream::Draft,
    /// What this location matches; none in a server.
    pub(crate) location: Option<crate::config::draft::Pattern>,
    /// Locations directly inside this server or location.
    pub(crate) locations: Vec<crate::config::draft::LocationDraft>,
}

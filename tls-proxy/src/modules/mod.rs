//! One file for each of nginx's modules, under nginx's name for it.
//!
//! A module's file defines its directives: a table has each one's name, contexts, arguments,
//! default and description; the typed settings and their effect on a request stand beside it.
//! `docs/directives.md` is generated from the tables. The list `modules!` below has one line for
//! each module, and everything else that knows of modules follows from it.
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
pub(crate) mod geo_networks;
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
mod long_line;
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
pub(crate) mod trailers;
pub(crate) mod try_files;
pub(crate) mod types;
pub(crate) mod unsupported;
pub(crate) mod upstream;
pub(crate) mod user_agent;
pub(crate) mod variables;

use std::sync::Arc;

use self::proxy::{buffers as proxy_buffers, cache as proxy_cache, cookies as proxy_cookies};
use self::upstream::method as upstream_method;
use crate::conf::{Directive, Problem, did_you_mean};
use crate::config::settings::{Settings, SettingsSlot, Stored};
use crate::config::spec::{Contexts, Directives, Effect, Spec, SpecTables};
use crate::directive::arguments;
use crate::modules::variables::tables::Tables;
use crate::request::Request;
use crate::request::content_result::ContentResult;

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

/// A module that produces the response wherever it is used.
struct ContentHandler {
    is_used: fn(&Settings) -> bool,
    serve: fn(&Request) -> ContentResult,
}

/// The content handler of a location, if a module of this list is used there.
pub(crate) fn content_handler(settings: &Settings) -> Option<fn(&Request) -> ContentResult> {
    let used = CONTENT_HANDLERS.iter().find(|own| (own.is_used)(settings));
    used.map(|own| own.serve)
}

/// Makes of one list what the configuration and the phases know of modules. For each module it
/// says what its file has: a table of directives with its title in the documentation, variables,
/// a family of variables, settings of each block, a content handler.
macro_rules! modules {
    ($($module:ident:
        $(directives($title:literal))?
        $(variables($variables:ident))?
        $(family($family:ident))?
        $(settings($settings:ident))?
        $(content($serve:ident))?;
    )*) => {
        /// Every table, in the order of the documentation.
        pub(crate) const TABLES: SpecTables = &[$($(($title, $module::DIRECTIVES),)?)*];

        /// The variables that modules add to those of every request.
        pub(crate) const VARIABLES: Tables = Tables {
            fixed: &[$($($module::$variables,)?)*],
            families: &[$($(&$module::$family,)?)*],
            instead_of: |name| unsupported::variable(name).map(|module| module.instead),
        };

        const CONTENT_HANDLERS: &[ContentHandler] = &[$($(ContentHandler {
            is_used: |settings| settings.uses::<$module::Settings>(),
            serve: $module::$serve,
        },)?)*];

        settings! { $($($module: $settings,)?)* }
    };
}

/// Gives the settings of each module a slot (nginx's `ctx_index`).
macro_rules! settings {
    ($($module:ident: $settings:ident,)*) => {
        #[allow(non_camel_case_types)]
        enum SettingsIndex { $($module),* }

        $(impl SettingsSlot for $module::$settings {
            const SLOT: usize = {
                assert!((SettingsIndex::$module as usize) < 64, "one bit for each");
                SettingsIndex::$module as usize
            };
        })*

        /// The settings before the first line of a configuration.
        pub(crate) fn unwritten() -> Settings {
            Settings::new([
                $(Arc::new(<$module::$settings>::default()) as Arc<dyn Stored>),*
            ])
        }
    };
}

// In the order of the documentation.
modules! {
    process: directives("main");
    core: directives("core");
    user_agent: directives("core: by browser") variables(VARIABLES);
    client_body: directives("core: bodies of requests in files") settings(Settings);
    listen: directives("listen");
    ssl: directives("ssl") settings(Settings);
    ssl_client: directives("ssl: certificates of clients");
    ssl_session: directives("ssl: sessions");
    ssl_stapling: directives("ssl: stapling");
    ssl_conf_command: directives("ssl: commands of OpenSSL");
    http2: directives("http2") settings(Settings);
    proxy: directives("proxy") settings(Settings);
    proxy_buffers: directives("proxy: buffers") settings(Settings);
    proxy_cache: directives("proxy: cache");
    proxy_cookies: directives("proxy: cookies") settings(Settings);
    proxy_ssl: directives("proxy: TLS to upstreams") settings(Settings);
    upstream: directives("upstream");
    resolver: directives("resolver") settings(Settings);
    upstream_method: directives("upstream: methods");
    headers: directives("headers") settings(Settings);
    rewrite: directives("rewrite") settings(Settings);
    map: directives("map");
    log: directives("log") settings(Settings);
    types: directives("types") settings(Settings);
    document_root: directives("document_root") variables(VARIABLES);
    static_files: directives("static_files") settings(Settings);
    autoindex: directives("autoindex") settings(Settings);
    not_modified: directives("not_modified") settings(Settings);
    range: directives("range") settings(Settings);
    try_files: directives("try_files") settings(Settings);
    access: directives("access") settings(Settings);
    auth_basic: directives("auth_basic") settings(Settings);
    auth_request: directives("auth_request") settings(Settings);
    referer: directives("referer") variables(VARIABLES) settings(Settings);
    limit_except: directives("limit_except") settings(Settings);
    realip: directives("realip") variables(VARIABLES) settings(Settings);
    geo: directives("geo");
    limit_req: directives("limit_req") variables(VARIABLES) settings(Settings);
    limit_conn: directives("limit_conn") variables(VARIABLES) settings(Settings);
    limit_rate: directives("limit_rate") variables(VARIABLES) settings(Settings);
    expires: directives("expires") settings(Settings);
    trailers: directives("trailers") settings(Settings);
    gzip: directives("gzip") variables(VARIABLES) settings(Settings);
    gzip_static: directives("gzip_static") settings(Settings);
    gunzip: directives("gunzip") settings(Settings);
    charset: directives("charset") settings(Settings);
    sub: directives("sub") settings(Settings);
    split_clients: directives("split_clients");
    stub_status: directives("stub_status") variables(VARIABLES) settings(Settings) content(serve);
    request_facts: variables(VARIABLES);
    proxy_protocol: variables(VARIABLES) family(BALANCER_VALUE);
}

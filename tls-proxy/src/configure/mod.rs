//! From directives to a [`Config`]: walks the tree and checks what no directive can check by
//! itself.

mod problems;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::problems::in_order;
use crate::conf::{Loaded, Problem, Severity};
use crate::config::draft::{ConfigDraft, FinishedServer, Paths};
use crate::config::listen::{Endpoint, Listen};
use crate::config::names::{ServerName, ServerNames};
use crate::config::spec::{BlockDraft, Contexts};
use crate::config::walk::walk_block;
use crate::config::zone::UpstreamZone;
use crate::config::{Config, ListenAddress, Server, ServerId};
use crate::log::error_logs::ErrorLogs;
use crate::log::files::{LogFile, LogFileId};
use crate::modules::limit_zone::Zones;
use crate::modules::{self, proxy, ssl};
use crate::tls::server_config::{TlsContext, TlsServer};

/// The result of building a configuration.
pub(crate) struct Built {
    /// `None` if it is rejected.
    pub(crate) config: Option<Config>,
    /// All problems, warnings too.
    pub(crate) problems: Vec<Problem>,
    /// Lines that have another effect than in nginx.
    pub(crate) notices: Vec<Problem>,
    /// `pid`, as far as it could be read.
    pub(crate) pid: PathBuf,
}

/// Builds the configuration from the parsed files, or collects all problems.
pub(crate) fn build(loaded: Loaded, paths: Paths) -> Built {
    let mut draft = ConfigDraft::new(
        modules::DIRECTIVES,
        modules::VARIABLES.registry(),
        paths,
        loaded.problems,
    );
    draft.log_files = vec![LogFile::Stdout, LogFile::Stderr];
    if let Some(path) = draft.paths.error_log.as_deref().and_then(Path::to_str)
        && path != "stderr"
    {
        let file = LogFile::named(&draft.paths.in_prefix(path));
        draft.main.error_log = ErrorLogs::to(LogFileId(draft.log_files.len()));
        draft.log_files.push(file);
    }
    let settings = &mut modules::unwritten();
    walk_block(
        &loaded.tree,
        Contexts::MAIN,
        settings,
        &mut draft,
        &mut BlockDraft::default(),
    );
    in_order(&loaded.tree, &mut draft.problems);
    let has_events = loaded.tree.iter().any(|it| it.name.text == "events");
    if !has_events && !is_refused(&draft.problems) {
        let message = "no \"events\" section in configuration";
        let problem = Problem::emerg_nowhere(message).with_help("write `events {}`");
        draft.problems.push(problem);
    }
    draft.problems.extend(draft.variables.unknown());
    let zones = draft.parts.get_mut::<Zones>();
    draft.problems.extend(zones.undefined());
    draft
        .problems
        .extend(UpstreamZone::check(&draft.upstream_zones));
    let sources = loaded
        .files
        .iter()
        .filter_map(|file| file.read().map(Path::to_owned));
    let config = finish(&mut draft, sources.collect());
    let refused = is_refused(&draft.problems);
    Built {
        pid: draft.main.pid,
        problems: draft.problems,
        notices: once_each(draft.notices),
        config: config.filter(|_| !refused),
    }
}

/// The first of each message, with how many more lines say the same.
fn once_each(notices: Vec<Problem>) -> Vec<Problem> {
    let mut first: Vec<(Problem, usize)> = Vec::new();
    for notice in notices {
        match first
            .iter_mut()
            .find(|(own, _)| own.message == notice.message)
        {
            Some((_, more)) => *more += 1,
            None => first.push((notice, 0)),
        }
    }
    let said = first.into_iter().map(|(mut notice, more)| {
        match more {
            0 => {}
            1 => notice.message.push_str(" (and one more line)"),
            _ => notice
                .message
                .push_str(&format!(" (and {more} more lines)")),
        }
        notice
    });
    said.collect()
}

fn is_refused(problems: &[Problem]) -> bool {
    problems
        .iter()
        .any(|problem| problem.severity == Severity::Emerg)
}

fn finish(draft: &mut ConfigDraft, mut sources: Vec<PathBuf>) -> Option<Config> {
    let form = draft.paths.form;
    let mut context = TlsContext::new(
        draft.http_end.as_ref().map(|at| at.line),
        std::mem::take(&mut draft.tls_contents),
        &mut draft.problems,
    )?;
    let mut finished = std::mem::take(&mut draft.servers);
    for server in &mut finished {
        add_default_listen(server);
    }
    let mut listens = group_addresses(&finished, draft);
    for address in &mut listens {
        let limits = |id: ServerId| draft.locations[finished[id.0].root.0].settings.core.head;
        let first = limits(address.default);
        let mut others = address.names.servers().map(limits);
        address.limits_differ = others.any(|other| other != first);
    }
    let roots: Vec<_> = finished.iter().map(|server| server.root).collect();
    let mut servers = Vec::new();
    for server in finished {
        let ssl = draft.locations[server.root.0]
            .settings
            .of::<ssl::Settings>();
        let wanted = listens.iter().find(|address| {
            let own = |listen: &Listen| listen.address == address.listen.address;
            address.listen.ssl && server.draft.listens.iter().any(own)
        });
        let default = wanted.map_or(server.root, |address| roots[address.default.0]);
        let curves = draft.locations[default.0]
            .settings
            .of::<ssl::Settings>()
            .curves
            .as_deref();
        // nginx reads certificates even if no `listen` has TLS.
        let tls = if wanted.is_some() || !ssl.certificates.is_empty() {
            TlsServer::load(ssl, curves, &server.at, &mut context, &mut draft.problems)
        } else {
            None
        };
        sources.extend(ssl.files().map(|file| file.path.clone()));
        let name = server
            .draft
            .names
            .first()
            .map(ServerName::text)
            .unwrap_or_default();
        servers.push(Server {
            name,
            root: server.root,
            tree: server.tree,
            tls: tls.map(Arc::new),
        });
    }
    sources.append(&mut draft.tls_files);
    check_certificates(&listens, &servers, &mut draft.problems);
    let mut locations = draft.locations.iter();
    let ignores_client_abort = locations.any(|location| {
        location
            .settings
            .of::<proxy::Settings>()
            .ignore_client_abort
    });
    Some(Config {
        main: draft.main.clone(),
        listens,
        servers,
        locations: std::mem::take(&mut draft.locations),
        upstreams: [&draft.upstreams[..], &draft.groups].concat(),
        variables: std::mem::take(&mut draft.variables),
        ignores_client_abort,
        form,
        parts: std::mem::take(&mut draft.parts),
        log_files: draft.log_files.clone(),
        hostname: draft.paths.hostname.clone(),
        html: draft.paths.in_prefix("html"),
        prefix: draft.paths.prefix.clone(),
        conf: draft.paths.conf.clone(),
        sources,
        tls_contents: context.digest(),
    })
}

/// A server without `listen` listens on port 80.
fn add_default_listen(server: &mut FinishedServer) {
    if server.draft.listens.is_empty() {
        let address = Endpoint::Tcp(std::net::SocketAddr::from(([0, 0, 0, 0], 80)));
        let listen = Listen::new(address, server.at.clone());
        server.draft.listens.push(listen);
    }
    if server.draft.ssl_on {
        for listen in &mut server.draft.listens {
            listen.ssl = true;
        }
    }
}

/// Every address once, with the servers that listen on it.
fn group_addresses(servers: &[FinishedServer], draft: &mut ConfigDraft) -> Vec<ListenAddress> {
    let problems = &mut draft.problems;
    let mut addresses: Vec<ListenAddress> = Vec::new();
    let mut members: Vec<Vec<(ServerId, &FinishedServer)>> = Vec::new();
    let mut index = HashMap::new();
    for (id, server) in servers.iter().enumerate() {
        for listen in &server.draft.listens {
            let at = *index.entry(listen.address.clone()).or_insert_with(|| {
                let first = Listen {
                    default_server: false,
                    makes_socket: false,
                    ..listen.clone()
                };
                addresses.push(ListenAddress {
                    listen: first,
                    default: ServerId(id),
                    names: ServerNames::default(),
                    limits_differ: false,
                    wildcard: None,
                });
                members.push(Vec::new());
                addresses.len() - 1
            });
            join(&mut addresses[at], listen, ServerId(id), problems);
            members[at].push((ServerId(id), server));
        }
    }
    for (address, members) in addresses.iter_mut().zip(members) {
        name_servers(address, &members, problems);
        let wildcard = address.listen.address.wildcard();
        address.wildcard = wildcard.and_then(|wildcard| index.get(&wildcard).copied());
    }
    for listen in servers.iter().flat_map(|server| &server.draft.listens) {
        let wildcard = listen.address.wildcard();
        let wildcard = wildcard.filter(|wildcard| index.contains_key(wildcard));
        if let Some(wildcard) = wildcard.filter(|_| listen.makes_socket) {
            draft.notices.push(shared_socket(listen, &wildcard));
        }
    }
    addresses
}

/// A line whose socket options have no effect.
fn shared_socket(listen: &Listen, wildcard: &Endpoint) -> Problem {
    let message = format!(
        "\"listen\" differs from nginx: {} shares the socket of {wildcard}, and its options; \
         see docs/differences.md#options-of-addresses-that-share-a-socket",
        listen.address
    );
    Problem::notice(&listen.at, message)
}

/// Finds the servers of one address by name. nginx does not check the names of a server that is
/// alone on its address.
fn name_servers(
    address: &mut ListenAddress,
    members: &[(ServerId, &FinishedServer)],
    problems: &mut Vec<Problem>,
) {
    let alone = members.len() < 2;
    let place = address.listen.address.clone();
    // A server without `server_name` matches requests without a host.
    let nameless = [ServerName::Exact(String::new())];
    for (id, server) in members {
        let names = match &server.draft.names[..] {
            [] => &nameless[..],
            names => names,
        };
        for name in names {
            let new = address.names.add(name, *id);
            if let ServerName::Nobody(name) = name
                && !alone
            {
                let message = format!("invalid server name or wildcard \"{name}\" on {place}");
                problems.push(Problem::emerg(&server.at, message));
            }
            if !new && !alone {
                let name = name.text();
                let message = format!("conflicting server name \"{name}\" on {place}, ignored");
                problems.push(Problem::warn(&server.at, message));
            }
        }
    }
}

/// Options of one `listen` hold for all servers of the address.
fn join(
    address: &mut ListenAddress,
    listen: &Listen,
    server: ServerId,
    problems: &mut Vec<Problem>,
) {
    let own = &mut address.listen;
    if own.makes_socket && listen.makes_socket {
        let message = format!("duplicate listen options for {}", listen.address);
        problems.push(Problem::emerg(&listen.at, message));
    }
    own.makes_socket |= listen.makes_socket;
    own.ssl |= listen.ssl;
    own.http2 |= listen.http2;
    own.proxy_protocol |= listen.proxy_protocol;
    own.backlog = own.backlog.or(listen.backlog);
    own.ipv6_only &= listen.ipv6_only;
    if listen.default_server {
        if own.default_server {
            let message = format!("a duplicate default server for {}", listen.address);
            problems.push(Problem::emerg(&listen.at, message));
        }
        own.default_server = true;
        address.default = server;
    }
}

/// Without a certificate of its default server an address cannot serve TLS to clients without SNI.
fn check_certificates(listens: &[ListenAddress], servers: &[Server], problems: &mut Vec<Problem>) {
    let failed = is_refused(problems);
    for address in listens
        .iter()
        .filter(|address| address.listen.ssl && !failed)
    {
        if servers[address.default.0].tls.is_none() {
            let message = "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive";
            problems.push(Problem::emerg(&address.listen.at, message).with_help(
                "add ssl_certificate and ssl_certificate_key to the server, or remove \"ssl\"",
            ));
        }
    }
}

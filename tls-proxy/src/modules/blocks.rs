//! Finishes the blocks `server`, `location`, `if` and `limit_except` when they have been read.

use std::sync::Arc;

use super::{proxy, proxy_ssl, referer};
use crate::conf::{Position, Problem};
use crate::config::draft::{ConfigDraft, FinishedServer, LocationDraft};
use crate::config::locations::LocationTree;
use crate::config::settings::Settings;
use crate::config::spec::BlockDraft;
use crate::config::{Location, LocationId};
use crate::tls::connector::Connector;

/// Adds a finished location to the draft.
pub(super) fn add_location(
    draft: &mut ConfigDraft,
    mut settings: Settings,
    inside: Vec<LocationDraft>,
) -> LocationId {
    connect_securely(draft, &mut settings);
    let end = draft.http_end.as_ref();
    let unfit = end.and_then(|end| settings.of::<proxy::buffers::Settings>().check(end));
    draft.problems.extend(unfit);
    draft
        .problems
        .extend(settings.of::<referer::Settings>().check());
    let tree = grow(draft, inside);
    settings.finish();
    draft.locations.push(Location { settings, tree });
    LocationId(draft.locations.len() - 1)
}

/// Prepares TLS to upstreams if `proxy_pass` needs it; locations with the same settings share it,
/// and with it connections and sessions.
fn connect_securely(draft: &mut ConfigDraft, settings: &mut Settings) {
    let Some(pass) = settings
        .of::<proxy::Settings>()
        .pass
        .as_ref()
        .filter(|pass| pass.may_be_tls())
    else {
        return;
    };
    let own = settings.of::<proxy_ssl::Settings>();
    let key = format!("{:?}", own.tls);
    if let Some(known) = draft.connectors.get(&key) {
        settings.of_mut::<proxy_ssl::Settings>().connector = Some(known.clone());
        return;
    }
    draft
        .tls_files
        .extend(own.tls.files().map(|file| file.path.clone()));
    let files = &mut draft.tls_contents;
    match Connector::load(&own.tls, &pass.at, files, &mut draft.problems) {
        Ok(connector) => {
            let connector = Arc::new(connector);
            draft.connectors.insert(key, connector.clone());
            settings.of_mut::<proxy_ssl::Settings>().connector = Some(connector);
        }
        Err(problem) => draft.problems.push(problem),
    }
}

/// Adds a finished server to the draft.
pub(super) fn add_server(
    draft: &mut ConfigDraft,
    place: BlockDraft,
    settings: Settings,
    at: &Position,
) {
    if settings.core.head.line < settings.core.connection_pool_size {
        let message = "the \"large_client_header_buffers\" size must be equal to or greater than \"connection_pool_size\"";
        // nginx reports it at the end of `http`.
        let end = draft.http_end.as_ref().map(|end| end.line);
        let problem = Problem::emerg(at, message).on_line(end);
        draft
            .problems
            .push(problem.with_help("512 is the least where connection_pool_size is not set"));
    }
    let tree = grow(draft, place.locations);
    let root = add_location(draft, settings, Vec::new());
    draft.servers.push(FinishedServer {
        draft: place.server,
        root,
        tree,
        at: at.clone(),
    });
}

fn grow(draft: &ConfigDraft, locations: Vec<LocationDraft>) -> LocationTree {
    let mut tree = LocationTree::default();
    for location in locations {
        let proxied = draft.locations[location.id.0]
            .settings
            .of::<proxy::Settings>()
            .pass
            .is_some();
        tree.add(&location.pattern, location.id, proxied);
    }
    tree
}

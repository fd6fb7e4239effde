//! Opens the blocks `server` and `location`, and finishes these, `if` and `limit_except` when they
//! have been read.

use std::sync::Arc;

use super::{proxy, proxy_ssl};
use crate::conf::{Directive, Position, Problem};
use crate::config::draft::{ConfigDraft, FinishedServer, LocationDraft, LocationPattern};
use crate::config::locations::LocationTree;
use crate::config::settings::{Inside, Settings};
use crate::config::spec::{BlockDraft, Contexts, Scope};
use crate::config::walk::walk_block;
use crate::config::{Location, LocationId};
use crate::tls::connector::Connector;

/// `server {}`.
pub(super) fn open_server(
    scope: &mut Scope<'_>,
    directive: &Directive,
    children: &[Directive],
) -> Result<(), Problem> {
    let mut settings = scope.settings.inside(Inside::Other);
    let mut place = BlockDraft::default();
    walk_block(
        children,
        Contexts::SERVER,
        &mut settings,
        scope.draft,
        &mut place,
    );
    add_server(scope.draft, place, settings, &directive.name.at);
    Ok(())
}

/// `location … {}`.
pub(super) fn open_location(
    scope: &mut Scope<'_>,
    directive: &Directive,
    children: &[Directive],
) -> Result<(), Problem> {
    let pattern = LocationPattern::parse(directive, &mut scope.draft.variables)?;
    if let Some(twin) = scope
        .place
        .locations
        .iter()
        .find(|other| other.pattern.equals(&pattern))
    {
        let message = format!("duplicate location \"{}\"", twin.pattern.text());
        return Err(Problem::emerg(&directive.name.at, message));
    }
    if let Some(around) = &scope.place.location {
        let misplaced = pattern.misplaced_in(around);
        misplaced.map_or(Ok(()), |why| Err(Problem::emerg(&directive.name.at, why)))?;
    }
    let named = matches!(pattern, LocationPattern::Named(_));
    let mut inside = children.iter();
    if let Some(alias) = inside.find(|child| named && child.name.text == "alias") {
        let message = "the \"alias\" directive cannot be used inside the named location";
        return Err(Problem::emerg(&alias.name.at, message));
    }
    let mut settings = scope.settings.inside(Inside::Location);
    settings.of_mut::<proxy::Settings>().location = pattern.prefix().map(Into::into);
    let mut place = BlockDraft {
        location: Some(pattern.clone()),
        ..BlockDraft::default()
    };
    walk_block(
        children,
        Contexts::LOCATION,
        &mut settings,
        scope.draft,
        &mut place,
    );
    let id = add_location(scope.draft, settings, place.locations);
    scope.place.locations.push(LocationDraft { pattern, id });
    Ok(())
}

/// Adds a finished location to the draft.
pub(super) fn add_location(
    draft: &mut ConfigDraft,
    mut settings: Settings,
    inside: Vec<LocationDraft>,
) -> LocationId {
    connect_securely(draft, &mut settings);
    draft
        .problems
        .extend(settings.check(draft.http_end.as_ref()));
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

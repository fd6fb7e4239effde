//! nginx's `ngx_http_limit_conn_module`: how many requests of a key may be
//! under way at once.
//!
//! A zone is one table for all workers behind a lock; only requests under a
//! `limit_conn` take it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::limit_zone::{self, Answers, zone_size};
use super::{Contexts, Scope, Spec, arguments};
use crate::conf::{Directive, Problem};
use crate::error_log;
use crate::server::request::Request;
use crate::server::response::Refusal;
use crate::vars::template::Template;
use crate::vars::{Evaluate, write};

/// What a key costs in a zone, bytes.
const ENTRY: usize = 64;

/// One `limit_conn_zone`.
#[derive(Debug)]
pub(crate) struct Zone {
    name: Box<str>,
    key: Template,
    most: usize,
    table: Mutex<HashMap<Bytes, usize>>,
}

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    limits: Arc<[(Arc<Zone>, usize)]>,
    answers: Answers,
}

/// A request that is counted; dropping it ends that.
pub(crate) struct Guard {
    zone: Arc<Zone>,
    key: Bytes,
}

const ALL: Contexts = Contexts::ALL;

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("limit_conn_zone", Contexts::HTTP, (2, 2), add_zone)
        .about("A table of keys and their requests under way: `KEY zone=NAME:SIZE`.")
        .repeats(),
    Spec::set("limit_conn", ALL, (2, 2), add_limit)
        .about("Most requests of one key at once, by a zone.")
        .repeats(),
    Spec::set("limit_conn_status", ALL, (1, 1), |scope, directive| {
        scope.settings.limit_conn.answers.status = limit_zone::status(directive)?;
        Ok(())
    })
    .default("503")
    .about("The answer to requests beyond the limit."),
    Spec::set("limit_conn_log_level", ALL, (1, 1), |scope, directive| {
        scope.settings.limit_conn.answers.level = limit_zone::level(directive)?;
        Ok(())
    })
    .default("error")
    .about("The severity of rejections."),
    Spec::set("limit_conn_dry_run", ALL, (1, 1), |scope, directive| {
        scope.settings.limit_conn.answers.dry_run = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about("Only counts and logs."),
];

fn add_zone(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let key = Template::compile(&directive.args[0], &mut scope.draft.variables)?;
    let word = &directive.args[1];
    let Some(value) = word.text.strip_prefix("zone=") else {
        return Err(arguments::invalid_parameter(word));
    };
    let (name, size) = zone_size(word, value)?;
    let zones = &mut scope.draft.conn_zones;
    if zones.iter().any(|zone| *zone.name == *name) {
        let message = format!("limit_conn_zone \"{name}\" is already bound to key");
        return Err(Problem::emerg(&word.at, message));
    }
    zones.push(Arc::new(Zone {
        name: name.into(),
        key,
        most: (size / ENTRY).max(1),
        table: Mutex::default(),
    }));
    Ok(())
}

fn add_limit(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let [name, count] = &directive.args[..] else {
        return Ok(());
    };
    let found = scope
        .draft
        .conn_zones
        .iter()
        .find(|zone| *zone.name == *name.text);
    let zone = found.cloned().ok_or_else(|| {
        let message = format!("zero size shared memory zone \"{}\"", name.text);
        Problem::emerg(&directive.name.at, message)
            .with_help("define it before with limit_conn_zone")
    })?;
    let most = count
        .text
        .parse()
        .ok()
        .filter(|most| (1..=65535).contains(most));
    let invalid = || {
        Problem::emerg(
            &count.at,
            format!("invalid number of connections \"{}\"", count.text),
        )
    };
    let most: usize = most.ok_or_else(invalid)?;
    let own = &mut scope.settings.limit_conn.limits;
    let inherited = if scope.first_here { &[] } else { &own[..] };
    if inherited.iter().any(|(other, _)| Arc::ptr_eq(other, &zone)) {
        return Err(Problem::emerg(
            &directive.name.at,
            "\"limit_conn\" directive is duplicate",
        ));
    }
    *own = inherited.iter().cloned().chain([(zone, most)]).collect();
    Ok(())
}

impl Zone {
    fn table(&self) -> MutexGuard<'_, HashMap<Bytes, usize>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request in, where there is room for it.
    fn enter(self: &Arc<Self>, key: &Bytes, limit: usize) -> Option<Guard> {
        let mut table = self.table();
        let full = table.len() >= self.most;
        match table.get_mut(key) {
            Some(count) if *count >= limit => return None,
            Some(count) => *count += 1,
            None if full => return None,
            None => drop(table.insert(Bytes::copy_from_slice(key), 1)),
        }
        Some(Guard {
            zone: self.clone(),
            key: key.clone(),
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut table = self.zone.table();
        match table.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(table.remove(&self.key)),
        }
    }
}

/// Lets the request in or not.
pub(crate) fn check(request: &mut Request) -> Result<(), Refusal> {
    let config = request.config.clone();
    let settings = &config.location(request.location).settings.limit_conn;
    if settings.limits.is_empty() || request.limit_conn_status.is_some() {
        return Ok(());
    }
    for (zone, most) in settings.limits.iter() {
        let key = zone.key.evaluate(request);
        if key.is_empty() {
            continue;
        }
        match zone.enter(&key, *most) {
            Some(guard) => {
                request.limit_conn_status = Some("PASSED");
                request.guards.push(guard);
            }
            None => {
                request.guards.clear();
                let dry = settings.answers.dry_run;
                let note = if dry { ", dry run," } else { "" };
                let what = format!("limiting connections{note} by zone \"{}\"", zone.name);
                error_log::request(request, settings.answers.level, what);
                let status = if dry { "REJECTED_DRY_RUN" } else { "REJECTED" };
                request.limit_conn_status = Some(status);
                return settings.answers.refuse();
            }
        }
    }
    Ok(())
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[("limit_conn_status", |request, out| {
    write(request.limit_conn_status.map(str::as_bytes), out)
})];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_makes_room() {
        let zone = Arc::new(Zone {
            name: "z".into(),
            key: Template::default(),
            most: 1,
            table: Mutex::default(),
        });
        let (one, other) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
        let first = zone.enter(&one, 2);
        let second = zone.enter(&one, 2);
        assert!(first.is_some() && second.is_some());
        assert!(zone.enter(&one, 2).is_none());
        assert!(zone.enter(&other, 2).is_none(), "the zone is full");
        drop(first);
        assert!(zone.enter(&one, 2).is_some());
        drop(second);
        assert!(zone.table().is_empty());
    }
}

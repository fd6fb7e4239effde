//! nginx's `ngx_http_limit_conn_module`: limits the concurrent requests of a key.
//!
//! A zone is one table for all workers behind a lock; only requests under a
//! `limit_conn` take it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::limit_rejection::{self, Rejection};
use super::limit_zone::{LimitZone, ZoneDefinition, Zones, zone_size};
use crate::admission::table_size::TableSize;
use crate::conf::{Directive, Problem, units};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Scope, Spec};
use crate::directive::arguments;
use crate::log::level::{Level, shown};
use crate::modules::variables::{Evaluate, write};
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::Refusal;
use crate::variables::template::Template;

/// What an entry costs besides its key, bytes.
const ENTRY: usize = 64;

/// Requests with a longer key are not limited, as in nginx, bytes.
const LONGEST_KEY: usize = 255;

/// The requests in flight by key.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    by_key: HashMap<Bytes, usize>,
    /// Bytes.
    used: usize,
}

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    limits: Arc<[(Arc<LimitZone<Counts>>, usize)]>,
    rejection: Rejection,
}

/// A counted request; dropping it counts it out.
struct Guard {
    zone: Arc<LimitZone<Counts>>,
    key: Bytes,
    /// The guard of another zone.
    #[expect(dead_code, reason = "held for its drop")]
    others: Option<Box<dyn Any>>,
}

const ALL: Contexts = Contexts::ALL;

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        !self.limits.is_empty()
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("limit_conn_zone", Contexts::HTTP, (2, 2), add_zone)
        .about("A table of keys and their requests in flight: `KEY zone=NAME:SIZE`.")
        .repeats(),
    Spec::set("limit_conn", ALL, (2, 2), add_limit)
        .about("Most requests of one key at once, by a zone.")
        .repeats(),
    Spec::set("limit_conn_status", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().rejection.status = limit_rejection::status(directive)?;
        Ok(())
    })
    .default("503")
    .about("The status of rejected requests."),
    Spec::set("limit_conn_log_level", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().rejection.level = limit_rejection::level(directive)?;
        Ok(())
    })
    .default("error")
    .about("The severity of rejections."),
    Spec::set("limit_conn_dry_run", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().rejection.dry_run = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about("Only counts and logs; rejects nothing."),
];

fn add_zone(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let key = Template::compile(&directive.args[0], &mut scope.draft.variables)?;
    let word = &directive.args[1];
    let Some(value) = word.text.strip_prefix("zone=") else {
        return Err(arguments::unknown_parameter(word, &["zone="]));
    };
    let (name, size) = zone_size(word, value)?;
    let definition = ZoneDefinition {
        key,
        text: directive.args[0].text.as_str().into(),
        // It has no more keys than there are requests, which are counted, and keys are short.
        size: Arc::new(TableSize::new(size)),
        rate: 0,
    };
    let zone = scope
        .draft
        .parts
        .get_mut::<Zones>()
        .connections(&name, &word.at)?;
    zone.define("limit_conn_zone", word, definition)
}

fn add_limit(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let [name, count] = &directive.args[..] else {
        return Ok(());
    };
    let zone = scope
        .draft
        .parts
        .get_mut::<Zones>()
        .connections(&name.text, &name.at)?;
    let most = units::parse_integer(&count.text).filter(|most| (1..=65535).contains(most));
    let invalid = || {
        Problem::emerg(
            &count.at,
            format!("invalid number of connections \"{}\"", count.text),
        )
    };
    let most: usize = most.ok_or_else(invalid)?;
    let own = &mut scope.settings.of_mut::<Settings>().limits;
    let inherited = if scope.first_here { &[] } else { &own[..] };
    if inherited.iter().any(|(other, _)| Arc::ptr_eq(other, &zone)) {
        return Err(arguments::duplicate(directive));
    }
    *own = inherited.iter().cloned().chain([(zone, most)]).collect();
    Ok(())
}

impl Counts {
    /// Counts a request unless the limit is reached or the zone, of `size` bytes, is full.
    fn enter(&mut self, key: &Bytes, limit: usize, size: usize) -> bool {
        let cost = ENTRY + key.len();
        match self.by_key.get_mut(key) {
            Some(count) if *count >= limit => return false,
            Some(count) => *count += 1,
            None if self.used + cost > size => return false,
            None => {
                self.used += cost;
                self.by_key.insert(Bytes::copy_from_slice(key), 1);
            }
        }
        true
    }

    fn leave(&mut self, key: &Bytes) {
        match self.by_key.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.by_key.remove(key);
                self.used = self.used.saturating_sub(ENTRY + key.len());
            }
            None => {}
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.zone.table().leave(&self.key);
    }
}

/// Counts the request in every zone, or rejects it.
pub(crate) fn check(request: &mut Request) -> Result<(), Refusal> {
    if !request.settings().uses::<Settings>() {
        return Ok(());
    }
    let config = request.config.clone();
    let settings = config.location(request.location).settings.of::<Settings>();
    if request.limit_conn_status.is_some() {
        return Ok(());
    }
    for (zone, most) in settings.limits.iter() {
        let Some(definition) = zone.definition() else {
            continue;
        };
        let key = definition.key.evaluate_kept(request)?;
        if key.is_empty() {
            continue;
        }
        if key.len() > LONGEST_KEY {
            let (text, key) = (&definition.text, shown(&key));
            let what = format!("the value of the \"{text}\" key is more than 255 bytes: \"{key}\"");
            error_log::request(request, Level::Error, what);
            continue;
        }
        let entered = zone.table().enter(&key, *most, definition.size.allowed());
        match entered {
            true => {
                request.limit_conn_status = Some("PASSED");
                let zone = zone.clone();
                let others = request.counted.take();
                request.counted = Some(Box::new(Guard { zone, key, others }));
            }
            false => {
                request.counted = None;
                let dry = settings.rejection.dry_run;
                let note = if dry { ", dry run," } else { "" };
                let what = format!("limiting connections{note} by zone \"{}\"", zone.name);
                error_log::request(request, settings.rejection.level, what);
                return settings.rejection.refuse(&mut request.limit_conn_status);
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
        let (one, other) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
        let (mut counts, size) = (Counts::default(), ENTRY + 1);
        assert!(counts.enter(&one, 2, size) && counts.enter(&one, 2, size));
        assert!(!counts.enter(&one, 2, size));
        assert!(!counts.enter(&other, 2, size), "the zone is full");
        counts.leave(&one);
        assert!(counts.enter(&one, 2, size));
        counts.leave(&one);
        counts.leave(&one);
        assert!(counts.by_key.is_empty() && counts.enter(&other, 1, size));
    }
}

//! The zones of `limit_req` and `limit_conn`: tables of keys that all workers
//! share, found by name.
//!
//! A zone may be used before the line that defines it, and keeps its table over
//! a reload where name, size and key stay the same, both as in nginx.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::leaky_bucket::Buckets;
use super::limit_conn::Counts;
use crate::admission::table_size::TableSize;
use crate::conf::{Position, Problem, Word, units};
use crate::config::Config;
use crate::variables::template::Template;

/// Smallest zone, bytes (nginx: eight pages).
const SMALLEST: u64 = 8 * 4096;

/// A zone and its table.
#[derive(Debug)]
pub(crate) struct LimitZone<T> {
    pub(crate) name: Box<str>,
    first_use: Position,
    definition: OnceLock<ZoneDefinition>,
    /// Shared with the zone that it replaces after a reload.
    table: OnceLock<Arc<Mutex<T>>>,
}

/// The line that defines a zone.
#[derive(Debug)]
pub(crate) struct ZoneDefinition {
    pub(crate) key: Template,
    /// The key as it is written.
    pub(crate) text: Box<str>,
    pub(crate) size: Arc<TableSize>,
    /// Thousandths of a request per second; 0 for `limit_conn_zone`.
    pub(crate) rate: u64,
}

/// Every zone of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    requests: Vec<Arc<LimitZone<Buckets>>>,
    connections: Vec<Arc<LimitZone<Counts>>>,
}

impl<T: Default> LimitZone<T> {
    /// Its definition; `None` only while the configuration is read.
    pub(crate) fn definition(&self) -> Option<&ZoneDefinition> {
        self.definition.get()
    }

    /// Its table, for as long as the guard is held.
    pub(crate) fn table(&self) -> MutexGuard<'_, T> {
        let table = self.table.get_or_init(Arc::default);
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets its definition, from the line of `directive`.
    pub(crate) fn define(
        &self,
        directive: &str,
        word: &Word,
        definition: ZoneDefinition,
    ) -> Result<(), Problem> {
        self.definition.set(definition).map_err(|_| {
            let bound = self.definition().map_or("", |own| &own.text);
            let message = format!(
                "{directive} \"{}\" is already bound to key \"{bound}\"",
                self.name
            );
            Problem::emerg(&word.at, message)
        })
    }

    /// Takes over the table of `old` if it is the same zone.
    fn adopt(&self, what: &str, old: &Self) -> Result<(), String> {
        let (Some(own), Some(before)) = (self.definition(), old.definition()) else {
            return Ok(());
        };
        if own.size.configured != before.size.configured {
            return Ok(());
        }
        if own.text != before.text {
            return Err(format!(
                "{what} \"{}\" uses the \"{}\" key while previously it used the \"{}\" key",
                self.name, own.text, before.text
            ));
        }
        let table = old.table.get_or_init(Arc::default).clone();
        // The table is unset: this configuration does not serve yet.
        let _ = self.table.set(table);
        Ok(())
    }
}

impl Zones {
    /// The `limit_req` zone called `name`, used at `at`.
    pub(crate) fn requests(
        &mut self,
        name: &str,
        at: &Position,
    ) -> Result<Arc<LimitZone<Buckets>>, Problem> {
        find(&mut self.requests, &self.connections, name, at)
    }

    /// The `limit_conn` zone called `name`, used at `at`.
    pub(crate) fn connections(
        &mut self,
        name: &str,
        at: &Position,
    ) -> Result<Arc<LimitZone<Counts>>, Problem> {
        find(&mut self.connections, &self.requests, name, at)
    }

    /// Zones that are used and that no line defines.
    pub(crate) fn undefined(&self) -> impl Iterator<Item = Problem> {
        undefined(&self.requests, "limit_req_zone")
            .chain(undefined(&self.connections, "limit_conn_zone"))
    }

    /// Takes over the tables of the previous configuration.
    ///
    /// # Errors
    /// A zone has another key than before; nginx rejects such a reload, too.
    fn adopt(&self, old: &Self) -> Result<(), String> {
        adopt("limit_req", &self.requests, &old.requests)?;
        adopt("limit_conn", &self.connections, &old.connections)
    }
}

/// Takes over the tables of the previous configuration.
///
/// # Errors
/// As [`Zones::adopt`].
pub(crate) fn keep_tables(config: &Config, before: &Config) -> Result<(), String> {
    match (config.parts.get::<Zones>(), before.parts.get::<Zones>()) {
        (Some(zones), Some(old)) => zones.adopt(old),
        _ => Ok(()),
    }
}

fn find<T: Default, U>(
    own: &mut Vec<Arc<LimitZone<T>>>,
    others: &[Arc<LimitZone<U>>],
    name: &str,
    at: &Position,
) -> Result<Arc<LimitZone<T>>, Problem> {
    if others.iter().any(|other| *other.name == *name) {
        let message =
            format!("the shared memory zone \"{name}\" is already declared for a different use");
        return Err(Problem::emerg(at, message));
    }
    if let Some(known) = own.iter().find(|known| *known.name == *name) {
        return Ok(known.clone());
    }
    let zone = Arc::new(LimitZone {
        name: name.into(),
        first_use: at.clone(),
        definition: OnceLock::new(),
        table: OnceLock::new(),
    });
    own.push(zone.clone());
    Ok(zone)
}

fn undefined<T: Default>(
    zones: &[Arc<LimitZone<T>>],
    directive: &str,
) -> impl Iterator<Item = Problem> {
    let missing = zones.iter().filter(|zone| zone.definition().is_none());
    missing.map(move |zone| {
        let message = format!("zero size shared memory zone \"{}\"", zone.name);
        Problem::emerg(&zone.first_use, message).with_help(format!("define it with {directive}"))
    })
}

fn adopt<T: Default>(
    what: &str,
    zones: &[Arc<LimitZone<T>>],
    old: &[Arc<LimitZone<T>>],
) -> Result<(), String> {
    for zone in zones {
        if let Some(before) = old.iter().find(|before| before.name == zone.name) {
            zone.adopt(what, before)?;
        }
    }
    Ok(())
}

/// `NAME:SIZE` of a `zone=` parameter.
pub(crate) fn zone_size(word: &Word, value: &str) -> Result<(String, u64), Problem> {
    let invalid = || Problem::emerg(&word.at, format!("invalid zone size \"{}\"", word.text));
    let (name, size) = value.split_once(':').ok_or_else(invalid)?;
    if name.is_empty() {
        let message = format!("invalid zone name \"{}\"", word.text);
        return Err(Problem::emerg(&word.at, message));
    }
    let size = units::parse_size(size).ok_or_else(invalid)?;
    if size < SMALLEST {
        let message = format!("zone \"{}\" is too small", word.text);
        return Err(Problem::emerg(&word.at, message));
    }
    Ok((name.to_owned(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(key: &str, size: u64) -> Zones {
        let at = crate::conf::Position::in_a_test();
        let mut zones = Zones::default();
        let zone = zones.connections("z", &at).expect("free");
        let word = Word {
            text: String::new(),
            quoted: false,
            at,
        };
        let definition = ZoneDefinition {
            key: Template::default(),
            text: key.into(),
            size: Arc::new(TableSize::new(size)),
            rate: 0,
        };
        zone.define("limit_conn_zone", &word, definition)
            .expect("first");
        zones
    }

    #[test]
    fn a_zone_that_stays_the_same_keeps_its_table() {
        let is_shared = |new: &Zones, old: &Zones| {
            let table = |zones: &Zones| zones.connections[0].table.get().map(Arc::as_ptr);
            table(new).is_some() && table(new) == table(old)
        };
        let old = zones("$a", 1);
        let same = zones("$a", 1);
        assert_eq!(same.adopt(&old), Ok(()));
        assert!(is_shared(&same, &old));
        let larger = zones("$a", 2);
        assert_eq!(larger.adopt(&old), Ok(()));
        assert!(!is_shared(&larger, &old));
        assert!(zones("$b", 1).adopt(&old).is_err());
    }
}

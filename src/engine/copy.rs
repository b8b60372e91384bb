//! A copy of an engine for a debugging session: what happens in it stays in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Engine;
use crate::commands::CommandError;
use crate::commands::scripting::busy_error;
use crate::config::Config;
use crate::keyspace::txn::Journal;
use crate::keyspace::{Entry, Txn};

const TOO_LARGE: CommandError = CommandError::text(
    "OOM the data does not fit into 'maxmemory' twice, as SCRIPT DEBUG YES needs; SCRIPT DEBUG SYNC works on the data itself",
);

impl Engine {
    /// Another engine with the same settings and data, which writes nothing to disk. While it is made, nothing else is done:
    /// the time grows with the data.
    ///
    /// # Errors
    ///
    /// There is no memory for it, a script holds the data for long, or the system gives no thread.
    pub(super) fn copied(&self) -> Result<Self, CommandError> {
        let services = self.services();
        let limit = services.max_memory.load(Ordering::Relaxed);
        let used = services.stats.known_memory().unwrap_or(0) as u64;
        if limit > 0 && used.saturating_mul(2) > limit {
            return Err(TOO_LARGE);
        }
        let config = without_disk(services.config.read().clone());
        let copy = Self::new_on(config, Arc::clone(&self.0.storage))
            .map_err(|error| CommandError::from(format!("ERR {error}")))?;
        let all = self.0.keyspace.all_shards();
        let from = self.0.begin_unless_held(all, 0);
        let mut from = from.ok_or_else(|| busy_error(services))?;
        let mut to = copy.0.begin(all, 0, Journal::default());
        for db in 0..self.0.keyspace.databases() {
            from.select(db);
            to.select(db);
            copy_entries(&from, &mut to);
        }
        copy.0.finish(&mut to, 0);
        drop(copy.0.close(to));
        drop(self.0.close(from));
        Ok(copy)
    }
}

fn copy_entries(from: &Txn<'_>, to: &mut Txn<'_>) {
    for entry in from.stored_entries() {
        let copied = Entry::new(entry.key(), entry.clone_value(), entry.expires_at_ms());
        to.insert_loaded(entry.key(), copied, Some(entry.access()));
    }
}

/// The same settings for an engine that has neither a log nor save points.
fn without_disk(mut config: Config) -> Config {
    for (name, value) in [("appendonly", "no"), ("save", "")] {
        let assigned = config.assign(name.as_bytes(), value.as_bytes());
        debug_assert!(assigned.is_ok(), "these are values of these parameters");
    }
    config
}

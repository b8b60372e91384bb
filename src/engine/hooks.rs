//! What CONFIG SET asks of the engine: the parameters of the log.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;
use super::recovery::policy_named;
use crate::config::Config;
use crate::error::UNKNOWN_MEMORY;
use crate::services::{Hooks, LogProgress, Rebind};

/// The engine as its services see it.
#[derive(Debug)]
pub(super) struct EngineHooks(pub(super) Weak<Inner>);

impl EngineHooks {
    fn engine(&self) -> Result<Arc<Inner>, String> {
        self.0
            .upgrade()
            .ok_or_else(|| "the engine is stopping".to_owned())
    }

    /// Where nobody listens there is nothing to change.
    fn with_listeners(
        &self,
        change: impl FnOnce(&dyn Rebind) -> Result<(), String>,
    ) -> Result<(), String> {
        let engine = self.engine()?;
        let listeners = engine.services.rebind.read();
        listeners.as_deref().map_or(Ok(()), change)
    }
}

impl Hooks for EngineHooks {
    fn set_fsync_policy(&self, policy: &str) -> Result<(), String> {
        let engine = self.engine()?;
        let log = engine.propagation.log();
        engine
            .propagation
            .set_policy(policy_named(policy), log.as_deref());
        Ok(())
    }

    fn set_append_only(
        &self,
        txn: &mut crate::keyspace::Txn<'_>,
        on: bool,
        nested: bool,
    ) -> Result<(), String> {
        let engine = self.engine()?;
        if on && nested && engine.propagation.log().is_none() {
            engine.schedule_rewrite();
            return Ok(());
        }
        if on && engine.propagation.log().is_none() {
            txn.lock_all();
            engine.begin_log(txn).map_err(|error| error.to_string())?;
            txn.set_propagating(true);
        } else if !on {
            txn.lock_all();
            engine.end_log(txn).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn delay_log_writes(&self, us: u64) {
        let engine = self.engine().ok();
        if let Some(log) = engine.and_then(|engine| engine.propagation.log()) {
            log.set_write_delay(Duration::from_micros(us));
        }
    }

    fn admit_memory_limit(&self) -> Result<(), String> {
        let engine = self.engine()?;
        let known = engine.services.stats.knows_memory();
        known.then_some(()).ok_or_else(|| UNKNOWN_MEMORY.to_owned())
    }

    fn admit_directory(&self, directory: &Path) -> Result<(), String> {
        let engine = self.engine()?;
        let storage = &engine.storage;
        let found = storage.exists(directory).and_then(|exists| {
            let missing = || Err(ErrorKind::NotFound.into());
            if exists {
                storage.list(directory)
            } else {
                missing()
            }
        });
        found.map(drop).map_err(|error| match error.kind() {
            ErrorKind::NotFound => "No such file or directory".to_owned(),
            ErrorKind::NotADirectory => "Not a directory".to_owned(),
            ErrorKind::PermissionDenied => "Permission denied".to_owned(),
            _ => error.to_string(),
        })
    }

    fn admit_write(&self, adds_data: bool) -> Result<(), String> {
        let admitted = self.engine()?.admit_write(adds_data);
        admitted.map_err(|error| error.to_string())
    }

    fn rebind(&self, config: &Config) -> Result<(), String> {
        self.with_listeners(|listeners| listeners.listen(config))
    }

    fn secure(&self, config: &Config) -> Result<(), String> {
        self.with_listeners(|listeners| listeners.secure(config))
    }

    fn log(&self, line: &str) {
        log::warn!("{line}");
    }

    fn changed(&self, name: &str) {
        let Ok(engine) = self.engine() else { return };
        if name.starts_with("auto-aof-rewrite") {
            engine.plan_rewrite();
        } else if matches!(name, "save" | "stop-writes-on-bgsave-error") {
            engine.judge_writes();
            engine.background.request_save_check();
        } else if name == "repl-backlog-size" {
            let size = engine.services.config.read().usize("repl-backlog-size");
            engine.services.replicas.set_backlog_size(size);
        } else if name.starts_with("aof-") {
            engine.set_up_log();
        } else if name == "disk-reserve" {
            engine.reserve.look_again();
        } else if name.starts_with("maxmemory") {
            engine.background.request_eviction();
        } else if matches!(name, "proc-title-template" | "bind" | "port" | "tls-port")
            && let Some(show) = engine.services.switches.show_title.get()
        {
            show(&engine.services.config.read());
        }
    }

    fn emptying(&self, txn: &mut crate::keyspace::Txn<'_>) {
        if let Ok(engine) = self.engine() {
            engine.abandon_save(txn);
        }
    }

    fn emptied(&self, txn: &mut crate::keyspace::Txn<'_>) -> bool {
        let Ok(engine) = self.engine() else {
            return false;
        };
        if engine.services.config.read().save_points().is_empty() {
            return false;
        }
        if engine.is_saving() {
            engine.schedule_save();
            return false;
        }
        engine.save_now(txn).is_ok()
    }

    fn log_progress(&self) -> Option<LogProgress> {
        let engine = self.engine().ok()?;
        let log = engine.propagation.log()?;
        let counts = !engine.propagation.is_replacing();
        Some(LogProgress {
            appended: log.position(),
            synced: if counts { log.synced() } else { 0 },
        })
    }

    fn refresh(&self) {
        let Ok(engine) = self.engine() else { return };
        let Some(log) = engine.propagation.log() else {
            return;
        };
        let (figures, shown) = (log.statistics(), &engine.services.stats.log);
        shown.size.store(figures.current_size, Ordering::Relaxed);
        shown.base_size.store(figures.base_size, Ordering::Relaxed);
        shown
            .buffered
            .store(figures.pending_bytes, Ordering::Relaxed);
        shown
            .pending_fsyncs
            .store(u64::from(figures.sync_in_flight), Ordering::Relaxed);
        shown
            .delayed_fsyncs
            .store(figures.delayed_syncs, Ordering::Relaxed);
        shown
            .write_failed
            .store(!figures.last_write_ok, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn a_directory_has_to_be_there() {
        let engine = Engine::in_memory();
        let hooks = EngineHooks(Arc::downgrade(&engine.0));
        let place = tempfile::tempdir().expect("the system gives a directory");
        assert_eq!(hooks.admit_directory(place.path()), Ok(()));
        let file = place.path().join("file");
        std::fs::write(&file, b"").expect("the directory takes a file");
        assert_eq!(
            hooks.admit_directory(&file),
            Err("Not a directory".to_owned())
        );
        assert_eq!(
            hooks.admit_directory(&place.path().join("none")),
            Err("No such file or directory".to_owned())
        );
    }
}

//! The log is switched on and off while the server runs. A log that is switched on counts only when its first base is
//! complete, which a thread writes while everything goes on; until then the disk holds what it held before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use innkeep_aof::{Log, RewriteSink};
use log::{info, warn};

use super::Inner;
use super::rewrite::Purpose;
use crate::error::Error;
use crate::keyspace::Txn;

impl Inner {
    /// CONFIG SET appendonly yes: a new log whose first base is what is in memory now. While a snapshot is written the log
    /// begins behind it. Every shard is locked.
    pub(super) fn begin_log(self: &Arc<Self>, txn: &mut Txn<'_>) -> Result<(), Error> {
        if self.is_saving() {
            info!(
                "AOF was enabled but there is already another background operation. An AOF background was scheduled to start when possible."
            );
            let scheduled = &self.services.stats.log.rewrite_scheduled;
            scheduled.store(true, Ordering::Release);
            return Ok(());
        }
        self.give_up_rewrite(txn);
        self.claim_log(Duration::ZERO)?;
        let (log, sink) = Log::begin(Arc::clone(&self.storage), self.log_options())?;
        self.start_log(log);
        txn.set_propagating(true);
        self.run_rewrite(txn, sink, Purpose::First);
        Ok(())
    }

    /// Somebody has removed the files that the log was written to: another one begins with what is in memory. Until it does,
    /// nothing is written; until it is complete, nothing is acknowledged that has to be on disk for that. Every shard is
    /// locked.
    pub(super) fn replace_lost_log(
        self: &Arc<Self>,
        lost: &Log,
        txn: &mut Txn<'_>,
    ) -> Result<(), Error> {
        warn!("The append only file was removed: it begins anew with what is in memory");
        self.propagation.note_position(lost);
        self.propagation.begin_replacing();
        self.give_claim_back();
        self.begin_log(txn)?;
        if let Err(error) = lost.close() {
            info!("The log that was removed is closed: {error}");
        }
        Ok(())
    }

    /// CONFIG SET appendonly no. A first base that is not complete is given up, and the log with it. Every shard is locked.
    pub(super) fn end_log(&self, txn: &mut Txn<'_>) -> Result<(), Error> {
        let log_stats = &self.services.stats.log;
        log_stats.rewrite_scheduled.store(false, Ordering::Release);
        self.give_up_rewrite(txn);
        let closed = match self.propagation.stop() {
            Some(log) => log.close().map_err(|error| Error::Log(error.into())),
            None => Ok(()),
        };
        self.give_claim_back();
        closed
    }

    /// The first base could not be written: what was logged meanwhile is worth nothing, and the log begins anew later.
    pub(super) fn give_up_first_base(&self) {
        if let Some(log) = self.propagation.give_up_first_base() {
            warn!("Removing the temp incr aof file: the log begins anew with the next rewrite");
            if let Err(error) = log.close() {
                warn!("The log that was given up could not be closed: {error}");
            }
        }
    }

    /// BGREWRITEAOF without a log: a base that holds what is in memory now, and nothing behind it. Every shard is locked.
    pub(super) fn begin_base_alone(self: &Arc<Self>, txn: &mut Txn<'_>) -> Result<(), Error> {
        let sink = RewriteSink::alone(Arc::clone(&self.storage), &self.log_options())?;
        self.run_rewrite(txn, sink, Purpose::Alone);
        Ok(())
    }
}

//! What handlers leave to the engine: rewriting the log, saving, loading again.

use std::sync::Arc;

use super::Inner;
use super::primary::Changed;
use crate::commands::{Command, CommandError, Outcome};
use crate::error::Error;
use crate::keyspace::Txn;
use crate::reply::Reply;

const SAVING: CommandError = CommandError::text("ERR Background save already in progress");

impl Inner {
    /// Does what a handler asked for and answers. `nested`: inside EXEC.
    pub(super) fn administer(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        command: &'static Command,
        request: &Outcome,
        nested: bool,
        reply: &mut dyn Reply,
    ) {
        let result = match request {
            Outcome::RewriteLog => self.answer_rewrite(txn, nested, reply),
            Outcome::LoadLog => {
                txn.lock_all();
                self.reload_log(txn).map(|()| reply.ok())
            }
            Outcome::ReplicaOf(address) => {
                match self.change_primary(txn, address.as_ref()) {
                    Ok(Changed::Done) => reply.ok(),
                    Ok(Changed::Already) => {
                        reply.simple("OK Already connected to specified master");
                    }
                    Err(error) => self.fail(command, &error, reply),
                }
                return;
            }
            Outcome::Migrate(migration) => {
                let result = self.migrate(txn, migration);
                return self.answer(command, result, |reply| reply.ok(), reply);
            }
            Outcome::Reload { save, flush, merge } => {
                txn.lock_all();
                let result = self.reload_snapshot(txn, *save, *flush, *merge);
                return self.answer(command, result, |reply| reply.ok(), reply);
            }
            Outcome::Save {
                background: false, ..
            } => {
                txn.lock_all();
                let result = self.answer_save(txn);
                return self.answer(command, result, |reply| reply.ok(), reply);
            }
            Outcome::Save { schedule, .. } => {
                txn.lock_all();
                let result = self.answer_background_save(txn, *schedule, nested);
                let started = |reply: &mut dyn Reply| reply.simple("Background saving started");
                match result {
                    Ok(true) => reply.simple("Background saving scheduled"),
                    result => self.answer(command, result, started, reply),
                }
                return;
            }
            _ => Ok(()),
        };
        if let Err(error) = result {
            self.fail(command, &CommandError::from(format!("ERR {error}")), reply);
        }
    }

    fn answer<T>(
        &self,
        command: &Command,
        result: Result<T, CommandError>,
        good: impl FnOnce(&mut dyn Reply),
        reply: &mut dyn Reply,
    ) {
        match result {
            Ok(_) => good(reply),
            Err(error) => self.fail(command, &error, reply),
        }
    }

    fn answer_save(&self, txn: &mut Txn<'_>) -> Result<(), CommandError> {
        if self.is_saving() {
            return Err(SAVING);
        }
        self.save_now(txn).map_err(|_| CommandError::text("ERR"))
    }

    /// True where the save is scheduled only.
    fn answer_background_save(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        schedule: bool,
        nested: bool,
    ) -> Result<bool, CommandError> {
        if self.is_saving() {
            return Err(SAVING);
        }
        if !self.is_rewriting() && !nested {
            self.begin_save(txn);
            return Ok(false);
        }
        if !schedule && !nested {
            return Err(CommandError::text(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.",
            ));
        }
        self.schedule_save();
        Ok(true)
    }

    fn answer_rewrite(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        nested: bool,
        reply: &mut dyn Reply,
    ) -> Result<(), Error> {
        if self.is_rewriting() {
            return Err(Error::RewriteInProgress);
        }
        if nested || self.is_saving() {
            self.forget_rewrite_failures();
            self.schedule_rewrite();
            reply.simple("Background append only file rewriting scheduled");
            return Ok(());
        }
        txn.lock_all();
        self.forget_rewrite_failures();
        if self.propagation.log().is_some() {
            self.begin_rewrite(txn)?;
        } else {
            self.begin_base_alone(txn)?;
        }
        reply.simple("Background append only file rewriting started");
        Ok(())
    }
}

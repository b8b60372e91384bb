//! What handlers leave to the engine: rewriting the log, loading it again.

use std::sync::Arc;

use super::Inner;
use crate::commands::{Command, CommandError, Outcome};
use crate::error::Error;
use crate::keyspace::Txn;
use crate::reply::Reply;

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
            Outcome::Reload {
                save: true,
                flush: true,
                merge: false,
            } => {
                txn.lock_all();
                self.reload_snapshot(txn).map(|()| reply.ok())
            }
            Outcome::Reload { .. } => Err(Error::Unavailable("DEBUG RELOAD with options")),
            Outcome::Save { .. } => Err(Error::Unavailable(
                "RDB snapshots (the append only file keeps the data)",
            )),
            _ => Ok(()),
        };
        if let Err(error) = result {
            self.fail(command, &CommandError::from(format!("ERR {error}")), reply);
        }
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
        if nested {
            self.schedule_rewrite();
            reply.simple("Background append only file rewriting scheduled");
            return Ok(());
        }
        txn.lock_all();
        if self.propagation.log().is_some() {
            self.begin_rewrite(txn)?;
        } else {
            self.write_log_once(txn)?;
        }
        reply.simple("Background append only file rewriting started");
        Ok(())
    }
}

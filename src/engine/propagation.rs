//! Effects to the log. The order in the log is the order of execution for commands that conflict, because effects are
//! appended while the shards are locked.

use parking_lot::Mutex;

use crate::commands::CommandError;
use crate::keyspace::txn::Effects;

/// The way of effects.
#[derive(Debug, Default)]
pub struct Propagation {
    /// The database that the log's reader would be in.
    selected: Mutex<Option<usize>>,
}

impl Propagation {
    /// Whether anybody wants effects.
    pub(crate) fn is_wanted(&self) -> bool {
        false
    }

    /// Appends effects as one unit and returns the position that covers them.
    pub(crate) fn append(&self, effects: &Effects) -> u64 {
        let mut selected = self.selected.lock();
        *selected = effects.commands.last().map(|(db, _)| *db);
        0
    }

    /// Whether what was appended up to here may be acknowledged.
    pub(crate) fn is_durable(&self, position: u64) -> bool {
        position == 0
    }

    /// Ready when [`Self::is_durable`] holds.
    pub(crate) fn poll_durable(
        &self,
        position: u64,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        if self.is_durable(position) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    }

    /// Whether the log can take another write.
    pub(crate) fn admit_write(&self) -> Result<(), CommandError> {
        Ok(())
    }
}

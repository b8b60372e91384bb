//! What the engine notes about commands: MONITOR's feed, call statistics, the slow log, latency.

use std::sync::atomic::Ordering;

use super::Inner;
use crate::commands::slowlog::without_secrets;
use crate::commands::{Command, Flags};
use crate::services::SessionState;

impl Inner {
    /// Shows a command to those who run MONITOR.
    pub(crate) fn feed_monitors(
        &self,
        state: &SessionState,
        command: &Command,
        args: &[&[u8]],
        now_ms: i64,
    ) {
        let hidden = Flags::SKIP_MONITOR.0 | Flags::ADMIN.0;
        let watched = self.services.clients.monitors.load(Ordering::Relaxed) > 0;
        if watched && command.spec.flags.0 & hidden == 0 {
            let shown = without_secrets(args);
            self.services.feed_monitors(state, &shown, now_ms, false);
        }
    }

    /// Adds calls of a command, of which there is at least one, and the time that they took together.
    pub(crate) fn count_calls(&self, command: usize, calls: u64, usec: u64) {
        let stats = &self.services.stats;
        stats.commands.fetch_add(calls, Ordering::Relaxed);
        let counters = &stats.by_command[command];
        counters.calls.fetch_add(calls, Ordering::Relaxed);
        counters.usec.fetch_add(usec, Ordering::Relaxed);
        if stats.latency_tracking.load(Ordering::Relaxed) {
            counters.record_durations(usec.saturating_mul(1000) / calls, calls);
        }
    }

    /// Remembers a call that took long.
    pub(crate) fn note_slow_call(
        &self,
        state: &SessionState,
        command: &'static Command,
        args: &[&[u8]],
        started_us: i64,
        usec: u64,
    ) {
        let services = &self.services;
        let now_ms = started_us / 1000;
        let fast = command.spec.flags.has(Flags::FAST);
        let event = if fast { "fast-command" } else { "command" };
        services.latency.record(event, usec / 1000, now_ms);
        if services.slow_log.wants(usec) && !command.spec.flags.has(Flags::SKIP_SLOWLOG) {
            let shown = without_secrets(args);
            services.slow_log.record(&state.info, &shown, usec, now_ms);
        }
    }
}

/// Whether MONITOR shows a command before it runs: commands that may wait come before what wakes them. All others come
/// when they are done, EXEC after what was queued.
pub(super) fn is_shown_first(command: &Command) -> bool {
    command.spec.flags.has(Flags::BLOCKING)
}

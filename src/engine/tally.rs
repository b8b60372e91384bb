//! How often commands ran and how long they took. The clock is looked at once for a run of commands that are surely
//! short, and their time is shared out among them; every other command is timed by itself.

use smallvec::SmallVec;

use super::Inner;
use crate::commands::Command;

/// A command with more words may take long, whatever its complexity is for each of them.
const MOST_WORDS: usize = 8;
/// The same for the length of its last word, which is its value.
const LONGEST_VALUE: usize = 16 * 1024;

/// What a session has run since the clock was last looked at.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The last look at the clock, in Unix microseconds; `None`: the next command has to look.
    clock_us: Option<i64>,
    /// Index of a command and how often it ran in a row.
    untimed: SmallVec<[(usize, u64); 4]>,
}

impl Tally {
    /// When a command that is about to run begins, in Unix microseconds. `together`: it is timed with its neighbours.
    #[inline]
    pub(super) fn begin(&mut self, inner: &Inner, together: bool) -> i64 {
        match self.clock_us {
            Some(at) if together || self.untimed.is_empty() => at,
            _ => self.look(inner),
        }
    }

    /// Counts a command that has run.
    #[inline]
    pub(super) fn count(&mut self, command: usize) {
        match self.untimed.last_mut() {
            Some((last, calls)) if *last == command => *calls += 1,
            _ => self.untimed.push((command, 1)),
        }
    }

    /// Counts time that the command which has just run is yet to take.
    pub(super) fn ahead(&mut self, usec: i64) {
        if let Some(clock_us) = &mut self.clock_us {
            *clock_us = clock_us.saturating_sub(usec);
        }
    }

    /// Looks at the clock and shares the time since the last look among what ran in between.
    pub(super) fn look(&mut self, inner: &Inner) -> i64 {
        let now_us = inner.keyspace.now_us();
        if let Some(before) = self.clock_us.replace(now_us) {
            self.share(inner, (now_us - before).max(0).unsigned_abs());
        }
        now_us
    }

    /// The time that passed until now was somebody else's: the next command looks anew.
    pub(super) fn rest(&mut self, inner: &Inner) {
        if !self.untimed.is_empty() {
            self.look(inner);
        }
        self.clock_us = None;
    }

    fn share(&mut self, inner: &Inner, usec: u64) {
        let all: u64 = self.untimed.iter().map(|(_, calls)| calls).sum();
        for (command, calls) in self.untimed.drain(..) {
            inner.count_calls(command, calls, usec * calls / all);
        }
    }
}

/// Whether a command is surely short: constant time for each of few words, none of them long. A slow log or latency
/// monitor that asks for short times gets every command timed by itself.
#[inline]
pub(super) fn is_short(inner: &Inner, command: &Command, args: &[&[u8]]) -> bool {
    command.is_constant
        && args.len() <= MOST_WORDS
        && args.last().is_some_and(|last| last.len() <= LONGEST_VALUE)
        && !inner.services.wants_exact_times()
}

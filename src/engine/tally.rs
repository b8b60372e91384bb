//! How often commands ran and how long they took. The clock is looked at once for a run of commands that are surely
//! short, and their time is shared out among them; every other command is timed by itself.
//!
//! Short commands that come one by one, but close together, are counted a few at a time, and one of them is timed for all:
//! to look at the clock twice and to count takes as long as the command. So the counters may be a few calls behind a
//! caller in this process while it is busy. Whoever calls at leisure is counted at once.

use smallvec::SmallVec;

use super::Inner;
use crate::commands::Command;

/// A command with more words may take long, whatever its complexity is for each of them.
const MOST_WORDS: usize = 16;
/// The same for the length of each.
const LONGEST_WORD: usize = 16 * 1024;
/// Calls that come one by one and are counted together.
const MOST_CALLS: u64 = 16;
/// Calls that come this many microseconds after others were counted are counted at once.
const LEISURE_US: i64 = 100;

/// What a session has run since the clock was last looked at.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The last look at the clock, in Unix microseconds; `None`: the next command has to look.
    clock_us: Option<i64>,
    /// Index of a command and how often it ran in a row.
    untimed: SmallVec<[(usize, u64); 4]>,
    /// How many of these came one by one, before the clock was last looked at.
    one_by_one: u64,
    /// What the last of those that was timed took, in microseconds.
    sample_us: u64,
    /// When some of them were last counted, in Unix microseconds.
    counted_us: i64,
}

impl Tally {
    /// When a command that is about to run begins, in Unix microseconds. `together`: it is timed with its neighbours.
    #[inline]
    pub(super) fn begin(&mut self, inner: &Inner, together: bool) -> i64 {
        match self.clock_us {
            Some(at) if together || self.untimed.is_empty() => at,
            None if together => *self.clock_us.insert(inner.keyspace.now_us()),
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

    /// Looks at the clock and shares the time since the last look among what ran in between.
    pub(super) fn look(&mut self, inner: &Inner) -> i64 {
        self.settle(inner);
        let now_us = inner.keyspace.now_us();
        if let Some(before) = self.clock_us.replace(now_us) {
            self.share(inner, (now_us - before).max(0).unsigned_abs());
        }
        now_us
    }

    /// Counts what came one by one before this.
    fn settle(&mut self, inner: &Inner) {
        if self.one_by_one > 0 {
            self.share(inner, self.sample_us * self.one_by_one);
        }
    }

    /// A command that came alone has ended: the next one looks at the clock anew.
    #[inline]
    pub(super) fn rest_soon(&mut self, inner: &Inner) {
        let Some(began_us) = self.clock_us.take() else {
            return;
        };
        if self.untimed.is_empty() {
            return;
        }
        self.one_by_one += 1;
        if self.one_by_one < MOST_CALLS && began_us - self.counted_us < LEISURE_US {
            return;
        }
        let now_us = inner.keyspace.now_us();
        self.sample_us = (now_us - began_us).max(0).unsigned_abs();
        self.counted_us = now_us;
        self.settle(inner);
    }

    /// The time that passed until now was somebody else's: the next command looks anew.
    pub(super) fn rest(&mut self, inner: &Inner) {
        self.settle(inner);
        if !self.untimed.is_empty() {
            self.look(inner);
        }
        self.clock_us = None;
    }

    fn share(&mut self, inner: &Inner, usec: u64) {
        self.one_by_one = 0;
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
        && args.iter().all(|word| word.len() <= LONGEST_WORD)
        && !inner.services.wants_exact_times()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use crate::Engine;

    #[test]
    fn calls_that_come_one_by_one_are_counted_together_and_none_is_lost() {
        let engine = Engine::in_memory();
        engine.keyspace().set_now_ms(Some(1_000));
        let counted = || engine.services().stats.commands.load(Ordering::Relaxed);
        let mut session = engine.session();
        let mut ping = |times: usize| {
            for _ in 0..times {
                session.execute(&[b"PING"]);
            }
            counted()
        };
        assert_eq!([ping(1), ping(15), ping(1)], [1, 1, 17]);
        assert_eq!(ping(3), 17);
        engine.keyspace().set_now_ms(Some(1_001));
        assert_eq!([ping(1), ping(2)], [21, 21]);
        // A command that is timed by itself comes behind all that ran before it.
        session.execute(&[b"DBSIZE"]);
        assert_eq!(counted(), 24);
        session.execute(&[b"PING"]);
        drop(session);
        assert_eq!(counted(), 25);
    }
}

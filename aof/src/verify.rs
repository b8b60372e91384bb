//! Tells a torn tail from corruption, one file at a time, and changes nothing. Knows batches and Redis's own files; no
//! manifest.
//!
//! A file is read as *ours* from its first valid checksum line on: every batch then begins where the last line ended. It
//! is read as *foreign* before that, and behind a batch boundary where Redis continued (see `frame`). Foreign bytes have
//! no checksum; Redis's own rules hold for them.

use std::io;

use crate::blocks::{Blocks, Mark, Stop, checksum_of};
use crate::frame::{
    ANNOTATION_PREFIX, Annotation, FOREIGN_START, MAX_ANNOTATION_BYTES, TIMESTAMP_PREFIX,
    first_lines,
};
use crate::storage::File;

/// Redis's limit to a line.
const MAX_LINE_BYTES: usize = 64 * 1024;
const SCAN_BYTES: usize = 1 << 20;

/// What is known of a file before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectation {
    /// Where the commands begin (behind an RDB preamble).
    pub(crate) begin: u64,
    /// Where they end at most: the file's length, or less where the manifest says so.
    pub(crate) end: u64,
    /// More files follow, so all of this one was on disk.
    pub(crate) complete: bool,
}

/// What a file holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verified {
    /// Where what can be loaded ends.
    pub(crate) end: u64,
    pub(crate) commands: u64,
    pub(crate) checksums: bool,
    /// What can be loaded ends among batches of ours.
    pub(crate) ours: bool,
    /// It ends in a mark.
    pub(crate) marked: bool,
    /// What is known to be on disk ends here: as the last checksum line before the end says, 0 without one.
    pub(crate) synced: u64,
    /// The file was begun by us.
    pub(crate) begun_by_us: bool,
    /// Set if the loadable part ends inside a batch of ours: where that batch begins.
    pub(crate) open_batch: Option<u64>,
    pub(crate) damage: Option<Damage>,
}

/// Why not all of a file can be loaded. It begins at [`Verified::end`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) verdict: Verdict,
    pub(crate) reason: &'static str,
    /// Whole commands behind the cut, where they could be counted.
    pub(crate) commands: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing behind the cut was known to be on disk.
    Torn,
    /// Redis's own file ends too early; `aof-load-truncated` decides.
    Truncated,
    /// What was safe is damaged.
    Corrupt,
}

/// Reads a file of commands to its end or its first damage.
pub(crate) fn verify(file: &dyn File, expectation: Expectation) -> io::Result<Verified> {
    Verifier {
        file,
        expectation,
        blocks: Blocks::new(file, expectation.begin, expectation.end),
        ours: false,
        checksums: false,
        begun_by_us: false,
        marked_to: None,
        synced: 0,
        batch_start: expectation.begin,
        batch_commands: 0,
        commands: 0,
        good: (expectation.begin, 0),
        unknown_line: None,
        transaction: None,
    }
    .run()
}

struct Verifier<'a> {
    file: &'a dyn File,
    expectation: Expectation,
    blocks: Blocks<'a>,
    /// The current batch must end in a checksum line.
    ours: bool,
    checksums: bool,
    begun_by_us: bool,
    /// Where the last mark ended.
    marked_to: Option<u64>,
    /// What the last checksum line says to be on disk.
    synced: u64,
    batch_start: u64,
    /// Commands before the batch.
    batch_commands: u64,
    commands: u64,
    /// End of the last whole command, and the commands up to there.
    good: (u64, u64),
    /// A line that begins with `#` and that neither we nor Redis write, in a foreign stretch.
    unknown_line: Option<u64>,
    transaction: Option<Transaction>,
}

/// An open MULTI.
#[derive(Clone, Copy)]
struct Transaction {
    at: u64,
    commands_before: u64,
    /// Where its batch begins, if that is one of ours and begins earlier.
    batch_start: Option<u64>,
    ours: bool,
}

/// Damage before it is judged.
enum Fault {
    End,
    Invalid(&'static str),
}

impl Verifier<'_> {
    fn run(mut self) -> io::Result<Verified> {
        loop {
            let fault = match self.item() {
                Ok(true) => continue,
                Ok(false) => None,
                Err(Stop::Io(error)) => return Err(error),
                Err(Stop::End) => Some(Fault::End),
                Err(Stop::Invalid) => Some(Fault::Invalid("not a command")),
            };
            return self.finish(fault);
        }
    }

    /// Passes a command or a line; false at the end of the file.
    fn item(&mut self) -> Result<bool, Stop> {
        let at = self.blocks.offset();
        if self.ours && at == self.batch_start {
            let ahead = self.blocks.peek(FOREIGN_START.len())?;
            if ahead.starts_with(FOREIGN_START) || ahead.starts_with(TIMESTAMP_PREFIX) {
                self.ours = false;
            }
        }
        match self.blocks.peek(1)?.first() {
            None => return Ok(false),
            Some(b'#') => return self.line(at).map(|()| true),
            Some(_) => {}
        }
        let mark = self.blocks.skip_command()?;
        match mark {
            Mark::Multi => {
                let batch_start = (self.ours && at > self.batch_start).then_some(self.batch_start);
                self.transaction.get_or_insert(Transaction {
                    at,
                    commands_before: self.commands,
                    batch_start,
                    ours: self.ours,
                });
            }
            Mark::Exec => self.transaction = None,
            Mark::Plain => {}
        }
        self.commands += 1;
        self.good = (self.blocks.offset(), self.commands);
        Ok(true)
    }

    fn line(&mut self, at: u64) -> Result<(), Stop> {
        let room = self.expectation.end - at;
        let line = self.blocks.peek_line(MAX_ANNOTATION_BYTES)?;
        if let Some(line) = line
            && line.starts_with(ANNOTATION_PREFIX)
        {
            let len = line.len();
            let annotation = Annotation::decode(line).ok_or(Stop::Invalid)?;
            return self.close_batch(annotation, at, len);
        }
        if self
            .blocks
            .peek(ANNOTATION_PREFIX.len())?
            .starts_with(ANNOTATION_PREFIX)
        {
            return Err(if room < MAX_ANNOTATION_BYTES as u64 {
                Stop::End
            } else {
                Stop::Invalid
            });
        }
        let Some(line) = self.blocks.peek_line(MAX_LINE_BYTES)? else {
            return Err(if room < MAX_LINE_BYTES as u64 {
                Stop::End
            } else {
                Stop::Invalid
            });
        };
        let (len, timestamp) = (line.len(), line.starts_with(TIMESTAMP_PREFIX));
        if !timestamp && !self.ours {
            self.unknown_line.get_or_insert(at);
        }
        self.blocks.consume(len);
        if !self.ours {
            self.good = (self.blocks.offset(), self.commands);
        }
        Ok(())
    }

    fn close_batch(
        &mut self,
        annotation: Annotation,
        at: u64,
        line_bytes: usize,
    ) -> Result<(), Stop> {
        let start = at
            .checked_sub(annotation.len)
            .filter(|&start| start >= annotation.synced)
            .ok_or(Stop::Invalid)?;
        let fits = if self.ours {
            start == self.batch_start
        } else {
            self.unknown_line.is_none()
        };
        if !fits || start < self.expectation.begin {
            return Err(Stop::Invalid);
        }
        let hasher = if start == self.batch_start {
            Some(self.blocks.checksum())
        } else {
            checksum_of(self.file, start, at)?
        };
        if !hasher.is_some_and(|hasher| annotation.matches(hasher)) {
            return Err(Stop::Invalid);
        }
        self.begun_by_us |= !self.ours && start == self.expectation.begin && self.commands == 0;
        self.blocks.consume(line_bytes);
        self.blocks.restart_checksum();
        if annotation.len == 0 {
            self.marked_to = Some(self.blocks.offset());
        }
        (self.ours, self.checksums, self.synced) = (true, true, annotation.synced);
        self.batch_start = self.blocks.offset();
        self.batch_commands = self.commands;
        self.good = (self.batch_start, self.commands);
        Ok(())
    }

    fn finish(self, fault: Option<Fault>) -> io::Result<Verified> {
        let in_batch = self.ours && (fault.is_some() || self.blocks.offset() > self.batch_start);
        let mut verified = if in_batch {
            self.judge_batch()?
        } else {
            self.judge_foreign(fault)
        };
        // A transaction without its EXEC never happened.
        if let Some(multi) = self.transaction
            && multi.at < verified.end
        {
            let verdict = match verified.damage {
                Some(damage) => damage.verdict,
                None if self.expectation.complete => Verdict::Corrupt,
                None if self.ours => Verdict::Torn,
                None => Verdict::Truncated,
            };
            let commands = self.commands - multi.commands_before;
            (verified.end, verified.commands, verified.open_batch) =
                (multi.at, multi.commands_before, multi.batch_start);
            verified.ours = multi.ours;
            verified.damage = Some(Damage {
                verdict,
                reason: "MULTI without EXEC",
                commands,
            });
        }
        verified.begun_by_us = self.begun_by_us;
        verified.marked = self.marked_to == Some(verified.end);
        verified.synced = self.synced.min(verified.end);
        Ok(verified)
    }

    /// The current batch has no valid checksum line.
    fn judge_batch(&self) -> io::Result<Verified> {
        let begin = self.batch_start;
        let safe =
            self.expectation.complete || synced_beyond(self.file, begin, self.expectation.end)?;
        let verdict = if safe {
            Verdict::Corrupt
        } else {
            Verdict::Torn
        };
        let damage = Damage {
            verdict,
            reason: "a batch without a valid checksum",
            commands: self.commands - self.batch_commands,
        };
        Ok(Verified {
            end: begin,
            commands: self.batch_commands,
            checksums: self.checksums,
            ours: true,
            damage: Some(damage),
            ..Verified::default()
        })
    }

    fn judge_foreign(&self, fault: Option<Fault>) -> Verified {
        let (end, commands) = self.good;
        let damage = fault.map(|fault| {
            let (verdict, reason) = match fault {
                _ if !self.expectation.complete && self.is_unfinished_mark(end) => {
                    (Verdict::Torn, "a mark that was not finished")
                }
                Fault::End if self.expectation.complete => {
                    (Verdict::Corrupt, "the file ends inside a command")
                }
                Fault::End => (Verdict::Truncated, "the file ends inside a command"),
                Fault::Invalid(reason) => (Verdict::Corrupt, reason),
            };
            Damage {
                verdict,
                reason,
                commands: 0,
            }
        });
        Verified {
            end,
            commands,
            checksums: self.checksums,
            ours: self.ours,
            damage,
            ..Verified::default()
        }
    }

    /// Whether the bytes from `at` on may be what a power loss has left of our first lines there: nothing is written
    /// behind them before they are on disk.
    fn is_unfinished_mark(&self, at: u64) -> bool {
        let mut tail = [0; MAX_ANNOTATION_BYTES];
        let Ok(len) = usize::try_from(self.expectation.end - at) else {
            return false;
        };
        let Some(tail) = tail.get_mut(..len) else {
            return false;
        };
        let read = self.file.read_full_at(tail, at);
        // Our first lines in an empty file are the shortest of all, and nothing that is whole is as short.
        read.is_ok()
            && (at == 0 && len <= first_lines(&mut Vec::new(), 0).len()
                || tail.iter().all(|&byte| byte == 0)
                || tail.starts_with(ANNOTATION_PREFIX)
                || tail.starts_with(TIMESTAMP_PREFIX))
    }
}

/// Whether a valid batch behind `begin` says that something behind `begin` was on disk when it was written.
///
/// Every candidate costs its length to check; a file made to be slow is given up on, as damaged.
fn synced_beyond(file: &dyn File, begin: u64, end: u64) -> io::Result<bool> {
    let mut budget = (end - begin).saturating_mul(8).saturating_add(64 << 20);
    let mut window = vec![0; SCAN_BYTES];
    let mut at = begin;
    while at < end {
        let wanted = usize::try_from(end - at)
            .unwrap_or(SCAN_BYTES)
            .min(SCAN_BYTES);
        let got = file.read_full_at(&mut window[..wanted], at)?;
        let bytes = &window[..got];
        for place in places_of_annotations(bytes) {
            let line = &bytes[place..got.min(place + MAX_ANNOTATION_BYTES)];
            let Some(feed) = line.iter().position(|&byte| byte == b'\n') else {
                continue;
            };
            let Some(annotation) = Annotation::decode(&line[..=feed]) else {
                continue;
            };
            let line_at = at + place as u64;
            let Some(start) = line_at.checked_sub(annotation.len) else {
                continue;
            };
            if annotation.synced <= begin || annotation.synced > start {
                continue;
            }
            match budget.checked_sub(annotation.len) {
                Some(left) => budget = left,
                None => return Ok(true),
            }
            if checksum_of(file, start, line_at)?.is_some_and(|hasher| annotation.matches(hasher)) {
                return Ok(true);
            }
        }
        if got <= MAX_ANNOTATION_BYTES || got < wanted || at + got as u64 >= end {
            break;
        }
        // The next window overlaps by one line.
        at += (got - MAX_ANNOTATION_BYTES) as u64;
    }
    Ok(false)
}

fn places_of_annotations(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes
        .windows(ANNOTATION_PREFIX.len())
        .enumerate()
        .filter(|(_, window)| *window == ANNOTATION_PREFIX)
        .map(|(at, _)| at)
}
